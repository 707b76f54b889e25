//! One topic on the way through all events: where it begins, and its events in turn.

use std::collections::VecDeque;

use super::{super::answer::Refusal, position::Place};
use crate::{Error, EventStore, Position, Read, RecordedEvent, Result, Timestamp, TopicInfo};

/// In which order events are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Backward,
}

/// A topic, up to where it was looked at.
#[derive(Debug)]
pub(super) struct Cursor {
    name: String,
    topic: u64,
    way: Way,
    /// The next position to be read.
    next: u64,
    /// How many events are read at once.
    chunk: u64,
    events: VecDeque<RecordedEvent>,
    ended: bool,
}

impl Cursor {
    /// Begins with the first event from `from` on, or, backward, with the last before it.
    pub(super) async fn begin(
        store: &EventStore,
        topic: &TopicInfo,
        way: Way,
        from: Place,
        chunk: u64,
    ) -> Result<Self, Refusal> {
        let created = topic.created_position.get();
        let name = topic.name.as_str();
        let first = match first_from(store, name, created, from).await {
            // It was deleted since the topics were listed.
            Err(Error::TopicNotFound { .. }) => None,
            first => Some(first?),
        };
        let next = match way {
            Way::Forward => first.unwrap_or(0),
            Way::Backward => first.unwrap_or(0).saturating_sub(1),
        };
        let mut cursor = Self {
            name: name.to_owned(),
            topic: created,
            way,
            next,
            chunk,
            events: VecDeque::new(),
            ended: next == 0,
        };
        cursor.fill(store).await?;
        Ok(cursor)
    }

    /// The place of the next event.
    pub(super) fn place(&self) -> Option<Place> {
        self.events.front().map(|event| Place {
            at: event.recorded_at,
            topic: self.topic,
            position: event.position.get(),
        })
    }

    /// The next event; what is behind it is read where it is not at hand.
    pub(super) async fn take(
        &mut self,
        store: &EventStore,
    ) -> Result<Option<RecordedEvent>, Refusal> {
        let event = self.events.pop_front();
        self.fill(store).await?;
        Ok(event)
    }

    async fn fill(&mut self, store: &EventStore) -> Result<(), Refusal> {
        if self.ended || !self.events.is_empty() {
            return Ok(());
        }
        let read = match self.way {
            Way::Forward => Read::all().after(Position::new(self.next.saturating_sub(1))),
            Way::Backward => Read::all().up_to(Position::new(self.next)).backward(),
        };
        let events = match store.get_events(&self.name, read.limit(self.chunk)).await {
            Err(Error::TopicNotFound { .. }) => Vec::new(),
            events => events?,
        };
        self.ended = (events.len() as u64) < self.chunk;
        if let Some(last) = events.last() {
            self.next = match self.way {
                Way::Forward => last.position.get().saturating_add(1),
                Way::Backward => last.position.get().saturating_sub(1),
            };
            self.ended |= self.next == 0;
        }
        self.events = events.into();
        Ok(())
    }
}

/// The first position of a topic that is not before `from`; the one behind the last where all are.
async fn first_from(store: &EventStore, name: &str, created: u64, from: Place) -> Result<u64> {
    if from == Place::START {
        return Ok(1);
    }
    if from.topic == created && from.position > 0 {
        return Ok(from.position);
    }
    // At the same moment, the topics that were created earlier are before.
    let at = if created < from.topic {
        Timestamp::from_micros(from.at.as_micros().saturating_add(1))
    } else {
        from.at
    };
    let head = store.get_latest_version(name).await?.get();
    if from >= Place::END {
        return Ok(head.saturating_add(1));
    }
    search(store, name, head, at).await
}

/// The first position with an event that was recorded at this moment or later. Times do not run
/// backwards in a topic, and most readers are near its end: so it is looked for from there, in steps
/// that grow, and then by halves.
async fn search(store: &EventStore, name: &str, head: u64, at: Timestamp) -> Result<u64> {
    // Not before `at`, and before it: 0 is before everything.
    let mut high = head.saturating_add(1);
    let mut low = 0;
    let mut step = 1;
    while low + 1 < high {
        let probe = high.saturating_sub(step).max(low + 1);
        match time_of(store, name, probe).await? {
            Some(time) if time < at => {
                low = probe;
                break;
            }
            Some(_) => high = probe,
            None => return Ok(high),
        }
        step = step.saturating_mul(4);
    }
    while low + 1 < high {
        let probe = low + (high - low) / 2;
        match time_of(store, name, probe).await? {
            Some(time) if time < at => low = probe,
            Some(_) => high = probe,
            None => return Ok(high),
        }
    }
    Ok(high)
}

async fn time_of(store: &EventStore, name: &str, position: u64) -> Result<Option<Timestamp>> {
    let read = Read::all().after(Position::new(position.saturating_sub(1)));
    let event = store.get_events(name, read.limit(1)).await?.pop();
    Ok(event.map(|event| event.recorded_at))
}
