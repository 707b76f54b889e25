//! The layout of an index file, and the hashes by which it is searched.

use std::hash::Hasher;

use crc32c::crc32c;
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use super::super::frame::{FORMAT, put, u32_at, u64_at};
use crate::{
    models::{Position, StorageId, StreamState, Timestamp, Version},
    repository::{
        index::{Key, KeyKind},
        record::Malformed,
    },
};

/// How many bytes are checked, read and cached together.
pub(super) const BLOCK: usize = 4096;
/// How many bytes the header has; the data begin in the next block.
pub(super) const HEADER: usize = 256;
/// How many bytes an entry of the key table has.
pub(super) const ENTRY: usize = 32;
/// How many bytes of the filter one key touches.
pub(super) const FILTER_LINE: usize = 64;

const MAGIC: [u8; 8] = *b"ANNALIDX";
const SECTIONS_AT: usize = 120;

/// The sections of the data, each beginning at a multiple of 64 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Section {
    /// Where each event is in the segment: u32.
    Offsets = 0,
    /// Event ids by hash: u64 slots, a tag above the ordinal of the event; 0 is empty.
    Ids = 1,
    /// Keys by hash: u64 slots, a tag above the number of the entry plus one; 0 is empty.
    Keys = 2,
    /// The entries of the keys, sorted by kind and text: 32 bytes each.
    Entries = 3,
    /// The texts of the keys, one behind the other.
    Texts = 4,
    /// The events of the keys, as ordinals: u32.
    Postings = 5,
    /// Where streams were deleted and restored: u32, the ordinal times two, plus one for deleted.
    Deletions = 6,
    /// A blocked Bloom filter over ids and keys.
    Filter = 7,
}

/// How many sections there are.
pub(super) const SECTIONS: usize = 8;

/// Where a section is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// From the beginning of the data.
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// One entry of the key table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// For a stream: its state before the run.
    pub(super) before: StreamState,
    /// Where its events are among all postings, and how many.
    pub(super) postings: (u32, u32),
    /// Where its deletions are among all, and how many.
    pub(super) deletions: (u32, u32),
}

impl Entry {
    pub(super) fn decode(bytes: &[u8], kind: KeyKind) -> Self {
        let before = StreamState::new(Version::new(u64_at(bytes, 8)), bytes.get(1) == Some(&1));
        Self {
            before: if kind == KeyKind::Stream {
                before
            } else {
                StreamState::default()
            },
            postings: (u32_at(bytes, 16), u32_at(bytes, 20)),
            deletions: (u32_at(bytes, 24), u32_at(bytes, 28)),
        }
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) storage: StorageId,
    /// The position of the first event of the segment.
    pub(super) segment: Position,
    /// The position before the first event of the run.
    pub(super) before: Position,
    /// The position of the last event of the run.
    pub(super) last: Position,
    /// Where in the segment the run ends.
    pub(super) covered: u64,
    /// Whether the topic was sealed there.
    pub(super) sealed: bool,
    /// The time of the run's last event.
    pub(super) last_time: Timestamp,
    /// The largest id of version 7: ids of that version are mostly made in order, so one above it
    /// is new.
    pub(super) largest_v7: Uuid,
    pub(super) data_bytes: u64,
    /// The checksum of the table of checksums behind the data.
    pub(super) table_crc: u32,
    pub(super) sections: [Place; SECTIONS],
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 12, &FORMAT.to_le_bytes());
        put(&mut bytes, 16, self.storage.uuid().as_bytes());
        put(&mut bytes, 32, &self.segment.get().to_le_bytes());
        put(&mut bytes, 40, &self.before.get().to_le_bytes());
        put(&mut bytes, 48, &self.last.get().to_le_bytes());
        put(&mut bytes, 56, &self.covered.to_le_bytes());
        put(&mut bytes, 64, &self.last_time.as_micros().to_le_bytes());
        put(&mut bytes, 72, self.largest_v7.as_bytes());
        put(&mut bytes, 88, &self.data_bytes.to_le_bytes());
        put(&mut bytes, 96, &self.table_crc.to_le_bytes());
        put(&mut bytes, 100, &[u8::from(self.sealed)]);
        for (place, at) in self.sections.iter().zip((SECTIONS_AT..).step_by(16)) {
            put(&mut bytes, at, &place.at.to_le_bytes());
            put(&mut bytes, at + 8, &place.bytes.to_le_bytes());
        }
        let crc = crc32c(bytes.get(12..).unwrap_or_default());
        put(&mut bytes, 8, &crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes = bytes.get(..HEADER).ok_or("the index file is cut off")?;
        if bytes.get(..8) != Some(&MAGIC) {
            return Err("the file does not begin as an index file does");
        }
        if crc32c(bytes.get(12..).unwrap_or_default()) != u32_at(bytes, 8) {
            return Err("the checksum of the header is wrong");
        }
        if u32_at(bytes, 12) != FORMAT {
            return Err("the index file was written by another version");
        }
        let uuid = |at: usize| {
            bytes
                .get(at..)
                .and_then(<[u8]>::first_chunk)
                .map_or(Uuid::nil(), |id| Uuid::from_bytes(*id))
        };
        let mut sections = [Place::default(); SECTIONS];
        for (place, at) in sections.iter_mut().zip((SECTIONS_AT..).step_by(16)) {
            *place = Place {
                at: u64_at(bytes, at),
                bytes: u64_at(bytes, at + 8),
            };
        }
        Ok(Self {
            storage: StorageId::new(uuid(16)),
            segment: Position::new(u64_at(bytes, 32)),
            before: Position::new(u64_at(bytes, 40)),
            last: Position::new(u64_at(bytes, 48)),
            covered: u64_at(bytes, 56),
            sealed: bytes.get(100) == Some(&1),
            last_time: Timestamp::from_micros(u64_at(bytes, 64).cast_signed()),
            largest_v7: uuid(72),
            data_bytes: u64_at(bytes, 88),
            table_crc: u32_at(bytes, 96),
            sections,
        })
    }

    /// Whether the sections are within the data, and the run is one.
    pub(super) fn is_consistent(&self) -> bool {
        let within = |place: &Place| {
            place
                .at
                .checked_add(place.bytes)
                .is_some_and(|end| end <= self.data_bytes)
        };
        self.sections.iter().all(within) && self.before <= self.last
    }

    /// How many blocks the data have.
    pub(super) const fn blocks(&self) -> u64 {
        self.data_bytes.div_ceil(BLOCK as u64)
    }
}

/// The hashes of one topic's index files. They are keyed with the storage's id, so that nobody who
/// chooses names and ids without knowing it can make them collide.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Hashes(SipHasher13);

impl Hashes {
    pub(super) fn new(storage: StorageId) -> Self {
        Self(SipHasher13::new_with_key(storage.uuid().as_bytes()))
    }

    pub(super) fn of_id(&self, id: Uuid) -> u64 {
        let mut hasher = self.0;
        hasher.write(id.as_bytes());
        hasher.finish()
    }

    pub(super) fn of_key(&self, key: Key<'_>) -> u64 {
        let mut hasher = self.0;
        hasher.write(&[0x80 | key.kind as u8]);
        hasher.write(key.text);
        hasher.finish()
    }
}

/// The part of a hash that is kept in a slot, so that few others have to be looked at.
pub(super) const fn tag(hash: u64) -> u64 {
    hash << 32
}

/// The slot at which the search for a hash begins.
pub(super) const fn home(hash: u64, slots: u64) -> u64 {
    ((hash as u128 * slots as u128) >> 64) as u64
}

/// How many slots a table for `count` values has: at most 70 % are used.
pub(super) const fn slots(count: u64) -> u64 {
    count * 10 / 7 + 1
}

/// How many lines of 512 bits a filter for `count` values has: 12 bits for each, by which about
/// one absent value in two hundred is not ruled out.
pub(in super::super) const fn filter_lines(count: u64) -> u64 {
    (count * 12).div_ceil(FILTER_LINE as u64 * 8) + 1
}

/// The line of a filter, and the bits within it, that belong to a hash.
pub(in super::super) fn filter_bits(
    hash: u64,
    lines: u64,
) -> (u64, impl Iterator<Item = (usize, u8)>) {
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    let bits = (0..6).map(move |nth| {
        let bit = (mixed >> (nth * 9)) & 511;
        ((bit / 8) as usize, 1 << (bit % 8))
    });
    (home(hash, lines), bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_every_changed_bit_is_found() {
        let mut sections = [Place::default(); SECTIONS];
        sections[7] = Place { at: 64, bytes: 128 };
        let header = Header {
            storage: StorageId::CONFIGURATION,
            segment: Position::new(1),
            before: Position::new(2),
            last: Position::new(3),
            covered: 4,
            sealed: true,
            last_time: Timestamp::from_micros(-5),
            largest_v7: Uuid::from_u128(6),
            data_bytes: 7,
            table_crc: 8,
            sections,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for bit in 0..HEADER * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&changed).is_err(), "bit {bit}");
        }
    }
}
