//! What a stream's metadata says of it: how much of it is still shown, and for how long an answer holds.

use std::time::Duration;

use serde_json::Value;

use super::{answer::Refusal, names::metadata_stream};
use crate::{Clock as _, EventStore, Read, RecordedEvent, SystemClock, Timestamp};

/// A number that means "all that there are" in `$tb`: so clients of EventStoreDB delete a stream.
const ALL_THERE_ARE: u64 = i64::MAX as u64;

/// What is done here of a stream's metadata.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamMetadata {
    /// `$tb`: events with a smaller number are not shown.
    pub(super) truncate_before: u64,
    /// `$maxCount`: only so many of the newest events are shown.
    max_count: Option<u64>,
    /// `$maxAge`: older events are not shown.
    max_age: Option<Duration>,
    /// `$cacheControl`, in seconds.
    pub(super) cache_control: Option<u64>,
    /// How often metadata was written.
    pub(super) version: u64,
}

impl StreamMetadata {
    /// What the newest metadata event of a stream says, and that event.
    pub(super) async fn load(
        store: &EventStore,
        topic: &str,
        stream: &str,
    ) -> Result<(Self, Option<RecordedEvent>), Refusal> {
        let Some(event) = newest_event(store, topic, stream).await? else {
            return Ok((Self::default(), None));
        };
        let mut metadata = Self::of(&event);
        if metadata.truncate_before >= ALL_THERE_ARE {
            // All that there were when that was said: what was recorded later is shown.
            let read = Read::stream(stream)
                .include_deleted()
                .up_to(event.position)
                .backward()
                .limit(1);
            let last = store.get_events(topic, read).await?.pop();
            metadata.truncate_before = last.map_or(0, |last| last.version.get());
        }
        Ok((metadata, Some(event)))
    }

    /// Reads what a metadata event says; what it does not understand it does not do.
    fn of(event: &RecordedEvent) -> Self {
        let value: Value = event.json().unwrap_or(Value::Null);
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let positive = |name: &str| number(name).filter(|number| *number > 0);
        Self {
            truncate_before: number("$tb").unwrap_or(0),
            max_count: positive("$maxCount"),
            max_age: positive("$maxAge").map(Duration::from_secs),
            cache_control: positive("$cacheControl"),
            version: event.version.get(),
        }
    }

    /// The first number that is shown of a stream with this many events.
    pub(super) fn lowest(&self, events: u64) -> u64 {
        let kept = self.max_count.map(|most| events.saturating_sub(most));
        self.truncate_before.max(kept.unwrap_or(0))
    }

    /// The moment before which events are too old to be shown.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let age = i64::try_from(self.max_age?.as_micros()).unwrap_or(i64::MAX);
        let now = SystemClock.now().as_micros();
        Some(Timestamp::from_micros(now.saturating_sub(age)))
    }
}

/// The newest metadata event of a stream.
pub(super) async fn newest_event(
    store: &EventStore,
    topic: &str,
    stream: &str,
) -> Result<Option<RecordedEvent>, Refusal> {
    let read = Read::stream(metadata_stream(stream))
        .include_deleted()
        .backward()
        .limit(1);
    Ok(store.get_events(topic, read).await?.pop())
}
