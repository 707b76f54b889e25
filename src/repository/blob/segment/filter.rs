//! Whether something may be in a segment: a Bloom filter in lines of 64 bytes, in blocks.
//!
//! Each hash has seven bits in one line, of ten bits to each hash, so about one in fifty that are not
//! there passes. (F. Putze, P. Sanders, J. Singler: Cache-, Hash- and Space-Efficient Bloom Filters,
//! 2007.)

use std::hash::Hasher;

use bytes::BytesMut;
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use super::table::{BlockRef, MOST_OFFSET, Malformed, Output};
use crate::repository::{
    index::Key,
    varint::{Cursor, put_varint},
};

const LINE: usize = 64;
const BITS: u64 = 7;
const BITS_PER_HASH: u64 = 10;
/// How many lines a block has.
const LINES_PER_BLOCK: u64 = 512;

/// The hash of an event's id.
pub(in crate::repository::blob) fn hash_id(id: Uuid) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(id.as_bytes());
    hasher.finish()
}

/// The hash of a stream, type or tag.
pub(in crate::repository::blob) fn hash_key(key: Key<'_>) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&[key.kind as u8]);
    hasher.write(key.text);
    hasher.finish()
}

/// Where the blocks of a filter are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::repository::blob) struct FilterIndex {
    offset: u64,
    lines: u64,
}

impl FilterIndex {
    /// The block that tells of a hash.
    pub(in crate::repository::blob) fn block_of(&self, hash: u64) -> Option<BlockRef> {
        let number = line(hash, self.lines) / LINES_PER_BLOCK;
        self.block(number)
    }

    /// How many hashes it was made for, at least.
    pub(in crate::repository::blob) const fn hashes(&self) -> u64 {
        self.lines * LINE as u64 * 8 / BITS_PER_HASH
    }

    fn block(&self, number: u64) -> Option<BlockRef> {
        let first = number * LINES_PER_BLOCK;
        let lines = self.lines.checked_sub(first)?.min(LINES_PER_BLOCK);
        (lines > 0).then(|| BlockRef {
            first_key: bytes::Bytes::new(),
            offset: self.offset + number * (LINES_PER_BLOCK * LINE as u64 + 4),
            length: (lines * LINE as u64) as u32 + 4,
            entries: 0,
        })
    }

    pub(in crate::repository::blob) fn blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        (0..self.lines.div_ceil(LINES_PER_BLOCK)).filter_map(|number| self.block(number))
    }

    /// Whether a hash may be there, by the content of its block.
    pub(in crate::repository::blob) fn may_have(&self, hash: u64, content: &[u8]) -> bool {
        let at = (line(hash, self.lines) % LINES_PER_BLOCK) as usize * LINE;
        let line = content.get(at..at + LINE).unwrap_or_default();
        bits(hash).all(|(byte, bit)| line.get(byte).is_none_or(|place| place & bit != 0))
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        put_varint(out, self.offset);
        put_varint(out, self.lines);
    }

    pub(super) fn decode(rest: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let index = Self {
            offset: rest.varint()?,
            lines: rest.varint()?,
        };
        if index.offset > MOST_OFFSET || index.lines > MOST_OFFSET / LINE as u64 {
            return Err("the filter is where none can be");
        }
        Ok(index)
    }
}

/// Builds a filter for a number of hashes that is known.
#[derive(Debug)]
pub(super) struct FilterWriter {
    lines: Vec<u8>,
}

impl FilterWriter {
    pub(super) fn new(hashes: u64) -> Self {
        let lines = (hashes * BITS_PER_HASH).div_ceil(LINE as u64 * 8).max(1);
        Self {
            lines: vec![0; lines as usize * LINE],
        }
    }

    pub(super) fn add(&mut self, hash: u64) {
        let at = line(hash, (self.lines.len() / LINE) as u64) as usize * LINE;
        for (byte, bit) in bits(hash) {
            if let Some(place) = self.lines.get_mut(at + byte) {
                *place |= bit;
            }
        }
    }

    pub(super) fn finish(self, out: &mut Output) -> FilterIndex {
        let index = FilterIndex {
            offset: out.offset(),
            lines: (self.lines.len() / LINE) as u64,
        };
        for block in self.lines.chunks(LINES_PER_BLOCK as usize * LINE) {
            out.block(block);
        }
        index
    }
}

/// The line of a hash.
fn line(hash: u64, lines: u64) -> u64 {
    ((u128::from(hash) * u128::from(lines)) >> 64) as u64
}

/// The bits of a hash within its line.
fn bits(hash: u64) -> impl Iterator<Item = (usize, u8)> {
    // The line is chosen by the upper bits, so these come from others.
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) ^ (hash << 1);
    (0..BITS).map(move |nth| {
        let bit = (mixed >> (nth * 9)) & 511;
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::blob::segment::table::check;

    #[test]
    fn what_was_added_passes_and_little_else() {
        let mut out = Output::default();
        let mut writer = FilterWriter::new(20_000);
        let hash = |number: u128| hash_id(Uuid::from_u128(number));
        (0..20_000).for_each(|number| writer.add(hash(number)));
        let index = writer.finish(&mut out);
        let object = out.take();
        assert_eq!(
            index
                .blocks()
                .map(|block| u64::from(block.length))
                .sum::<u64>(),
            object.len() as u64
        );
        let passes = |number| {
            let block = index.block_of(hash(number)).unwrap();
            let range = block.offset as usize..block.offset as usize + block.length as usize;
            index.may_have(hash(number), &check(&object.slice(range)).unwrap())
        };
        assert!((0..20_000).all(passes));
        let wrongly = (20_000..40_000).filter(|number| passes(*number)).count();
        assert!(wrongly < 1_000, "{wrongly}");
    }
}
