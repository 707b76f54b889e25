//! A topic as a row of parts, each with an index of its own: what is asked of all of them.
//!
//! The memory repository has one part, the file repository one for each index file and one for
//! the tail. Parts follow one another without gaps and answer up to a head: what an index knows
//! beyond it is not visible.

use uuid::Uuid;

use crate::models::{
    EventFilter, Position, RecordedEvent, Result, StreamId, StreamState, TopicName, Version,
};

use super::{
    LogView,
    index::{Key, Span},
    paging::Pager,
};

/// Something that is looked for in one part after the other. Its hash, which all parts of a topic
/// share, is made once, and only where a part asks for it.
#[derive(Debug)]
pub(crate) struct Probe<T> {
    pub(crate) what: T,
    #[cfg(any(feature = "file", feature = "blob"))]
    hash: std::cell::OnceCell<u64>,
}

impl<T: Copy> Probe<T> {
    pub(crate) const fn new(what: T) -> Self {
        Self {
            what,
            #[cfg(any(feature = "file", feature = "blob"))]
            hash: std::cell::OnceCell::new(),
        }
    }

    #[cfg(any(feature = "file", feature = "blob"))]
    pub(crate) fn hash(&self, of: impl FnOnce(T) -> u64) -> u64 {
        *self.hash.get_or_init(|| of(self.what))
    }
}

/// A run of events that can be searched.
pub(crate) trait Part {
    /// The position before the first event of the part.
    fn before(&self) -> Position;
    /// The position of its last event.
    fn last(&self) -> Position;
    /// Where the event with this id is, if it is in the part.
    fn position_of(&self, id: &Probe<Uuid>) -> Result<Option<Position>>;
    /// The state of a stream at `head`, if the part has events of it up to there.
    fn stream(&self, stream: &Probe<&[u8]>, head: Position) -> Result<Option<StreamState>>;
    /// Where a stream reached `version`, if that is in the part.
    fn position_of_version(&self, stream: &[u8], version: Version) -> Result<Option<Position>>;
    /// How many events have the key.
    fn count(&self, key: Key<'_>) -> Result<usize>;
    /// How many events that have the key fit on a page, about, where that may be less than a page
    /// has at most.
    fn fitting(&self, _key: Key<'_>) -> Result<usize> {
        Ok(usize::MAX)
    }
    /// Up to `most` events that have the key and are in the span: the first, or the last where the
    /// span is backward. In ascending order.
    fn postings(&self, key: Key<'_>, span: &Span, most: usize) -> Result<Vec<Position>>;
    /// Adds the events at `positions`, which run in one direction, to `out`, until they are all
    /// there or a page is full; at least one.
    fn fetch(&self, positions: &[Position], out: &mut Vec<RecordedEvent>) -> Result<()>;
    /// Adds the events of a span, forward, to `out`, until they are all there or a page is full;
    /// at least one.
    fn scan(&self, span: &Span, out: &mut Vec<RecordedEvent>) -> Result<()>;
}

/// A topic at one moment: its parts, and how far they are visible.
#[derive(Debug)]
pub(crate) struct Parts<'a, P> {
    pub(crate) topic: &'a TopicName,
    pub(crate) parts: &'a [P],
    pub(crate) head: Position,
    pub(crate) sealed: bool,
}

impl<P: Part> Parts<'_, P> {
    /// The part in which a position is.
    pub(crate) fn part_of(&self, position: Position) -> Option<&P> {
        let at = self.parts.partition_point(|part| part.last() < position);
        self.parts.get(at).filter(|part| part.before() < position)
    }

    /// The first answer that any part gives, the newest asked first.
    fn newest<T>(&self, ask: impl Fn(&P) -> Result<Option<T>>) -> Result<Option<T>> {
        for part in self.parts.iter().rev() {
            if let Some(answer) = ask(part)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    pub(crate) fn stream_state(&self, stream: &[u8]) -> Result<StreamState> {
        let stream = Probe::new(stream);
        Ok(self
            .newest(|part| part.stream(&stream, self.head))?
            .unwrap_or_default())
    }

    pub(crate) fn position_of_version(
        &self,
        stream: &[u8],
        version: Version,
    ) -> Result<Option<Position>> {
        self.newest(|part| part.position_of_version(stream, version))
    }
}

impl<P: Part> LogView for Parts<'_, P> {
    fn topic(&self) -> &TopicName {
        self.topic
    }

    fn is_sealed(&self) -> bool {
        self.sealed
    }

    fn position_of(&self, id: Uuid) -> Result<Option<Position>> {
        let id = Probe::new(id);
        self.newest(|part| part.position_of(&id))
    }

    fn event_at(&self, position: Position) -> Result<RecordedEvent> {
        let mut events = Vec::with_capacity(1);
        if let Some(part) = self.part_of(position) {
            part.fetch(&[position], &mut events)?;
        }
        events
            .pop()
            .ok_or_else(|| crate::models::Error::Corruption {
                place: format!("topic {}, position {position}", self.topic),
                reason: "an index names an event that is not there".to_owned(),
            })
    }

    fn stream(&self, stream: &StreamId) -> Result<StreamState> {
        self.stream_state(stream.as_str().as_bytes())
    }

    fn first_match(&self, filter: &EventFilter, after: Position) -> Result<Option<Position>> {
        let mut pager = Pager::for_filter(filter.clone(), after, self.head);
        while let Some(page) = pager.next(self)? {
            if let Some(event) = page.events.first() {
                return Ok(Some(event.position));
            }
        }
        Ok(None)
    }
}
