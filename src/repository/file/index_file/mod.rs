//! Index files: what is in a run of events of one segment, kept beside it.
//!
//! An index file is made from an index in memory, or anew from its segment, and never changed: a
//! new one replaces it under its name. It is read block by block (4 KiB), each checked against a
//! table of checksums, through a cache that all topics of a repository share, so that it takes no
//! memory of its own but for that table (0.1 %) and, where it is asked often, its filter.
//! `ARCHITECTURE.md` draws the layout.

mod filter;
mod format;
mod read;
mod summed;
mod write;

pub(super) use format::{Hashes, filter_bits, filter_lines};
pub(super) use read::IndexFile;
pub(super) use write::{Source, write};
