//! The aggregates of one kind, as they are kept in a topic.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{Aggregate, Loaded, cache::Cache};
use crate::{
    EventStore,
    cqrs::{Schema, Snapshots, execution::Execution, snapshot::SnapshotStore},
};

/// The aggregates of one kind, as they are kept in a topic: loads them, and carries out commands.
///
/// ```
/// # use annals::{ConfigurationStream, EventStore, EventStoreConfig, TopicConfig};
/// # use annals::cqrs::{Aggregate, Aggregates, CommandError, Envelope};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default)]
/// # struct Door { open: bool }
/// # #[derive(Debug, Serialize, Deserialize)]
/// # enum DoorEvent { Opened, Closed }
/// # enum DoorCommand { Open, Close }
/// # #[derive(Debug, thiserror::Error)]
/// # #[error("it is so already")]
/// # struct Already;
/// # impl Aggregate for Door {
/// #     type Event = DoorEvent;
/// #     type Command = DoorCommand;
/// #     type Error = Already;
/// #     fn decide(&self, command: &DoorCommand) -> Result<Vec<DoorEvent>, Already> {
/// #         match command {
/// #             DoorCommand::Open if !self.open => Ok(vec![DoorEvent::Opened]),
/// #             DoorCommand::Close if self.open => Ok(vec![DoorEvent::Closed]),
/// #             _ => Err(Already),
/// #         }
/// #     }
/// #     fn apply(&mut self, event: &DoorEvent) { self.open = matches!(event, DoorEvent::Opened); }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
/// store.create_topic(TopicConfig::memory("doors")).await?;
/// let doors = Aggregates::<Door>::new(&store, "doors").category("door");
///
/// // Recorded in the stream `door-7`, unless somebody else was there first: then it decides again.
/// let opened = doors.execute("7", DoorCommand::Open).await?;
/// assert!(opened.state.open);
/// let again = doors.execute("7", DoorCommand::Open).await;
/// assert!(matches!(again, Err(CommandError::Rejected(Already))));
///
/// // A request that may be sent twice.
/// let close = || Envelope::new(DoorCommand::Close).idempotency_key("request-9");
/// let first = doors.execute("7", close()).await?;
/// let second = doors.execute("7", close()).await?;
/// assert_eq!(first.receipt.unwrap().last, second.receipt.unwrap().last);
/// assert_eq!(doors.load("7").await?.version.get(), 2);
/// # Ok(())
/// # }
/// ```
///
/// It is a handle: cheap to clone, and safe to use from any number of tasks and processes at once.
pub struct Aggregates<A: Aggregate> {
    pub(super) execution: Execution<A::Event>,
    category: Option<Arc<str>>,
    pub(super) snapshots: Option<SnapshotStore<A>>,
    pub(super) cache: Option<Arc<Cache<A>>>,
}

impl<A: Aggregate> Aggregates<A> {
    /// The aggregates in this topic, which is there already, each in the stream that has its id.
    pub fn new(store: &EventStore, topic: impl Into<String>) -> Self {
        Self {
            execution: Execution::new(store, topic),
            category: None,
            snapshots: None,
            cache: None,
        }
    }

    /// Keeps them in streams that are called `CATEGORY-ID`, so that aggregates of several kinds can
    /// share a topic.
    #[must_use]
    pub fn category(mut self, category: impl Into<String>) -> Self {
        self.category = Some(category.into().into());
        self
    }

    /// Sets how events are read that were written by earlier programs.
    #[must_use]
    pub fn schema(mut self, schema: Schema<A::Event>) -> Self {
        self.execution.schema = schema;
        self
    }

    /// Sets how often a command is decided before it gives up because somebody else wrote first each
    /// time. 10, unless it is set.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.execution.attempts = attempts.max(1);
        self
    }

    /// Keeps snapshots, so that what is loaded need not be read from its first event on.
    #[must_use]
    pub fn snapshots(mut self, snapshots: Snapshots) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        let execution = &self.execution;
        let store = SnapshotStore::new(&execution.store, &execution.topic, snapshots);
        self.snapshots = Some(store);
        self
    }

    /// Keeps this many aggregates in memory, those that were used last, so that a command need not load
    /// its own. What is kept may be old, and is never trusted: an append expects the version that it was
    /// decided on, and before a command is rejected, what came since is read.
    #[must_use]
    pub fn cache(mut self, aggregates: usize) -> Self
    where
        A: Clone,
    {
        self.cache = Some(Arc::new(Cache::new(aggregates)));
        self
    }

    /// The stream of the aggregate with this id.
    #[must_use]
    pub fn stream(&self, id: &str) -> String {
        match &self.category {
            Some(category) => format!("{category}-{id}"),
            None => id.to_owned(),
        }
    }

    /// The aggregate with this id, as it is now; in its first state where it has no events.
    ///
    /// # Errors
    /// [`StreamDeleted`](crate::Error::StreamDeleted), those of the repository, and those of the
    /// [schema](Schema::decode).
    pub async fn load(&self, id: &str) -> crate::Result<Loaded<A>> {
        let found = self.find(&self.stream(id)).await?;
        Ok(Loaded {
            state: found.state,
            version: found.version,
        })
    }
}

impl<A: Aggregate> Clone for Aggregates<A> {
    fn clone(&self) -> Self {
        Self {
            execution: self.execution.clone(),
            category: self.category.clone(),
            snapshots: self.snapshots.clone(),
            cache: self.cache.clone(),
        }
    }
}

impl<A: Aggregate> fmt::Debug for Aggregates<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aggregates")
            .field("aggregate", &std::any::type_name::<A>())
            .field("topic", &self.execution.topic)
            .field("category", &self.category)
            .finish_non_exhaustive()
    }
}
