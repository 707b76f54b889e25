//! The journal: what makes groups of several topics durable with one sync.
//!
//! Each topic has files of its own, and a disk is slow at making many files durable. So where
//! several topics write at once, their groups go to their segments without a sync, and the same
//! bytes into the journal of the directory, which is synced. After a crash the journal is written
//! to the segments again, before any topic is opened; what is not in it was not acknowledged, or
//! was synced in its segment.
//!
//! There are two files. When one is full, the other is used on, while the segments that the full
//! one speaks of are synced; then it is free. Where anything about the journal fails, topics are
//! synced one by one from then on. A topic that writes alone never uses it.

mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod replay;
#[cfg(test)]
mod tests;
mod write;

pub(super) use format::Entry;
pub(super) use replay::{check, replay};
pub(super) use write::Journal;
