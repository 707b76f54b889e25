//! A topic in memory as it is searched.

use bytes::Bytes;
use uuid::Uuid;

use super::log::Log;
use crate::{
    models::{Error, Position, RecordedEvent, Result, StreamState, Version},
    repository::{
        chunk::record_at,
        index::{Key, Span},
        paging::{PAGE_BYTES, PAGE_EVENTS},
        parts::{Part, Probe},
        record::RecordView,
    },
};

/// A topic as the one part that it is. Each question takes the lock for itself, so that a reader
/// never holds up the writer for longer than it takes to collect a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryPart<'a>(pub(super) &'a Log);

impl MemoryPart<'_> {
    /// Decodes events after they were collected under the lock.
    fn decode(
        &self,
        collected: Vec<(Position, Bytes, u32)>,
        out: &mut Vec<RecordedEvent>,
    ) -> Result<()> {
        let topic = self.0.topic.unshared();
        let mut bytes = 0;
        for (position, page, start) in collected {
            let damaged = |reason: &str| Error::Corruption {
                place: format!("memory, topic {}, position {position}", self.0.topic),
                reason: reason.to_owned(),
            };
            let record = record_at(&page, start).ok_or_else(|| damaged("the record is cut off"))?;
            let event = RecordView::decode(record, self.0.base)
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

impl Part for MemoryPart<'_> {
    fn before(&self) -> Position {
        Position::START
    }

    fn last(&self) -> Position {
        self.0.events.read().index.last()
    }

    fn position_of(&self, id: &Probe<Uuid>) -> Result<Option<Position>> {
        Ok(self.0.events.read().index.position_of(id.what))
    }

    fn stream(&self, stream: &Probe<&[u8]>, head: Position) -> Result<Option<StreamState>> {
        Ok(self.0.events.read().index.stream(stream.what, head))
    }

    fn position_of_version(&self, stream: &[u8], version: Version) -> Result<Option<Position>> {
        Ok(self
            .0
            .events
            .read()
            .index
            .position_of_version(stream, version))
    }

    fn count(&self, key: Key<'_>) -> Result<usize> {
        Ok(self.0.events.read().index.count(key))
    }

    fn postings(&self, key: Key<'_>, span: &Span, most: usize) -> Result<Vec<Position>> {
        Ok(self.0.events.read().index.postings(key, span, most))
    }

    fn fetch(&self, positions: &[Position], out: &mut Vec<RecordedEvent>) -> Result<()> {
        let events = self.0.events.read();
        let collected = positions
            .iter()
            .take(PAGE_EVENTS)
            .filter_map(|one| events.locate(*one));
        let collected = collected.collect();
        drop(events);
        self.decode(collected, out)
    }

    fn scan(&self, span: &Span, out: &mut Vec<RecordedEvent>) -> Result<()> {
        let positions =
            (span.after.get()..span.up_to.get()).map(|before| Position::new(before + 1));
        let events = self.0.events.read();
        let collected = positions
            .take(PAGE_EVENTS)
            .map_while(|one| events.locate(one))
            .collect();
        drop(events);
        self.decode(collected, out)
    }
}
