//! What a projection is run with, and how it is started.

use std::{fmt, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;

use super::{
    super::{asked_for, distinct},
    Projecting, Projection,
    generations::Generations,
    handle,
    handler::Handler,
    settings::{OnFailure, Settings},
    sink::Sink,
};
use crate::{Error, EventFilter, EventStore, Result, cqrs::Schema, repository::Checkpoints};

/// A projection's name, its topics, and how it is run.
///
/// ```
/// # use annals::{ConfigurationStream, EventStore, EventStoreConfig, NewEvent, RecordedEvent, TopicConfig};
/// use annals::cqrs::{OnFailure, Project, Projection};
/// # use serde::Deserialize;
/// # #[derive(Deserialize)] enum OrderEvent { OrderPlaced }
/// # struct Mailer;
/// # impl Projection for Mailer {
/// #     type Event = OrderEvent;
/// #     type Error = std::io::Error;
/// #     async fn handle(&mut self, _: OrderEvent, _: &RecordedEvent) -> Result<(), Self::Error> { Ok(()) }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> annals::Result<()> {
/// # let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
/// # store.create_topic(TopicConfig::memory("orders")).await?;
/// let mailer = Project::named("mailer")
///     .topics(["orders"])
///     .on_failure(OnFailure::Park { tries: 5 })
///     .start(&store, |_generation| Mailer)
///     .await?;
///
/// let receipt = store.append_events("orders", NewEvent::json("OrderPlaced", &())?).await?;
/// mailer.wait_for("orders", receipt.last).await?;
/// mailer.stop().await;
/// # store.close().await
/// # }
/// ```
pub struct Project<E> {
    settings: Settings,
    schema: Schema<E>,
}

impl<E: DeserializeOwned + 'static> Project<E> {
    /// The projection of this name: text without control characters, up to 170 bytes, and no name of a
    /// consumer or a group of its topics.
    ///
    /// A checkpoint every 1,000 events and every second; an event that is refused is tried again, 100 ms
    /// to one minute apart.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            settings: Settings {
                name: name.into(),
                topics: Vec::new(),
                filter: EventFilter::all(),
                on_failure: OnFailure::Retry,
                backoff: (Duration::from_millis(100), Duration::from_secs(60)),
                commit_every: (1000, Duration::from_secs(1)),
                batch: 64,
                lease: crate::Consume::LEASE,
                checkpoints: None,
                generation: 1,
            },
            schema: Schema::new(),
        }
    }

    /// Handles the events of these topics: those of each topic in order, and no order between topics.
    #[must_use]
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.settings.topics = distinct(topics);
        self
    }

    /// Sets how events are read. With [`Unknown::Skip`](crate::cqrs::Unknown::Skip) only those that can
    /// be read are asked for.
    #[must_use]
    pub fn schema(mut self, schema: Schema<E>) -> Self {
        self.schema = schema;
        self
    }

    /// Sets what is done with an event that its handler refuses.
    #[must_use]
    pub const fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.settings.on_failure = on_failure;
        self
    }

    /// The first and the longest pause between two tries; it doubles in between.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.backoff = (first, longest);
        self
    }

    /// Makes a checkpoint after so many events, and after so long at the latest. In PostgreSQL, so many
    /// events at most are handled in one transaction (512, unless this says less).
    #[must_use]
    pub fn commit_every(mut self, events: usize, within: Duration) -> Self {
        self.settings.commit_every = (events.max(1), within);
        self
    }

    /// How long another instance waits after this one has died. At least 300 ms.
    #[must_use]
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Keeps checkpoints here, and not in topics beside those that are followed.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: impl Checkpoints) -> Self {
        self.settings.checkpoints = Some(Arc::new(checkpoints));
        self
    }

    /// The generation that this program makes, 1 unless it is set. Where an earlier one is read, this one
    /// is built beside it, and takes its place when it has come as far: the way to change what is made of
    /// events that are recorded already.
    ///
    /// An earlier program that still runs takes over when this one ends, and would go on with this
    /// generation by its own code: stop it before this one is started for good. The numbers are shared with
    /// those of [`Projecting::rebuild`].
    #[must_use]
    pub const fn generation(mut self, generation: u64) -> Self {
        self.settings.generation = if generation == 0 { 1 } else { generation };
        self
    }

    /// Starts it, with what `make` gives for a generation: each keeps its read model apart from the
    /// others, and `make` may be called for the one that is read and the one that is built.
    ///
    /// Of several instances one is at work, in whatever processes; another goes on when it ends. See
    /// [`Projecting`].
    ///
    /// # Errors
    /// [`TopicNotFound`](Error::TopicNotFound); [`InvalidConfig`](Error::InvalidConfig) for a name or a
    /// schema that breaks its rules; those of the place where checkpoints are kept.
    pub async fn start<P: Projection<Event = E>>(
        self,
        store: &EventStore,
        mut make: impl FnMut(u64) -> P + Send + 'static,
    ) -> Result<Projecting> {
        let schema = self.schema.clone();
        let sink = move |generation| Handler {
            projection: make(generation),
            schema: schema.clone(),
        };
        self.start_sink(store, sink).await
    }

    pub(in super::super) async fn start_sink<S: Sink>(
        mut self,
        store: &EventStore,
        make: impl FnMut(u64) -> S + Send + 'static,
    ) -> Result<Projecting> {
        self.schema.check()?;
        self.settings.filter = asked_for(&self.schema);
        let settings = self.settings;
        let Some(first) = settings.topics.first() else {
            return Err(Error::InvalidConfig {
                key: "topics".to_owned(),
                reason: "a projection has at least one topic".to_owned(),
            });
        };
        let name = &settings.name;
        if name.is_empty() || name.len() > 170 || name.chars().any(char::is_control) {
            return Err(Error::InvalidConfig {
                key: "projection".to_owned(),
                reason: "a projection's name has 1 to 170 bytes and no control characters"
                    .to_owned(),
            });
        }
        for topic in &settings.topics {
            store.get_topic(topic).await?;
        }
        let checkpoints = settings.checkpoints_of(store, first).await?;
        let generations = Generations::new(checkpoints, first, name);
        handle::start(store, settings, generations, make).await
    }

    #[cfg(feature = "postgres")]
    pub(in super::super) fn into_parts(self) -> (Self, Schema<E>, usize) {
        let most = self.settings.commit_every.0.min(512);
        let schema = self.schema.clone();
        (self, schema, most)
    }

    #[cfg(feature = "postgres")]
    pub(in super::super) const fn batch(mut self, events: usize) -> Self {
        self.settings.batch = events;
        self
    }
}

impl<E> fmt::Debug for Project<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Project")
            .field("settings", &self.settings)
            .field("schema", &self.schema)
            .finish()
    }
}
