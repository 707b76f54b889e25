//! A stream as a reader sees it: where it is, how far it goes, and what of it is shown.

use futures_util::TryStreamExt as _;

use super::{
    answer::Refusal,
    asked::Asked,
    metadata::StreamMetadata,
    names::{described_stream, recorded_stream},
    urls::StreamUrls,
};
use crate::{
    Error, EventFilter, Read, RecordedEvent, Version,
    server::{
        access::{Action, Caller},
        state::App,
    },
};

/// The most bytes of payloads and metadata that one answer may take.
const MOST_BYTES: usize = 64 << 20;

/// A stream that has events to show, as it is at one moment.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    app: &'a App,
    pub(super) topic: String,
    /// The name, as clients know it.
    pub(super) name: String,
    pub(super) urls: StreamUrls,
    /// The number of the last event.
    pub(super) last: u64,
    /// The number of the first event that is shown.
    lowest: u64,
    pub(super) metadata: StreamMetadata,
}

/// The topic in which a stream is: that which the request names, or that to which the name leads.
pub(super) async fn topic_of(app: &App, asked: &Asked, stream: &str) -> Result<String, Refusal> {
    match asked.query("topic") {
        Some(topic) => Ok(topic.to_owned()),
        None => Ok(app.eventstoredb.to_read(&app.store, stream).await?),
    }
}

impl<'a> Stream<'a> {
    /// The stream, unless it never was, is deleted, or may not be read.
    pub(super) async fn open(
        app: &'a App,
        caller: &Caller,
        asked: &Asked,
        name: &str,
    ) -> Result<Self, Refusal> {
        let topic = topic_of(app, asked, name).await?;
        caller.may(Action::Read, &topic)?;
        let recorded = recorded_stream(name);
        let state = app.store.get_stream(&topic, recorded).await?;
        if state.deleted {
            return Err(Refusal::deleted_to_readers());
        }
        let metadata = if described_stream(name).is_some() {
            StreamMetadata::default()
        } else {
            StreamMetadata::load(&app.store, &topic, recorded).await?.0
        };
        let events = state.version.get();
        if metadata.truncate_before >= events {
            return Err(Refusal::not_found());
        }
        Ok(Self {
            app,
            urls: asked.base.stream(name, asked.query("topic")),
            name: name.to_owned(),
            topic,
            last: events.saturating_sub(1),
            lowest: metadata.lowest(events),
            metadata,
        })
    }

    /// The events with numbers from `from` on, up to `count` of those that are shown, the newest first.
    pub(super) async fn forward(
        &self,
        from: u64,
        count: u64,
    ) -> Result<Vec<RecordedEvent>, Refusal> {
        let from = Version::new(from.max(self.lowest));
        let mut read = self.shown().after_version(from);
        if let Some(oldest) = self.metadata.oldest() {
            read = read.filter(EventFilter::all().recorded_since(oldest));
        }
        let mut events = self.collect(read.limit(count)).await?;
        events.reverse();
        Ok(events)
    }

    /// The same from `from` backward.
    pub(super) async fn backward(
        &self,
        from: u64,
        count: u64,
    ) -> Result<Vec<RecordedEvent>, Refusal> {
        let up_to = Version::new(from.min(self.last).saturating_add(1));
        let read = self
            .shown()
            .after_version(Version::new(self.lowest))
            .up_to_version(up_to)
            .backward();
        self.collect(read.limit(count)).await
    }

    /// The event with this number, where it is shown.
    pub(super) async fn event(&self, number: u64) -> Result<RecordedEvent, Refusal> {
        let event = self.backward(number, 1).await?.pop();
        event
            .filter(|event| event.version.get() == number.saturating_add(1))
            .ok_or_else(Refusal::not_found)
    }

    /// What was recorded after the stream was opened is not read, so that an answer is of one moment.
    fn shown(&self) -> Read {
        Read::stream(recorded_stream(&self.name))
            .up_to_version(Version::new(self.last.saturating_add(1)))
    }

    async fn collect(&self, read: Read) -> Result<Vec<RecordedEvent>, Refusal> {
        let oldest = self.metadata.oldest();
        let mut stream = self.app.store.read_events(&self.topic, read);
        let mut events = Vec::new();
        let mut budget = Budget::default();
        while let Some(event) = stream.try_next().await.map_err(to_reader)? {
            if oldest.is_some_and(|oldest| event.recorded_at < oldest) {
                break;
            }
            budget.take(&event)?;
            events.push(event);
        }
        Ok(events)
    }
}

/// How much an answer may still take.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MOST_BYTES)
    }
}

impl Budget {
    pub(super) fn take(&mut self, event: &RecordedEvent) -> Result<(), Refusal> {
        let bytes = event.payload.len() + event.metadata.len();
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Refusal::bad_request(
                "The page has more than 64 MiB. Ask for fewer events",
            )),
        }
    }
}

/// The stream was deleted while it was read.
fn to_reader(error: Error) -> Refusal {
    match error {
        Error::StreamDeleted { .. } => Refusal::deleted_to_readers(),
        error => error.into(),
    }
}
