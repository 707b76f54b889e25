//! Gives events their versions, and checks the order of those that have theirs already.

use std::collections::HashMap;

use crate::models::{Error, Position, RecordedEvent, Result, StreamId, Timestamp, Version};

use super::{AppendBatch, LogView, record::RecordView};

/// The records of a batch that is to be written, and the version of its own stream after it, which
/// is at `before` now.
pub(crate) fn records<'a>(
    topic: &impl LogView,
    batch: &'a AppendBatch,
    before: Version,
    recorded_at: Timestamp,
) -> Result<(Vec<RecordView<'a>>, Version)> {
    let mut own = before;
    // Most events are in the append's own stream.
    let mut others: HashMap<&StreamId, Version> = HashMap::new();
    let mut records = Vec::with_capacity(batch.events.len());
    for event in &batch.events {
        let version = if event.stream == batch.stream {
            own = own.next();
            own
        } else {
            let version = match others.get(&event.stream) {
                Some(version) => version.next(),
                None => topic.stream(&event.stream)?.version.next(),
            };
            others.insert(&event.stream, version);
            version
        };
        records.push(RecordView::of_batch(event, version, recorded_at));
    }
    Ok((records, own))
}

/// Those of `events` that are beyond the head, if they follow it without a gap.
pub(crate) fn importable(events: &[RecordedEvent], head: Position) -> Result<&[RecordedEvent]> {
    let known = events.partition_point(|event| event.position <= head);
    let new = events.get(known..).unwrap_or_default();
    let mut next = head.next();
    for event in new {
        if event.position != next {
            return Err(Error::InvalidAppend {
                reason: format!(
                    "the next position of topic {} is {next}, and the event to import has {}",
                    event.topic, event.position
                ),
            });
        }
        next = next.next();
    }
    Ok(new)
}
