//! The mark: how far a topic's log goes, beside the log.
//!
//! It is written after each group of appends, before they are acknowledged, and is not synced
//! itself. It serves three ends: other processes learn from it what is acknowledged; a log that is
//! shorter than its mark was damaged, and not torn; and after a clean shutdown nothing has to be
//! made durable again.
//!
//! There are two slots, written in turn, so that one is whole whatever happens to the other.

use std::{fs::File, io};

use crc32c::crc32c_append;

use super::{
    disk,
    frame::{put, u32_at, u64_at},
};
use crate::models::Position;

/// How far the slots are apart: a sector, so that no write touches both.
const SLOT_STRIDE: u64 = 512;
const SLOT: usize = 64;
/// How many bytes the file has.
pub(super) const MARK_BYTES: usize = 1024;
const MAGIC: [u8; 4] = *b"MARK";

/// What the mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Counts the marks of a log.
    pub(super) sequence: u64,
    /// The last event that is acknowledged.
    pub(super) head: Position,
    /// The position of the first event of the last segment.
    pub(super) segment: Position,
    /// Where in that segment the log ends.
    pub(super) end: u64,
    /// Up to where in that segment it is durable.
    pub(super) durable: u64,
    /// Whether the log was closed in order.
    pub(super) clean: bool,
}

impl Mark {
    pub(super) fn encode(&self, seed: u32) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &self.sequence.to_le_bytes());
        put(&mut bytes, 16, &self.head.get().to_le_bytes());
        put(&mut bytes, 24, &self.segment.get().to_le_bytes());
        put(&mut bytes, 32, &self.end.to_le_bytes());
        put(&mut bytes, 40, &self.durable.to_le_bytes());
        put(&mut bytes, 48, &[u8::from(self.clean)]);
        let crc = crc32c_append(seed, bytes.get(8..).unwrap_or_default());
        put(&mut bytes, 4, &crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8], seed: u32) -> Option<Self> {
        let bytes = bytes.get(..SLOT)?;
        let whole =
            bytes.get(..4)? == MAGIC && crc32c_append(seed, bytes.get(8..)?) == u32_at(bytes, 4);
        whole.then(|| Self {
            sequence: u64_at(bytes, 8),
            head: Position::new(u64_at(bytes, 16)),
            segment: Position::new(u64_at(bytes, 24)),
            end: u64_at(bytes, 32),
            durable: u64_at(bytes, 40),
            clean: bytes.get(48) == Some(&1),
        })
    }

    /// Writes the mark into the slot whose turn it is.
    pub(super) fn write(&self, file: &File, seed: u32) -> io::Result<()> {
        disk::write_at(file, (self.sequence % 2) * SLOT_STRIDE, &self.encode(seed))
    }

    /// Reads the newest mark that is whole. A reader may meet a slot that is being written; the
    /// other one is whole then.
    pub(super) fn read(file: &File, seed: u32) -> io::Result<Option<Self>> {
        Ok(Self::newest(&disk::read_at(file, 0, MARK_BYTES)?, seed))
    }

    /// The newest mark that is whole.
    pub(super) fn newest(bytes: &[u8], seed: u32) -> Option<Self> {
        let slot = |at: u64| Self::decode(bytes.get(at as usize..)?, seed);
        [slot(0), slot(SLOT_STRIDE)]
            .into_iter()
            .flatten()
            .max_by_key(|mark| mark.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(MARK_BYTES as u64).unwrap();
        assert_eq!(Mark::read(&file, 1).unwrap(), None);
        let mut mark = Mark {
            sequence: 1,
            head: Position::new(5),
            segment: Position::new(1),
            end: 400,
            durable: 300,
            clean: false,
        };
        mark.write(&file, 1).unwrap();
        let older = mark;
        mark.sequence = 2;
        mark.clean = true;
        mark.write(&file, 1).unwrap();
        assert_eq!(Mark::read(&file, 1).unwrap(), Some(mark));
        assert_eq!(Mark::read(&file, 2).unwrap(), None);
        disk::write_at(&file, 20, &[0xff]).unwrap();
        assert_eq!(Mark::read(&file, 1).unwrap(), Some(older));
    }
}
