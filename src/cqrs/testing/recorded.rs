//! Events as they would be recorded, without a store.

use crate::{
    ContentType, EventType, NewEvent, Position, RecordedEvent, Result, StreamId, Tags, Timestamp,
    TopicName, Version, repository::BatchEvent,
};

/// An event as it would be recorded in the topic `given` at this position, alone in its stream: to call
/// a handler with.
///
/// It is recorded `position` seconds after 1970-01-01T00:00:00Z.
///
/// # Errors
/// Where the event breaks a rule: those of an append.
pub fn recorded(event: &NewEvent, position: u64) -> Result<RecordedEvent> {
    let event = event.clone();
    let content_type = match event.content_type {
        Some(text) => ContentType::new(text)?,
        None => ContentType::JSON,
    };
    let seconds = i64::try_from(position).unwrap_or(i64::MAX);
    let event = BatchEvent {
        id: event.id,
        stream: StreamId::new(event.stream.unwrap_or_default())?,
        event_type: EventType::new(event.event_type)?,
        payload: event.payload,
        content_type,
        metadata: event.metadata,
        tags: Tags::new(&event.tags)?,
    };
    Ok(event.into_recorded(
        TopicName::new("given")?,
        Position::new(position),
        Version::new(1),
        Timestamp::from_micros(seconds.saturating_mul(1_000_000)),
    ))
}
