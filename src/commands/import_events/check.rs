//! What can be said of events to import without looking at the topic.

use std::collections::{HashMap, HashSet};

use crate::models::{Error, Limits, Position, RecordedEvent, Result, StreamId, TopicName, Version};

/// The events, of this topic, if they can have been recorded one after the other.
pub(super) fn check(
    mut events: Vec<RecordedEvent>,
    topic: &TopicName,
) -> Result<Vec<RecordedEvent>> {
    // What was recorded elsewhere was admitted there, so only the greatest limits count.
    at_most("import in events", Limits::MAX_APPEND_EVENTS, events.len())?;
    let bytes = events.iter().map(size).sum();
    at_most("import in bytes", Limits::MAX_APPEND_BYTES, bytes)?;
    let mut ids = HashSet::with_capacity(events.len());
    let mut versions: HashMap<StreamId, Version> = HashMap::new();
    let mut before: Option<(Position, _)> = None;
    for event in &mut events {
        let (position, at) = (event.position, event.recorded_at);
        if position == Position::START || event.version == Version::NONE {
            return Err(invalid("positions and versions begin with 1".to_owned()));
        }
        if let Some((last, time)) = before {
            if position != last.next() {
                return Err(invalid(format!(
                    "behind the event at position {last} comes one at position {position}: they have to follow one another"
                )));
            }
            if at < time {
                return Err(invalid(format!(
                    "the event at position {position} was recorded before the one in front of it"
                )));
            }
        }
        before = Some((position, at));
        if !ids.insert(event.id) {
            return Err(invalid(format!(
                "the id {} is given to two events",
                event.id
            )));
        }
        if let Some(last) = versions.insert(event.stream.clone(), event.version)
            && event.version != last.next()
        {
            return Err(invalid(format!(
                "the event at position {position} has version {} of its stream, and the one before has {last}",
                event.version
            )));
        }
        event.topic = topic.clone();
    }
    Ok(events)
}

pub(super) fn invalid(reason: String) -> Error {
    Error::InvalidAppend { reason }
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

fn size(event: &RecordedEvent) -> usize {
    event.payload.len()
        + event.metadata.len()
        + event.event_type.as_str().len()
        + event.stream.as_str().len()
        + event.content_type.as_str().len()
        + event.tags.joined().len()
}
