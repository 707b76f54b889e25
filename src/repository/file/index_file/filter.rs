//! The filter of an index file: whether an id or a key may be in it. One that is asked often is
//! kept in memory.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

use super::{
    super::segment::FilterRoom,
    format::{FILTER_LINE, filter_bits},
};

/// After so many questions a filter is kept in memory. By then most of its blocks were read, so a
/// read now and then does not read all of it.
const KEEP_AFTER: u32 = 256;

/// What is in memory of a filter.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// How often it was asked while it was not in memory.
    asked: AtomicU32,
    kept: OnceLock<Kept>,
}

/// A filter in memory, and the room that it takes there.
#[derive(Debug)]
struct Kept {
    bytes: Box<[u8]>,
    _room: FilterRoom,
}

impl Filter {
    /// Whether a hash passes, if the filter is in memory; `line` is where its line begins.
    pub(super) fn may_have(&self, hash: u64, line: u64, lines: u64) -> Option<bool> {
        let kept = self.kept.get()?;
        let bytes = kept.bytes.get(line as usize..).unwrap_or_default();
        Some(passes(hash, lines, bytes))
    }

    /// Counts a question that was answered from the file. `true` once: it is time to keep it.
    pub(super) fn is_asked_often(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) == KEEP_AFTER
    }

    pub(super) fn keep(&self, bytes: Vec<u8>, room: FilterRoom) {
        let _first = self.kept.set(Kept {
            bytes: bytes.into(),
            _room: room,
        });
    }
}

/// Where the line of a hash begins.
pub(super) fn line_of(hash: u64, lines: u64) -> u64 {
    filter_bits(hash, lines).0 * FILTER_LINE as u64
}

/// Whether the line that begins with `bytes` lets a hash pass. All bits are looked at: of each about
/// half are set, so that to stop at the first that is not would be guessed wrong every other time,
/// and whoever asks several filters would wait for one after the other.
pub(super) fn passes(hash: u64, lines: u64, bytes: &[u8]) -> bool {
    let Some(line) = bytes.first_chunk::<FILTER_LINE>() else {
        return false;
    };
    let (_, bits) = filter_bits(hash, lines);
    bits.fold(true, |all, (byte, bit)| {
        all & (line.get(byte).copied().unwrap_or_default() & bit != 0)
    })
}
