//! The parts of a topic as they are searched: segments, and the log behind them.

use uuid::Uuid;

use super::{segment::part::SegmentPart, streams::KnownStreams, tail::TailPart};
use crate::{
    models::{Position, RecordedEvent, Result, StreamState, Version},
    repository::{
        index::{Key, Span},
        parts::{Part, Probe},
    },
};

/// One part.
#[derive(Debug)]
pub(super) enum BlobPart<'a> {
    Segment(SegmentPart<'a>),
    Streams(KnownStreams<'a>),
    Tail(TailPart<'a>),
}

/// Asks whichever part it is.
macro_rules! ask {
    ($part:expr, $one:ident => $answer:expr) => {
        match $part {
            BlobPart::Segment($one) => $answer,
            BlobPart::Streams($one) => $answer,
            BlobPart::Tail($one) => $answer,
        }
    };
}

impl Part for BlobPart<'_> {
    fn before(&self) -> Position {
        ask!(self, one => one.before())
    }

    fn last(&self) -> Position {
        ask!(self, one => one.last())
    }

    fn position_of(&self, id: &Probe<Uuid>) -> Result<Option<Position>> {
        ask!(self, one => one.position_of(id))
    }

    fn stream(&self, stream: &Probe<&[u8]>, head: Position) -> Result<Option<StreamState>> {
        ask!(self, one => one.stream(stream, head))
    }

    fn position_of_version(&self, stream: &[u8], version: Version) -> Result<Option<Position>> {
        ask!(self, one => one.position_of_version(stream, version))
    }

    fn count(&self, key: Key<'_>) -> Result<usize> {
        ask!(self, one => one.count(key))
    }

    fn fitting(&self, key: Key<'_>) -> Result<usize> {
        ask!(self, one => one.fitting(key))
    }

    fn postings(&self, key: Key<'_>, span: &Span, most: usize) -> Result<Vec<Position>> {
        ask!(self, one => one.postings(key, span, most))
    }

    fn fetch(&self, positions: &[Position], out: &mut Vec<RecordedEvent>) -> Result<()> {
        ask!(self, one => one.fetch(positions, out))
    }

    fn scan(&self, span: &Span, out: &mut Vec<RecordedEvent>) -> Result<()> {
        ask!(self, one => one.scan(span, out))
    }
}
