//! Turns an append as it was asked for into a batch that keeps all the rules, or says which rule
//! it breaks.

use std::collections::HashSet;

use uuid::Uuid;

use crate::{
    models::{
        Append, ContentType, Error, EventType, Limits, NewEvent, Result, StreamId, Tags, keyed_ids,
    },
    repository::{AppendBatch, BatchEvent, Condition},
};

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 512;

/// Checks an append.
pub(super) fn check(append: Append, limits: &Limits) -> Result<AppendBatch> {
    let Append {
        mut events,
        stream,
        expected,
        condition,
        key,
    } = append;
    let count = events.len();
    if count == 0 {
        return Err(invalid("it has no events"));
    }
    at_most("append in events", limits.append_events, count)?;
    let stream = StreamId::new(stream)?;
    let beyond = match key {
        Some(key) => Some(use_key(&key, &mut events)?),
        None => None,
    };
    let mut checked: Vec<BatchEvent> = Vec::with_capacity(count);
    let mut bytes = 0;
    for (event, index) in events.into_iter().zip(0..) {
        at_most(
            "payload in bytes",
            limits.payload_bytes,
            event.payload.len(),
        )?;
        at_most(
            "metadata in bytes",
            limits.payload_bytes,
            event.metadata.len(),
        )?;
        let event =
            check_event(event, &stream).map_err(|reason| Error::InvalidEvent { index, reason })?;
        bytes += size(&event);
        checked.push(event);
    }
    at_most("append in bytes", limits.append_bytes, bytes)?;
    if let Some(twice) = repeated(&checked) {
        return Err(invalid(&format!(
            "the id {twice} is given to two of its events"
        )));
    }
    let condition = condition.map(|(filter, after)| Condition { filter, after });
    Ok(AppendBatch {
        stream,
        expected,
        condition,
        events: checked,
        beyond,
    })
}

fn check_event(event: NewEvent, stream: &StreamId) -> Result<BatchEvent, String> {
    EventType::check(&event.event_type)?;
    let stream = match event.stream {
        Some(own) => {
            StreamId::check(&own)?;
            StreamId::trusted(own.into())
        }
        None => stream.clone(),
    };
    let content_type = match event.content_type {
        Some(text) => {
            ContentType::check(&text)?;
            ContentType::trusted(text.into())
        }
        None => ContentType::JSON,
    };
    Ok(BatchEvent {
        id: event.id,
        stream,
        event_type: EventType::trusted(event.event_type.into()),
        payload: event.payload,
        content_type,
        metadata: event.metadata,
        tags: Tags::join(&event.tags)?,
    })
}

/// Gives events the ids that the key makes, and returns the one that the next event would have.
fn use_key(key: &str, events: &mut [NewEvent]) -> Result<Uuid> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let length = key.len();
        return Err(invalid(&format!(
            "an idempotency key has 1 to {MAX_KEY_BYTES} bytes, this one has {length}"
        )));
    }
    if events.iter().any(|event| event.id_given) {
        return Err(invalid(
            "it has an idempotency key and events with ids of their own; give one or the other",
        ));
    }
    let mut id = keyed_ids(key);
    for (event, index) in events.iter_mut().zip(0..) {
        event.id = id(index);
    }
    Ok(id(events.len() as u64))
}

/// An id that two events have.
fn repeated(events: &[BatchEvent]) -> Option<Uuid> {
    if events.len() == 1 {
        return None;
    }
    let mut seen = HashSet::with_capacity(events.len());
    events
        .iter()
        .map(|event| event.id)
        .find(|id| !seen.insert(*id))
}

fn size(event: &BatchEvent) -> usize {
    event.payload.len()
        + event.metadata.len()
        + event.event_type.as_str().len()
        + event.stream.as_str().len()
        + event.content_type.as_str().len()
        + event.tags.joined().len()
}

fn at_most(what: &'static str, limit: usize, actual: usize) -> Result<()> {
    if actual <= limit {
        return Ok(());
    }
    Err(Error::TooLarge {
        what,
        limit: limit as u64,
        actual: actual as u64,
    })
}

fn invalid(reason: &str) -> Error {
    Error::InvalidAppend {
        reason: reason.to_owned(),
    }
}
