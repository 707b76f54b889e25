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
