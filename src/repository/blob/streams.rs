//! The states of streams of which the last events were merged into segments lately, so that who goes
//! on with one need not read it back.

use std::mem;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    models::{Position, RecordedEvent, Result, StreamState, Version},
    repository::{
        index::{Key, Span},
        parts::{Part, Probe},
    },
};

/// How many streams are known at most, twice.
const GENERATION: usize = 32 << 10;

/// States of streams at the end of the segments.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Those that were told or asked for last.
    young: HashMap<Bytes, StreamState>,
    /// Those before them, which are forgotten next.
    old: HashMap<Bytes, StreamState>,
}

impl Streams {
    pub(super) fn get(&mut self, stream: &[u8]) -> Option<StreamState> {
        if let Some(state) = self.young.get(stream) {
            return Some(*state);
        }
        let (name, state) = self.old.remove_entry(stream)?;
        self.tell(name, state);
        Some(state)
    }

    pub(super) fn tell(&mut self, stream: Bytes, state: StreamState) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(stream, state);
    }
}

/// What is known of streams, as a part without events at the end of the segments.
#[derive(Debug)]
pub(super) struct KnownStreams<'a> {
    pub(super) at: Position,
    pub(super) streams: &'a Mutex<Streams>,
}

impl Part for KnownStreams<'_> {
    fn before(&self) -> Position {
        self.at
    }

    fn last(&self) -> Position {
        self.at
    }

    fn position_of(&self, _id: &Probe<Uuid>) -> Result<Option<Position>> {
        Ok(None)
    }

    fn stream(&self, stream: &Probe<&[u8]>, _head: Position) -> Result<Option<StreamState>> {
        Ok(self.streams.lock().get(stream.what))
    }

    fn position_of_version(&self, _stream: &[u8], _version: Version) -> Result<Option<Position>> {
        Ok(None)
    }

    fn count(&self, _key: Key<'_>) -> Result<usize> {
        Ok(0)
    }

    fn postings(&self, _key: Key<'_>, _span: &Span, _most: usize) -> Result<Vec<Position>> {
        Ok(Vec::new())
    }

    fn fetch(&self, _positions: &[Position], _out: &mut Vec<RecordedEvent>) -> Result<()> {
        Ok(())
    }

    fn scan(&self, _span: &Span, _out: &mut Vec<RecordedEvent>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_lately_is_known_and_the_rest_is_bounded() {
        let mut streams = Streams::default();
        let name = |number: usize| Bytes::from(format!("stream-{number}"));
        let state = |number: usize| StreamState::new(Version::new(number as u64), false);
        for number in 0..GENERATION * 4 {
            streams.tell(name(number), state(number));
            assert_eq!(streams.get(&name(0)), Some(state(0)));
        }
        assert!(streams.young.len() + streams.old.len() <= GENERATION * 2);
        let last = GENERATION * 4 - 1;
        assert_eq!(streams.get(&name(last)), Some(state(last)));
        assert_eq!(streams.get(&name(1)), None);
    }
}
