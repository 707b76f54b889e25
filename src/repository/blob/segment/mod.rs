//! Segments: objects into which the slots of the log are merged, with everything by which events
//! are found.
//!
//! A segment holds each record twice: by position, for those who read all events, and by stream, so
//! that a stream is read in one go however far its events lie apart. It is never changed.

pub(super) mod builder;
pub(super) mod filter;
pub(super) mod footer;
pub(super) mod keys;
pub(super) mod part;
mod postings;
pub(super) mod table;
