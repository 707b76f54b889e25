//! The events of all topics in one order.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::{
    super::{answer::Refusal, stream::Budget},
    cursor::{Cursor, Way},
    filter::Filter,
    position::Place,
};
use crate::{
    EventStore, RecordedEvent, Timestamp, TopicInfo,
    server::access::{Action, Caller},
};

/// How old an event has to be before it is shown, where there are several topics: one that is recorded
/// in another topic with an earlier time is seen by then, and comes before it. With one topic there is
/// no other, and no event is held back.
pub(super) const HOLD_BACK: Duration = Duration::from_secs(5);

/// How many topics are asked at once.
const AT_ONCE: usize = 16;

/// The most events that are looked at for one page.
const MOST_LOOKED_AT: u64 = 10_000;

/// What a page asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) way: Way,
    pub(super) from: Place,
    pub(super) count: u64,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// In the order in which they were looked at.
    pub(super) events: Vec<(Place, RecordedEvent)>,
    /// The place of the first event that was looked at, whether it is among those found or not.
    pub(super) looked_from: Option<Place>,
    /// The place of the last one.
    pub(super) looked_to: Option<Place>,
    /// Whether there is nothing further that may be shown by now.
    pub(super) is_end: bool,
    /// Whether there are events that are held back.
    pub(super) holds_back: bool,
}

/// Topics to be read as one.
#[derive(Debug)]
pub(super) struct Topics {
    pub(super) topics: Vec<TopicInfo>,
    /// The moment up to which events are shown.
    shown_up_to: Timestamp,
}

impl Topics {
    /// The topics that a caller may read.
    pub(super) async fn list(store: &EventStore, caller: &Caller) -> Result<Self, Refusal> {
        // Before the list, so that a topic that is not in it has no event that is older.
        let now = store.clock().now();
        let mut topics = store.list_topics().await?;
        topics.retain(|topic| caller.is_allowed(Action::Read, topic.name.as_str()));
        let held = i64::try_from(HOLD_BACK.as_micros()).unwrap_or(i64::MAX);
        let shown_up_to = if topics.len() < 2 {
            Place::END.at
        } else {
            Timestamp::from_micros(now.as_micros().saturating_sub(held))
        };
        Ok(Self {
            topics,
            shown_up_to,
        })
    }

    /// Reads all topics of a caller, and tells which they were.
    pub(super) async fn read_all(
        store: &EventStore,
        caller: &Caller,
        wanted: Wanted,
        filter: &Filter,
    ) -> Result<(Self, Found), Refusal> {
        let mut topics = Self::list(store, caller).await?;
        loop {
            let found = topics.read(store, wanted, filter).await?;
            if topics.topics.len() > 1 {
                return Ok((topics, found));
            }
            // Nothing was held back, so there must not have been another topic by then.
            let by_now = Self::list(store, caller).await?;
            if by_now.are(&topics) {
                return Ok((topics, found));
            }
            topics = by_now;
        }
    }

    /// Whether these are the same topics.
    pub(super) fn are(&self, others: &Self) -> bool {
        let all = |topics: &Self| -> Vec<_> {
            let topics = topics.topics.iter();
            topics.map(|topic| topic.created_position).collect()
        };
        all(self) == all(others)
    }

    async fn cursors(
        &self,
        store: &EventStore,
        wanted: Wanted,
        from: Place,
    ) -> Result<Vec<Cursor>, Refusal> {
        let share = wanted.count / (self.topics.len() as u64).max(1);
        let chunk = share.saturating_add(1).min(wanted.count);
        // Boxed one by one, since a closure that borrows its argument makes a future that cannot be sent.
        let mut begin = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            begin.push(Cursor::begin(store, topic, wanted.way, from, chunk).boxed());
        }
        let begun = stream::iter(begin).buffer_unordered(AT_ONCE);
        begun.try_collect().await
    }

    /// Looks at events in the order of their places until there are enough that match.
    ///
    /// No more events are held at once than are asked for, and one more of each topic.
    async fn read(
        &self,
        store: &EventStore,
        wanted: Wanted,
        filter: &Filter,
    ) -> Result<Found, Refusal> {
        let shown_up_to = self.shown_up_to;
        let behind = Timestamp::from_micros(shown_up_to.as_micros().saturating_add(1));
        let from = match wanted.way {
            Way::Forward => wanted.from,
            Way::Backward => wanted.from.min(Place::before(behind)),
        };
        let mut cursors = self.cursors(store, wanted, from).await?;
        let mut found = Found {
            events: Vec::new(),
            looked_from: None,
            looked_to: None,
            is_end: false,
            holds_back: false,
        };
        let (mut looked_at, mut budget) = (0, Budget::default());
        while (found.events.len() as u64) < wanted.count && looked_at < MOST_LOOKED_AT {
            let places = cursors.iter_mut().filter_map(|cursor| {
                let place = cursor.place()?;
                Some((place, cursor))
            });
            let next = match wanted.way {
                Way::Forward => places.min_by_key(|(place, _)| *place),
                Way::Backward => places.max_by_key(|(place, _)| *place),
            };
            let Some((place, cursor)) = next else {
                found.is_end = true;
                break;
            };
            if place.at > shown_up_to {
                (found.is_end, found.holds_back) = (true, true);
                break;
            }
            looked_at += 1;
            found.looked_from.get_or_insert(place);
            found.looked_to = Some(place);
            if let Some(event) = cursor.take(store).await?
                && filter.admits(&event)
            {
                budget.take(&event)?;
                found.events.push((place, event));
            }
        }
        Ok(found)
    }
}
