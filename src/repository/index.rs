//! The index of a run of events, in memory: by id, and by stream, type and tag.
//!
//! The memory repository keeps one for a whole topic, the file repository one for the tail of a
//! topic that has no index file yet. Events are added in order by one writer; readers see those up
//! to the head that the repository has published, so an event may be indexed before it is durable.

use std::{hash::BuildHasher, ops::Range};

use hashbrown::{DefaultHashBuilder, HashTable};
use uuid::Uuid;

use crate::models::{Position, Result, StreamState, Version};

use super::record::RecordView;

/// By what events are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum KeyKind {
    Stream = 0,
    Type = 1,
    Tag = 2,
}

/// One value by which events are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key<'a> {
    pub(crate) kind: KeyKind,
    pub(crate) text: &'a [u8],
}

impl<'a> Key<'a> {
    pub(crate) const fn stream(text: &'a [u8]) -> Self {
        Self {
            kind: KeyKind::Stream,
            text,
        }
    }
}

/// All that the index knows of one key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: KeyKind,
    pub(crate) text: Box<[u8]>,
    /// The events, as distances from the position before the run: 1, 2, 3 …
    pub(crate) postings: Vec<u32>,
    /// For a stream: its state before the run.
    pub(crate) before: StreamState,
    /// For a stream: where it was deleted (`true`) and restored (`false`) within the run.
    pub(crate) deletions: Vec<(u32, bool)>,
}

impl Entry {
    pub(crate) fn key(&self) -> Key<'_> {
        Key {
            kind: self.kind,
            text: &self.text,
        }
    }

    /// The state of the stream at its last event up to `limit`.
    fn state(&self, limit: u32) -> StreamState {
        let events = self.postings.partition_point(|one| *one <= limit);
        let deleted = self
            .deletions
            .iter()
            .rev()
            .find(|(at, _)| *at <= limit)
            .map_or(self.before.deleted, |(_, deleted)| *deleted);
        StreamState::new(
            Version::new(self.before.version.get() + events as u64),
            deleted,
        )
    }
}

/// The index of the events after a position.
#[derive(Debug)]
pub(crate) struct Index {
    before: Position,
    ids: Vec<Uuid>,
    by_id: HashTable<u32>,
    entries: Vec<Entry>,
    by_key: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Index {
    /// The most events of one index.
    pub(crate) const MAX_EVENTS: usize = u32::MAX as usize - 1;

    /// An empty index, for events after `before`.
    pub(crate) fn new(before: Position) -> Self {
        Self {
            before,
            ids: Vec::new(),
            by_id: HashTable::new(),
            entries: Vec::new(),
            by_key: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(crate) fn last(&self) -> Position {
        self.before.forward(self.ids.len() as u64)
    }

    /// Adds the next event. `before` tells the state of its stream before the run, and is asked
    /// once for each stream. The caller keeps within [`Index::MAX_EVENTS`].
    pub(crate) fn push(
        &mut self,
        record: &RecordView<'_>,
        before: impl FnOnce() -> Result<StreamState>,
    ) -> Result<()> {
        let stream = self.entry(Key::stream(record.stream));
        let stream = match stream {
            Some(at) => at,
            None => {
                let before = before()?;
                self.add_entry(Key::stream(record.stream), before)
            }
        };
        self.ids.push(record.id);
        let ordinal = self.ids.len() as u32;
        let (hasher, ids) = (&self.hasher, &self.ids);
        self.by_id
            .insert_unique(hasher.hash_one(record.id), ordinal, |one| {
                hasher.hash_one(id_of(ids, *one))
            });
        if let Some(entry) = self.entries.get_mut(stream as usize) {
            entry.postings.push(ordinal);
            if let Some(deleted) = record.deletion() {
                entry.deletions.push((ordinal, deleted));
            }
        }
        self.post(
            Key {
                kind: KeyKind::Type,
                text: record.event_type,
            },
            ordinal,
        );
        for text in record.each_tag() {
            self.post(
                Key {
                    kind: KeyKind::Tag,
                    text,
                },
                ordinal,
            );
        }
        Ok(())
    }

    /// Where the event with this id is.
    pub(crate) fn position_of(&self, id: Uuid) -> Option<Position> {
        let ordinal = self
            .by_id
            .find(self.hasher.hash_one(id), |one| id_of(&self.ids, *one) == id)?;
        Some(self.before.forward(u64::from(*ordinal)))
    }

    /// The state of a stream at the position `head`, where the run has events of it up to there.
    pub(crate) fn stream(&self, stream: &[u8], head: Position) -> Option<StreamState> {
        let entry = self
            .entries
            .get(self.entry(Key::stream(stream))? as usize)?;
        let limit = self.ordinal(head);
        (entry.postings.first()? <= &limit).then(|| entry.state(limit))
    }

    /// The position at which a stream reached `version`, where that is in the run.
    pub(crate) fn position_of_version(&self, stream: &[u8], version: Version) -> Option<Position> {
        let entry = self
            .entries
            .get(self.entry(Key::stream(stream))? as usize)?;
        let nth = version.get().checked_sub(entry.before.version.get() + 1)?;
        let ordinal = entry.postings.get(usize::try_from(nth).ok()?)?;
        Some(self.before.forward(u64::from(*ordinal)))
    }

    /// How many events have the key.
    pub(crate) fn count(&self, key: Key<'_>) -> usize {
        let entry = self.entry(key).and_then(|at| self.entries.get(at as usize));
        entry.map_or(0, |entry| entry.postings.len())
    }

    /// Up to `most` events that have the key and are within `range`, given as positions: the first
    /// of them, or the last where `backward`. In ascending order.
    pub(crate) fn postings(&self, key: Key<'_>, range: &Span, most: usize) -> Vec<Position> {
        let postings = self
            .entry(key)
            .and_then(|at| self.entries.get(at as usize))
            .map_or(&[][..], |entry| &entry.postings);
        let (after, up_to) = (self.ordinal(range.after), self.ordinal(range.up_to));
        let within = clip(
            postings.len(),
            most,
            range.backward,
            |at| postings.get(at).copied().unwrap_or(u32::MAX),
            after,
            up_to,
        );
        let chosen = postings.get(within).unwrap_or_default();
        chosen
            .iter()
            .map(|one| self.before.forward(u64::from(*one)))
            .collect()
    }

    /// How far a position is into the run; 0 for one before it.
    fn ordinal(&self, position: Position) -> u32 {
        u32::try_from(position.get().saturating_sub(self.before.get())).unwrap_or(u32::MAX)
    }

    fn entry(&self, key: Key<'_>) -> Option<u32> {
        self.by_key
            .find(self.hasher.hash_one(key), |at| {
                self.entries
                    .get(*at as usize)
                    .is_some_and(|entry| entry.key() == key)
            })
            .copied()
    }

    fn post(&mut self, key: Key<'_>, ordinal: u32) {
        let at = match self.entry(key) {
            Some(at) => at,
            None => self.add_entry(key, StreamState::default()),
        };
        // An event with the same tag twice is found once.
        if let Some(entry) = self.entries.get_mut(at as usize)
            && entry.postings.last() != Some(&ordinal)
        {
            entry.postings.push(ordinal);
        }
    }

    fn add_entry(&mut self, key: Key<'_>, before: StreamState) -> u32 {
        let at = self.entries.len() as u32;
        self.entries.push(Entry {
            kind: key.kind,
            text: key.text.into(),
            postings: Vec::new(),
            before,
            deletions: Vec::new(),
        });
        let (hasher, entries) = (&self.hasher, &self.entries);
        self.by_key.insert_unique(hasher.hash_one(key), at, |one| {
            entries
                .get(*one as usize)
                .map_or(0, |entry| hasher.hash_one(entry.key()))
        });
        at
    }
}

/// What only the file repository asks: it writes indexes into files.
#[cfg(feature = "file")]
impl Index {
    pub(crate) const fn before(&self) -> Position {
        self.before
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn ids(&self) -> &[Uuid] {
        &self.ids
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// What repositories ask that write first and know only later whether it was recorded.
#[cfg(any(feature = "file", feature = "blob"))]
impl Index {
    /// Takes back all events after `last`: their append failed.
    pub(crate) fn truncate(&mut self, last: Position) {
        let keep = last.get().saturating_sub(self.before.get()) as usize;
        let (hasher, by_id) = (&self.hasher, &mut self.by_id);
        for (id, ordinal) in self.ids.iter().zip(1_u32..).skip(keep) {
            if let Ok(found) = by_id.find_entry(hasher.hash_one(id), |one| *one == ordinal) {
                found.remove();
            }
        }
        self.ids.truncate(keep);
        for entry in &mut self.entries {
            entry
                .postings
                .truncate(entry.postings.partition_point(|one| *one as usize <= keep));
            entry.deletions.retain(|(at, _)| *at as usize <= keep);
        }
    }
}

/// What only the blob repository asks.
#[cfg(feature = "blob")]
impl Index {
    /// Each stream that has events up to `head`, and its state there.
    pub(crate) fn streams(&self, head: Position) -> impl Iterator<Item = (&[u8], StreamState)> {
        let limit = self.ordinal(head);
        let there = move |entry: &&Entry| {
            let first = entry.postings.first();
            entry.kind == KeyKind::Stream && first.is_some_and(|first| *first <= limit)
        };
        let entries = self.entries.iter().filter(there);
        entries.map(move |entry| (&*entry.text, entry.state(limit)))
    }
}

/// Which events are asked for, by position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// After this one.
    pub(crate) after: Position,
    /// Up to this one, itself included.
    pub(crate) up_to: Position,
    /// From the end.
    pub(crate) backward: bool,
}

/// Which of `count` sorted values are in `(after, up_to]`: the first `most` of them, or the last
/// where `backward`.
pub(crate) fn clip(
    count: usize,
    most: usize,
    backward: bool,
    value: impl Fn(usize) -> u32,
    after: u32,
    up_to: u32,
) -> Range<usize> {
    let first_above = |limit: u32| {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if value(middle) <= limit {
                low = middle + 1
            } else {
                high = middle
            }
        }
        low
    };
    let (start, end) = (first_above(after), first_above(up_to));
    if start >= end {
        0..0
    } else if backward {
        start.max(end.saturating_sub(most))..end
    } else {
        start..end.min(start.saturating_add(most))
    }
}

fn id_of(ids: &[Uuid], ordinal: u32) -> Uuid {
    ids.get((ordinal as usize).wrapping_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Timestamp;

    fn record<'a>(id: u128, stream: &'a str, event_type: &'a str, tags: &'a str) -> RecordView<'a> {
        RecordView {
            id: Uuid::from_u128(id),
            version: Version::NONE,
            recorded_at: Timestamp::default(),
            event_type: event_type.as_bytes(),
            stream: stream.as_bytes(),
            tags: tags.as_bytes(),
            content_type: &[],
            metadata: &[],
            payload: &[],
        }
    }

    fn filled() -> Index {
        let mut index = Index::new(Position::new(100));
        let known = || Ok(StreamState::new(Version::new(5), false));
        index
            .push(&record(1, "a", "T", "x\u{1f}x\u{1f}y"), known)
            .unwrap();
        index
            .push(&record(2, "b", "T", ""), || Ok(StreamState::default()))
            .unwrap();
        index
            .push(&record(3, "a", "$stream-deleted", "y"), known)
            .unwrap();
        index
    }

    fn all(index: &Index, kind: KeyKind, text: &str) -> Vec<u64> {
        let span = Span {
            after: Position::START,
            up_to: Position::MAX,
            backward: false,
        };
        let key = Key {
            kind,
            text: text.as_bytes(),
        };
        index
            .postings(key, &span, usize::MAX)
            .into_iter()
            .map(Position::get)
            .collect()
    }

    #[test]
    fn events_are_found_by_id_stream_type_and_tag() {
        let index = filled();
        assert_eq!(
            index.position_of(Uuid::from_u128(2)),
            Some(Position::new(102))
        );
        assert_eq!(index.position_of(Uuid::from_u128(4)), None);
        assert_eq!(all(&index, KeyKind::Stream, "a"), [101, 103]);
        assert_eq!(all(&index, KeyKind::Type, "T"), [101, 102]);
        assert_eq!(all(&index, KeyKind::Tag, "x"), [101]);
        assert_eq!(all(&index, KeyKind::Tag, "y"), [101, 103]);
        assert_eq!(
            index.position_of_version(b"a", Version::new(7)),
            Some(Position::new(103))
        );
        assert_eq!(index.position_of_version(b"a", Version::new(5)), None);
    }

    #[test]
    fn a_stream_is_seen_as_it_was_at_the_head_that_is_asked_for() {
        let index = filled();
        let state = |head| index.stream(b"a", Position::new(head));
        assert_eq!(state(100), None);
        assert_eq!(state(102), Some(StreamState::new(Version::new(6), false)));
        assert_eq!(state(103), Some(StreamState::new(Version::new(7), true)));
    }

    #[cfg(any(feature = "file", feature = "blob"))]
    #[test]
    fn what_is_taken_back_is_not_found_any_more() {
        let mut index = filled();
        index.truncate(Position::new(101));
        assert_eq!(index.last(), Position::new(101));
        assert_eq!(index.position_of(Uuid::from_u128(2)), None);
        assert_eq!(all(&index, KeyKind::Stream, "a"), [101]);
        assert_eq!(index.stream(b"b", Position::MAX), None);
        assert_eq!(
            index.stream(b"a", Position::MAX),
            Some(StreamState::new(Version::new(6), false))
        );
    }

    #[test]
    fn a_span_is_clipped_at_either_end() {
        let values = [2, 4, 6, 8];
        let clip =
            |most, backward, after, up_to| clip(4, most, backward, |at| values[at], after, up_to);
        assert_eq!(clip(9, false, 2, 6), 1..3);
        assert_eq!(clip(1, false, 0, 9), 0..1);
        assert_eq!(clip(1, true, 0, 9), 3..4);
        assert!(clip(9, false, 8, 9).is_empty() && clip(9, false, 6, 2).is_empty());
    }
}
