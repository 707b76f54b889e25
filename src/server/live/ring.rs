//! The newest events of a topic, as they are sent.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{message, query::LiveQuery};
use crate::{Candidate, Position, RecordedEvent, Tags, Timestamp};

/// How many bytes a block has, unless one event has more.
pub(super) const BLOCK: usize = 32 * 1024;
/// How many bytes a ring has, unless its newest block has more.
const RING: usize = 1024 * 1024;

/// What was recorded within a tick.
#[derive(Debug)]
pub(super) struct Block {
    /// The position before the first event.
    before: Position,
    /// That of the last event.
    pub(super) to: Position,
    /// The messages, one after the other.
    bytes: Bytes,
    entries: Vec<Entry>,
}

/// What filters look at in an event, and where its message ends. Copied out of the event, which may hold
/// the whole page in which it was read.
#[derive(Debug)]
struct Entry {
    position: Position,
    end: usize,
    event_type: Box<str>,
    stream: Box<str>,
    tags: Tags,
    recorded_at: Timestamp,
}

/// A block in the making.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// The newest blocks.
#[derive(Debug)]
pub(super) struct Ring {
    blocks: VecDeque<Arc<Block>>,
    bytes: usize,
    /// All after this position is here.
    start: Position,
}

/// What a ring has for a subscriber.
#[derive(Debug)]
pub(super) enum Found {
    /// What comes next.
    Block(Arc<Block>),
    /// Nothing yet.
    Nothing,
    /// What comes next is here no more.
    Gone,
}

impl Batch {
    pub(super) fn add(&mut self, event: &RecordedEvent) {
        message::write(&mut self.bytes, event);
        let tags: Vec<&str> = event.tags.iter().collect();
        self.entries.push(Entry {
            position: event.position,
            end: self.bytes.len(),
            event_type: event.event_type.as_str().into(),
            stream: event.stream.as_str().into(),
            // They keep the rule, as the event has them.
            tags: Tags::new(&tags).unwrap_or_else(|_| event.tags.clone()),
            recorded_at: event.recorded_at,
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK
    }

    /// The block, where there is an event.
    pub(super) fn take(&mut self) -> Option<Block> {
        let entries = std::mem::take(&mut self.entries);
        let bytes = std::mem::take(&mut self.bytes);
        let (first, last) = (entries.first()?, entries.last()?);
        Some(Block {
            before: first.position.previous(),
            to: last.position,
            // As long as it is: many are kept.
            bytes: Bytes::from(bytes.into_boxed_slice()),
            entries,
        })
    }
}

impl Block {
    /// The messages of the events after a position that are asked for; empty where there are none.
    pub(super) fn messages(&self, after: Position, query: &LiveQuery) -> Bytes {
        let first = self
            .entries
            .partition_point(|entry| entry.position <= after);
        let start = |at: usize| {
            let before = at.checked_sub(1).and_then(|at| self.entries.get(at));
            before.map_or(0, |entry| entry.end)
        };
        if query.is_all() {
            return self.bytes.slice(start(first)..);
        }
        let mut found = Vec::new();
        for (at, entry) in self.entries.iter().enumerate().skip(first) {
            if entry.is_asked_for(query) {
                let message = self.bytes.get(start(at)..entry.end);
                found.extend_from_slice(message.unwrap_or_default());
            }
        }
        Bytes::from(found)
    }

    fn size(&self) -> usize {
        let entries = self.entries.iter().map(|entry| {
            size_of::<Entry>() + entry.stream.len() + entry.event_type.len() + 32 * entry.tags.len()
        });
        self.bytes.len() + entries.sum::<usize>()
    }
}

impl Entry {
    fn is_asked_for(&self, query: &LiveQuery) -> bool {
        let of_stream = query
            .stream
            .as_deref()
            .is_none_or(|one| *one == *self.stream);
        of_stream
            && query.filter.admits(Candidate {
                stream: &self.stream,
                event_type: &self.event_type,
                tags: &self.tags,
                recorded_at: self.recorded_at,
            })
    }
}

impl Ring {
    /// An empty ring, in which all is to be after a position.
    pub(super) const fn after(start: Position) -> Self {
        Self {
            blocks: VecDeque::new(),
            bytes: 0,
            start,
        }
    }

    /// Adds the newest block, and lets go of the oldest.
    pub(super) fn add(&mut self, block: Block) {
        if self.end() != block.before {
            // It cannot be, and would it be, subscribers read from the store what is missing.
            *self = Self::after(block.before);
        }
        self.bytes += block.size();
        self.blocks.push_back(Arc::new(block));
        while self.bytes > RING && self.blocks.len() > 1 {
            if let Some(oldest) = self.blocks.pop_front() {
                self.bytes -= oldest.size();
                self.start = oldest.to;
            }
        }
    }

    /// The position of the newest event.
    pub(super) fn end(&self) -> Position {
        self.blocks.back().map_or(self.start, |block| block.to)
    }

    /// Whether all after this position is here, or will be.
    pub(super) fn reaches(&self, after: Position) -> bool {
        after >= self.start
    }

    /// What comes after this position.
    pub(super) fn next(&self, after: Position) -> Found {
        if !self.reaches(after) {
            return Found::Gone;
        }
        let next = self.blocks.partition_point(|block| block.to <= after);
        match self.blocks.get(next) {
            Some(block) => Found::Block(Arc::clone(block)),
            None => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;
    use crate::{
        Append, ConfigurationStream, EventFilter, EventStore, EventStoreConfig, NewEvent, Read,
        TopicConfig,
    };

    /// Events of two types by turns, of so many bytes.
    async fn events(count: u64, size: usize) -> Vec<RecordedEvent> {
        let config = EventStoreConfig::new(ConfigurationStream::memory());
        let store = EventStore::open(config).await.unwrap();
        store.create_topic(TopicConfig::memory("t")).await.unwrap();
        for n in 0..count {
            let event_type = if n % 2 == 0 { "Even" } else { "Odd" };
            let event = NewEvent::json(event_type, &"x".repeat(size)).unwrap();
            store
                .append_events("t", Append::new([event]))
                .await
                .unwrap();
        }
        store
            .read_events("t", Read::all())
            .try_collect()
            .await
            .unwrap()
    }

    fn block(events: &[RecordedEvent]) -> Block {
        let mut batch = Batch::default();
        events.iter().for_each(|event| batch.add(event));
        batch.take().unwrap()
    }

    fn ids(messages: &Bytes) -> Vec<u64> {
        let text = std::str::from_utf8(messages).unwrap();
        let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.map(|id| id.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_block_gives_exactly_what_comes_after_a_position() {
        let events = events(7, 10).await;
        let block = block(&events[2..]);
        assert_eq!((block.before.get(), block.to.get()), (2, 7));
        let query = |filter| LiveQuery {
            after: None,
            stream: None,
            filter,
        };
        for after in 0..9 {
            let expected: Vec<u64> = (3..8).filter(|position| *position > after).collect();
            let all = block.messages(Position::new(after), &query(EventFilter::all()));
            assert_eq!(ids(&all), expected, "after {after}");
            let both = EventFilter::all().types(["Even", "Odd"]);
            let filtered = block.messages(Position::new(after), &query(both));
            assert_eq!(filtered, all, "after {after}");
            let odd = EventFilter::all().types(["Odd"]);
            let odd = block.messages(Position::new(after), &query(odd));
            let expected: Vec<u64> = expected.into_iter().filter(|at| at % 2 == 0).collect();
            assert_eq!(ids(&odd), expected, "after {after}");
        }
    }

    #[tokio::test]
    async fn a_ring_gives_all_that_it_says_it_reaches_and_nothing_else() {
        let events = events(40, 100_000).await;
        let mut ring = Ring::after(Position::START);
        assert!(ring.reaches(Position::START));
        for event in &events {
            ring.add(block(std::slice::from_ref(event)));
            assert!(ring.bytes <= RING);
        }
        let start = ring.start.get();
        assert!((1..40).contains(&start), "{start}");
        for after in 0..start {
            assert!(!ring.reaches(Position::new(after)), "{after}");
            assert!(matches!(ring.next(Position::new(after)), Found::Gone));
        }
        for after in start..40 {
            assert!(ring.reaches(Position::new(after)), "{after}");
            let Found::Block(next) = ring.next(Position::new(after)) else {
                panic!("nothing after {after}");
            };
            assert_eq!((next.before.get(), next.to.get()), (after, after + 1));
        }
        assert!(matches!(ring.next(ring.end()), Found::Nothing));
        assert!(matches!(ring.next(ring.end().next()), Found::Nothing));
    }

    #[tokio::test]
    async fn a_ring_with_a_gap_begins_after_it() {
        let events = events(6, 10).await;
        let mut ring = Ring::after(Position::START);
        ring.add(block(&events[..2]));
        ring.add(block(&events[3..]));
        assert!(matches!(ring.next(Position::new(2)), Found::Gone));
        assert!(matches!(ring.next(Position::new(3)), Found::Block(_)));
    }
}
