//! A part of the log in memory: slots that follow one another, with an index.

use bytes::Bytes;
use parking_lot::RwLock;
use uuid::Uuid;

use super::streams::Streams;
use crate::{
    models::{Error, Position, RecordedEvent, Result, StreamState, Timestamp, TopicName, Version},
    repository::{
        chunk::record_at,
        index::{Index, Key, Span},
        paging::{PAGE_BYTES, PAGE_EVENTS},
        parts::{Part, Probe},
        record::{Malformed, RecordView},
    },
};

/// A run of events in memory. What is beyond the head that the topic tells is not recorded yet.
#[derive(Debug)]
pub(super) struct Tail {
    before: Position,
    events: RwLock<Events>,
}

#[derive(Debug)]
struct Events {
    index: Index,
    /// Records, each behind its length, as they were written or read.
    chunks: Vec<Bytes>,
    places: Vec<Place>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    chunk: u32,
    start: u32,
}

impl Tail {
    /// An empty tail, for events after `before`.
    pub(super) fn new(before: Position) -> Self {
        Self {
            before,
            events: RwLock::new(Events {
                index: Index::new(before),
                chunks: Vec::new(),
                places: Vec::new(),
                bytes: 0,
            }),
        }
    }

    pub(super) const fn before(&self) -> Position {
        self.before
    }

    pub(super) fn last(&self) -> Position {
        self.events.read().index.last()
    }

    /// How many bytes of records it holds.
    pub(super) fn bytes(&self) -> usize {
        self.events.read().bytes
    }

    /// Adds the records that are at `starts` in `chunk`, and tells when the last of them was
    /// recorded. Where one is malformed nothing is added.
    pub(super) fn push(
        &self,
        chunk: Bytes,
        starts: &[u32],
        base: Timestamp,
    ) -> Result<Timestamp, Malformed> {
        let held = chunk.clone();
        let mut views = Vec::with_capacity(starts.len());
        for start in starts {
            let record = record_at(&held, *start).ok_or("a record is cut off")?;
            views.push(RecordView::decode(record, base)?);
        }
        self.push_views(chunk, starts, &views)
    }

    /// The same, with records that are known already.
    pub(super) fn push_views(
        &self,
        chunk: Bytes,
        starts: &[u32],
        views: &[RecordView<'_>],
    ) -> Result<Timestamp, Malformed> {
        let mut guard = self.events.write();
        let events = &mut *guard;
        let number = events.chunks.len() as u32;
        let mut last_time = Timestamp::from_micros(i64::MIN);
        for (view, start) in views.iter().zip(starts) {
            // What the stream was before its first event here follows from that event: it is one
            // version back, and not deleted, or else the event restores it.
            let before = || {
                let version = Version::new(view.version.get().saturating_sub(1));
                Ok(StreamState::new(version, false))
            };
            let added = events.index.push(view, before);
            added.map_err(|_| "an index takes no event")?;
            events.places.push(Place {
                chunk: number,
                start: *start,
            });
            last_time = last_time.max(view.recorded_at);
        }
        events.bytes += chunk.len();
        events.chunks.push(chunk);
        Ok(last_time)
    }

    /// Takes back all events after `last`, which were not recorded.
    pub(super) fn truncate(&self, last: Position) {
        let mut events = self.events.write();
        if events.index.last() <= last {
            return;
        }
        events.index.truncate(last);
        let keep = (last.get() - self.before.get()) as usize;
        events.places.truncate(keep);
        let chunks = events
            .places
            .last()
            .map_or(0, |place| place.chunk as usize + 1);
        let dropped = events.chunks.split_off(chunks);
        events.bytes -= dropped.iter().map(Bytes::len).sum::<usize>();
    }

    /// Tells the states of its streams, before it is forgotten.
    pub(super) fn tell_streams(&self, streams: &mut Streams) {
        let events = self.events.read();
        let last = events.index.last();
        for (stream, state) in events.index.streams(last) {
            streams.tell(Bytes::copy_from_slice(stream), state);
        }
    }

    /// The records after one position, up to another.
    pub(super) fn records(&self, after: Position, up_to: Position) -> Vec<Bytes> {
        let events = self.events.read();
        let range = after.get()..up_to.get();
        let record = |before| {
            let (_, page, start) = events.locate(self.before, Position::new(before + 1))?;
            let record = record_at(&page, start)?;
            Some(page.slice_ref(record))
        };
        range.map_while(record).collect()
    }
}

impl Events {
    /// Where an event is: its position, the chunk that it is in, and where it begins in it.
    fn locate(&self, before: Position, position: Position) -> Option<(Position, Bytes, u32)> {
        let ordinal = position.get().checked_sub(before.get() + 1)?;
        let place = self.places.get(usize::try_from(ordinal).ok()?)?;
        let chunk = self.chunks.get(place.chunk as usize)?;
        Some((position, chunk.clone(), place.start))
    }
}

/// A tail as it is searched.
#[derive(Clone, Copy, Debug)]
pub(super) struct TailPart<'a> {
    pub(super) tail: &'a Tail,
    pub(super) topic: &'a TopicName,
    pub(super) base: Timestamp,
}

impl TailPart<'_> {
    fn decode(
        &self,
        collected: Vec<(Position, Bytes, u32)>,
        out: &mut Vec<RecordedEvent>,
    ) -> Result<()> {
        let topic = self.topic.unshared();
        let mut bytes = 0;
        for (position, page, start) in collected {
            let damaged = |reason: &str| Error::Corruption {
                place: format!("log of topic {}, position {position}", self.topic),
                reason: reason.to_owned(),
            };
            let record = record_at(&page, start).ok_or_else(|| damaged("the record is cut off"))?;
            let event = RecordView::decode(record, self.base)
                .and_then(|view| view.to_event(&page, &topic, position))
                .map_err(damaged)?;
            out.push(event);
            bytes += record.len();
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(())
    }
}

impl Part for TailPart<'_> {
    fn before(&self) -> Position {
        self.tail.before
    }

    fn last(&self) -> Position {
        self.tail.last()
    }

    fn position_of(&self, id: &Probe<Uuid>) -> Result<Option<Position>> {
        Ok(self.tail.events.read().index.position_of(id.what))
    }

    fn stream(&self, stream: &Probe<&[u8]>, head: Position) -> Result<Option<StreamState>> {
        Ok(self.tail.events.read().index.stream(stream.what, head))
    }

    fn position_of_version(&self, stream: &[u8], version: Version) -> Result<Option<Position>> {
        let events = self.tail.events.read();
        Ok(events.index.position_of_version(stream, version))
    }

    fn count(&self, key: Key<'_>) -> Result<usize> {
        Ok(self.tail.events.read().index.count(key))
    }

    fn postings(&self, key: Key<'_>, span: &Span, most: usize) -> Result<Vec<Position>> {
        Ok(self.tail.events.read().index.postings(key, span, most))
    }

    fn fetch(&self, positions: &[Position], out: &mut Vec<RecordedEvent>) -> Result<()> {
        let events = self.tail.events.read();
        let wanted = positions.iter().take(PAGE_EVENTS);
        let collected = wanted.filter_map(|one| events.locate(self.tail.before, *one));
        let collected = collected.collect();
        drop(events);
        self.decode(collected, out)
    }

    fn scan(&self, span: &Span, out: &mut Vec<RecordedEvent>) -> Result<()> {
        let positions =
            (span.after.get()..span.up_to.get()).map(|before| Position::new(before + 1));
        let events = self.tail.events.read();
        let collected = positions
            .take(PAGE_EVENTS)
            .map_while(|one| events.locate(self.tail.before, one))
            .collect();
        drop(events);
        self.decode(collected, out)
    }
}
