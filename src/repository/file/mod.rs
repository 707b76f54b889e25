//! The `file` repository: topics in a directory, each a log of segment files.
//!
//! A connection is a directory. One process writes to it, and holds a lock on it; others can open
//! it read-only and follow. All stores of one process share the repository.
//!
//! | option of a topic | values | default |
//! | --- | --- | --- |
//! | `sync` | `always`: an append is durable when it returns; `interval:MS`: at most MS milliseconds later; `never`: when the operating system likes, and at close | `always` |
//! | `segment_bytes` | 4096 to 1073741824: a segment with more bytes is full | 134217728 (128 MiB) |
//!
//! With `sync` other than `always`, a crash of the machine can lose what was acknowledged last, but
//! never something from the middle. A crash of the process loses nothing with any of them.
//!
//! `ARCHITECTURE.md` draws the files byte by byte and tells how a crash is recovered from.

mod committer;
mod disk;
mod factory;
mod failure;
mod follow;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gather;
mod group;
mod index_file;
mod journal;
mod layout;
mod log;
mod mark;
mod open_log;
mod options;
mod pages;
mod part;
mod recovery;
mod repository;
mod seal_segment;
mod search;
mod segment;
mod shared;
mod stage;
mod tail;
mod verify;
mod walk;
mod workers;
mod writer;

pub use factory::FileFactory;
pub use repository::FileRepository;
