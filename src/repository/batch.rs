//! An append after it was checked at the edge: what adapters are handed.

use bytes::Bytes;
use uuid::Uuid;

use crate::models::{
    ContentType, EventFilter, EventType, ExpectedVersion, Position, RecordedEvent, StreamId, Tags,
    Timestamp, TopicName, Version,
};

/// Events that are recorded together, or not at all. Sizes and names have been checked.
#[derive(Clone, Debug)]
pub struct AppendBatch {
    /// The stream of which `expected` speaks.
    pub stream: StreamId,
    /// The version that the stream has to have.
    pub expected: ExpectedVersion,
    /// What must not have been recorded.
    pub condition: Option<Condition>,
    /// The events, in order; at least one, and no id twice.
    pub events: Vec<BatchEvent>,
    /// The id that the next event of the same idempotency key would have. Where it is recorded,
    /// the key was used for more events than these.
    pub beyond: Option<Uuid>,
}

/// Refuses an append if an event that matches is recorded after a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The events that are ruled out.
    pub filter: EventFilter,
    /// The position after which they are ruled out.
    pub after: Position,
}

/// One event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEvent {
    /// The id.
    pub id: Uuid,
    /// The stream.
    pub stream: StreamId,
    /// The type.
    pub event_type: EventType,
    /// The payload.
    pub payload: Bytes,
    /// The media type of the payload.
    pub content_type: ContentType,
    /// The metadata; empty where there is none.
    pub metadata: Bytes,
    /// The tags.
    pub tags: Tags,
}

impl BatchEvent {
    /// The event as it is recorded at a place and time.
    #[must_use]
    pub fn into_recorded(
        self,
        topic: TopicName,
        position: Position,
        version: Version,
        recorded_at: Timestamp,
    ) -> RecordedEvent {
        RecordedEvent {
            topic,
            position,
            stream: self.stream,
            version,
            id: self.id,
            event_type: self.event_type,
            payload: self.payload,
            content_type: self.content_type,
            metadata: self.metadata,
            tags: self.tags,
            recorded_at,
        }
    }

    /// Whether `recorded` is this event: the same in everything that a caller gives.
    #[must_use]
    pub fn is_recorded_as(&self, recorded: &RecordedEvent) -> bool {
        self.id == recorded.id
            && self.stream == recorded.stream
            && self.event_type == recorded.event_type
            && self.payload == recorded.payload
            && self.content_type == recorded.content_type
            && self.metadata == recorded.metadata
            && self.tags == recorded.tags
    }
}
