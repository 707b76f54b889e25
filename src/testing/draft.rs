//! Batches, written briefly.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    models::{ContentType, EventFilter, EventType, ExpectedVersion, Position, StreamId, Tags},
    repository::{AppendBatch, BatchEvent, Condition},
};

/// An id that no other call, in no other process, gives.
pub(super) fn fresh_id() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{number}", std::process::id());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// A stream id that is known to be valid.
pub(super) fn stream_id(text: &str) -> StreamId {
    StreamId::new(text).expect("the stream's id is valid")
}

/// A batch in the making. What is said of an event is said of the last one.
#[derive(Clone, Debug)]
pub(super) struct Draft(AppendBatch);

impl Draft {
    pub(super) fn to(stream: &str) -> Self {
        Self(AppendBatch {
            stream: stream_id(stream),
            expected: ExpectedVersion::Any,
            condition: None,
            events: Vec::new(),
            beyond: None,
        })
    }

    /// One more event, with an id of its own and a payload made from it.
    pub(super) fn event(mut self, event_type: &str) -> Self {
        let id = fresh_id();
        self.0.events.push(BatchEvent {
            id,
            stream: self.0.stream.clone(),
            event_type: EventType::new(event_type).expect("the type is valid"),
            payload: Bytes::from(format!("{{\"of\":\"{id}\"}}")),
            content_type: ContentType::JSON,
            metadata: Bytes::new(),
            tags: Tags::default(),
        });
        self
    }

    /// This many more events of one type.
    pub(super) fn events(self, count: usize, event_type: &str) -> Self {
        (0..count).fold(self, |draft, _| draft.event(event_type))
    }

    pub(super) fn edit(mut self, change: impl FnOnce(&mut BatchEvent)) -> Self {
        change(self.0.events.last_mut().expect("there is an event"));
        self
    }

    pub(super) fn in_stream(self, stream: &str) -> Self {
        self.edit(|event| event.stream = stream_id(stream))
    }

    pub(super) fn id(self, id: Uuid) -> Self {
        self.edit(|event| event.id = id)
    }

    pub(super) fn payload(self, payload: impl Into<Bytes>) -> Self {
        self.edit(|event| event.payload = payload.into())
    }

    pub(super) fn metadata(self, metadata: impl Into<Bytes>) -> Self {
        self.edit(|event| event.metadata = metadata.into())
    }

    pub(super) fn content_type(self, text: &str) -> Self {
        self.edit(|event| event.content_type = ContentType::new(text).expect("it is valid"))
    }

    pub(super) fn tags<T: AsRef<str>>(self, tags: &[T]) -> Self {
        self.edit(|event| event.tags = Tags::new(tags).expect("the tags are valid"))
    }

    pub(super) fn expected(mut self, expected: ExpectedVersion) -> Self {
        self.0.expected = expected;
        self
    }

    pub(super) fn unless(mut self, filter: EventFilter, after: u64) -> Self {
        self.0.condition = Some(Condition {
            filter,
            after: Position::new(after),
        });
        self
    }

    pub(super) fn beyond(mut self, id: Uuid) -> Self {
        self.0.beyond = Some(id);
        self
    }

    /// The same guards with these of the events, in this order.
    pub(super) fn pick(&self, indices: &[usize]) -> Self {
        let events = indices.iter().map(|&index| self.0.events[index].clone());
        Self(AppendBatch {
            events: events.collect(),
            ..self.0.clone()
        })
    }

    /// The same with the events of `other` behind its own.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.0.events.extend(other.0.events.iter().cloned());
        self
    }

    pub(super) fn ids(&self) -> Vec<Uuid> {
        self.0.events.iter().map(|event| event.id).collect()
    }

    pub(super) const fn batch(&self) -> &AppendBatch {
        &self.0
    }

    pub(super) fn build(self) -> Arc<AppendBatch> {
        Arc::new(self.0)
    }
}
