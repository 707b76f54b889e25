//! Gives events their versions, and checks the order of those that have theirs already.

use std::collections::HashMap;

use crate::models::{Error, Position, RecordedEvent, Result, StreamId, Version};

use super::parts::{Part, Parts};

/// Gives versions to the events of one append, stream by stream.
#[derive(Debug)]
pub(crate) struct Versions<'a, P> {
    topic: &'a Parts<'a, P>,
    own: &'a StreamId,
    /// The last version of the append's own stream, in which most events are.
    current: Version,
    others: HashMap<&'a StreamId, Version>,
}

impl<'a, P: Part> Versions<'a, P> {
    /// Begins with the append's own stream at the version `current`.
    pub(crate) fn new(topic: &'a Parts<'a, P>, own: &'a StreamId, current: Version) -> Self {
        Self {
            topic,
            own,
            current,
            others: HashMap::new(),
        }
    }

    /// The version of the next event, which is in `stream`.
    pub(crate) fn next(&mut self, stream: &'a StreamId) -> Result<Version> {
        if stream == self.own {
            self.current = self.current.next();
            return Ok(self.current);
        }
        let version = match self.others.get(stream) {
            Some(version) => version.next(),
            None => self
                .topic
                .stream_state(stream.as_str().as_bytes())?
                .version
                .next(),
        };
        self.others.insert(stream, version);
        Ok(version)
    }

    /// The version of the append's own stream now.
    pub(crate) const fn current(&self) -> Version {
        self.current
    }
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
