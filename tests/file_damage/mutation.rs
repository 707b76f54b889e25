//! What may happen to the bytes of one file.

use std::fmt;

/// One change of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// One bit is another one.
    Flip { at: usize, bit: u8 },
    /// One byte is this one.
    Set { at: usize, value: u8 },
    /// The file ends here.
    Cut { length: usize },
    /// A block was never written, or was lost.
    Zero { block: usize, size: usize },
    /// Two blocks were written in each other's place.
    Swap {
        one: usize,
        other: usize,
        size: usize,
    },
    /// A block was written to the place of another one.
    Copy { from: usize, to: usize, size: usize },
    /// The file goes on with bytes of this value.
    Extend { value: u8, count: usize },
}

/// The sizes of the blocks in which devices and file systems lose things.
const BLOCKS: [usize; 2] = [512, 4096];

impl Mutation {
    /// The file after the change; none where it is the same as before.
    pub(crate) fn apply(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut changed = bytes.to_vec();
        match self {
            Self::Flip { at, bit } => changed[at] ^= 1 << bit,
            Self::Set { at, value } => changed[at] = value,
            Self::Cut { length } => changed.truncate(length),
            Self::Zero { block, size } => {
                let end = (block + size).min(changed.len());
                changed[block..end].fill(0);
            }
            Self::Swap { one, other, size } => {
                // The last block of a file may be a part of one.
                let count = size.min(bytes.len() - one.max(other));
                changed[one..one + count].copy_from_slice(&bytes[other..other + count]);
                changed[other..other + count].copy_from_slice(&bytes[one..one + count]);
            }
            Self::Copy { from, to, size } => {
                let count = size.min(bytes.len() - from.max(to));
                changed.copy_within(from..from + count, to);
            }
            Self::Extend { value, count } => changed.resize(bytes.len() + count, value),
        }
        (changed != bytes).then_some(changed)
    }

    /// Whether all of what was there is still there.
    pub(crate) const fn keeps_everything(self) -> bool {
        matches!(self, Self::Extend { .. })
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Every change of single bytes at `at`: all of them, or three.
pub(crate) fn of_byte(at: usize, all: bool) -> Vec<Mutation> {
    let bits = if all {
        0..8
    } else {
        at as u8 % 8..at as u8 % 8 + 1
    };
    let sets = [0, 0xff].map(|value| Mutation::Set { at, value });
    bits.map(|bit| Mutation::Flip { at, bit })
        .chain(sets)
        .collect()
}

/// Every change of whole blocks of a file with `length` bytes.
pub(crate) fn of_blocks(length: usize) -> Vec<Mutation> {
    let mut found = Vec::new();
    for size in BLOCKS {
        let blocks: Vec<usize> = (0..length).step_by(size).collect();
        for &one in &blocks {
            found.push(Mutation::Zero { block: one, size });
            for &other in &blocks {
                if one < other {
                    found.push(Mutation::Swap { one, other, size });
                }
                if one != other {
                    let (from, to) = (one, other);
                    found.push(Mutation::Copy { from, to, size });
                }
            }
        }
    }
    found
}

/// A file that goes on: after a crash the file system may have given it space.
pub(crate) fn of_length() -> Vec<Mutation> {
    let extend = |value| [1, 31, 512, 5000].map(|count| Mutation::Extend { value, count });
    [0, 0xff].into_iter().flat_map(extend).collect()
}
