//! The store as users see it: names in, results out.

use std::{fmt, sync::Arc, time::Duration};

use tracing::Instrument as _;

use crate::{
    EventStoreConfig, EventStream,
    commands::{
        append_events, cancel_move, create_topic, delete_stream, delete_topic, import_events,
        purge_topic, remove_former, restore_stream, restore_topic, sweep, update_topic,
    },
    context::Context,
    models::{
        Append, AppendReceipt, Clock, EventFilter, HealthReport, ImportReceipt, Limits,
        MoveOptions, Placement, Position, Read, RecordedEvent, Result, StorageId, StoreId,
        StreamState, Subscribe, TopicConfig, TopicInfo, TopicStatus,
    },
    open,
    queries::{
        get_events, get_stream, get_topic, health, latest_version, list_topics, read_events,
        subscribe, verify_topic,
    },
    repository::{StorageEntry, Verified},
    subscription::{MergedSubscription, Subscription},
};

/// An event store: topics, each configured by events in the configuration stream, and kept in the
/// repository that its configuration names.
///
/// **Clone** it freely: a clone is another handle of the same store, and costs a reference count.
///
/// **Cancellation**: a future that is dropped leaves the whole operation done, or nothing of it. An
/// append that was accepted is finished also where nobody waits for it any more.
///
/// **Closing**: [`close`](Self::close) finishes what was accepted and closes all repositories.
/// Dropping the last handle without it loses nothing that was acknowledged. After `close` every
/// call answers [`Error::Closed`](crate::Error::Closed).
///
/// **Runtime**: calls are made within a tokio runtime that has its time driver enabled.
///
/// ```
/// use annals::{Append, ConfigurationStream, EventStore, EventStoreConfig, ExpectedVersion, NewEvent,
///     Read, TopicConfig};
/// # use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> annals::Result<()> {
/// let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
/// store.create_topic(TopicConfig::memory("orders")).await?;
///
/// let placed = NewEvent::json("OrderPlaced", &json!({ "total": 42 }))?;
/// let receipt = store
///     .append_events(
///         "orders",
///         Append::new([placed]).stream("order-1").expected(ExpectedVersion::NoStream),
///     )
///     .await?;
/// assert_eq!(receipt.version.get(), 1);
///
/// let history = store.get_events("orders", Read::stream("order-1")).await?;
/// assert_eq!(history[0].event_type, "OrderPlaced");
/// store.close().await
/// # }
/// ```
#[derive(Clone)]
pub struct EventStore {
    context: Arc<Context>,
}

impl EventStore {
    /// Opens a store, or makes it where there is none.
    ///
    /// The configuration stream is read; repositories of topics are opened when they are first
    /// used, so one that is down does not keep the store from opening.
    ///
    /// # Errors
    /// [`RepositoryLocked`](crate::Error::RepositoryLocked) where another process writes to the
    /// configuration stream's repository;
    /// [`RepositoryUnavailable`](crate::Error::RepositoryUnavailable) where it cannot be reached;
    /// [`InvalidConfig`](crate::Error::InvalidConfig) for a setting that is wrong;
    /// [`UnknownConfigurationEvent`](crate::Error::UnknownConfigurationEvent) where a newer version
    /// has written to it.
    pub async fn open(config: EventStoreConfig) -> Result<Self> {
        let context = open::open(config)
            .instrument(tracing::debug_span!("open_store"))
            .await?;
        Ok(Self { context })
    }

    /// Where a topic is, with its secrets as they are recorded.
    pub(crate) async fn placement(&self, topic: &str) -> Result<Placement> {
        let _pass = self.context.enter()?;
        Ok(self.context.route(topic).await?.topic.placement.clone())
    }

    /// What tells a topic from one that had its name before, as far as it is known here.
    #[cfg(feature = "cqrs")]
    pub(crate) fn created_position(&self, topic: &str) -> Option<Position> {
        let topic = self.context.write_model.topic(topic)?;
        Some(topic.created_position)
    }

    /// Where the time comes from.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.context.clock)
    }

    /// The id of the store, given when it was first opened.
    #[must_use]
    pub fn id(&self) -> StoreId {
        self.context.store()
    }

    /// Creates a topic. When it returns, every store on the same configuration stream can use it.
    ///
    /// # Errors
    /// [`TopicAlreadyExists`](crate::Error::TopicAlreadyExists) where the name is in use: of any
    /// number that create a topic of one name at the same time, one succeeds.
    /// [`InvalidTopicName`](crate::Error::InvalidTopicName) and
    /// [`InvalidConfig`](crate::Error::InvalidConfig) (unknown adapter, malformed connection,
    /// missing variable, unknown option, plain secret) with nothing made.
    pub async fn create_topic(&self, config: TopicConfig) -> Result<TopicInfo> {
        let span =
            tracing::debug_span!("create_topic", topic = %config.name, adapter = %config.adapter);
        create_topic::create_topic(&self.context, config)
            .instrument(span)
            .await
    }

    /// Changes the options of a topic, or [moves](Self::move_topic) it, where the adapter or the
    /// connection is another one. Options that are not given go back to their defaults.
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound);
    /// [`InvalidConfig`](crate::Error::InvalidConfig); those of [`move_topic`](Self::move_topic).
    pub async fn update_topic(&self, config: TopicConfig) -> Result<TopicInfo> {
        self.move_topic(config, MoveOptions::default()).await
    }

    /// Moves a topic with all its events to the repository that `config` names, while it is in use.
    ///
    /// Positions, versions, ids, times and bytes stay as they are, and so do subscriptions,
    /// checkpoints and tokens. Appends go on while events are copied and compared; they wait while the
    /// last ones are. When it returns, the topic is in its new place for every process.
    ///
    /// It goes on where nobody waits for it any more; [`cancel_move`](Self::cancel_move) ends it. Where
    /// its process is killed, or the store is closed meanwhile, the topic stays where it was, or the move is
    /// finished, by whoever opens the store or appends to the topic
    /// [a while](EventStoreConfig::move_lease) later.
    ///
    /// ```
    /// # use annals::{Append, ConfigurationStream, EventStore, EventStoreConfig, MoveOptions, NewEvent,
    /// #     Read, TopicConfig};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> annals::Result<()> {
    /// # let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
    /// store.create_topic(TopicConfig::new("orders", "memory", "here")).await?;
    /// store.append_events("orders", Append::new([NewEvent::json("Placed", &1)?])).await?;
    /// let there = TopicConfig::new("orders", "memory", "there");
    /// store.move_topic(there, MoveOptions::default()).await?;
    /// assert_eq!(store.get_events("orders", Read::all()).await?.len(), 1);
    /// # store.close().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound);
    /// [`InvalidConfig`](crate::Error::InvalidConfig);
    /// [`TopicMoving`](crate::Error::TopicMoving) where it is being moved already;
    /// [`MoveFailed`](crate::Error::MoveFailed) where a repository was away for more than a minute (5 s
    /// while appends wait), refused the events or lost them: the topic is where it was then.
    pub async fn move_topic(&self, config: TopicConfig, options: MoveOptions) -> Result<TopicInfo> {
        let span =
            tracing::debug_span!("move_topic", topic = %config.name, adapter = %config.adapter);
        update_topic::update_topic(&self.context, config, options)
            .instrument(span)
            .await
    }

    /// Ends the move of a topic, whichever process moves it: the topic stays where it was.
    ///
    /// # Errors
    /// [`NotMoving`](crate::Error::NotMoving) where it is not being moved, or has moved already;
    /// [`TopicNotFound`](crate::Error::TopicNotFound).
    pub async fn cancel_move(&self, topic: &str) -> Result<()> {
        let span = tracing::debug_span!("cancel_move", topic);
        cancel_move::cancel_move(&self.context, topic)
            .instrument(span)
            .await
    }

    /// Removes the storage that a topic has left by moving, and tells which it was. Purging the topic
    /// removes it too.
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound); where storage could not be removed, which
    /// [`sweep`](Self::sweep) does then.
    pub async fn remove_former(&self, topic: &str) -> Result<Vec<Placement>> {
        let span = tracing::debug_span!("remove_former", topic);
        remove_former::remove_former(&self.context, topic)
            .instrument(span)
            .await
    }

    /// Deletes a topic: it is hidden from all calls, its events stay, and
    /// [`restore_topic`](Self::restore_topic) brings it back. Its name can be used anew.
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound).
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        let span = tracing::debug_span!("delete_topic", topic);
        delete_topic::delete_topic(&self.context, topic)
            .instrument(span)
            .await
    }

    /// Brings back a topic that was deleted; of several of one name, the one deleted last.
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound) where none is deleted;
    /// [`TopicAlreadyExists`](crate::Error::TopicAlreadyExists) where the name is in use.
    pub async fn restore_topic(&self, topic: &str) -> Result<TopicInfo> {
        let span = tracing::debug_span!("restore_topic", topic);
        restore_topic::restore_topic(&self.context, topic)
            .instrument(span)
            .await
    }

    /// Erases all deleted topics of a name, with their events, for good.
    ///
    /// # Errors
    /// [`TopicNotDeleted`](crate::Error::TopicNotDeleted) where the topic is in use and none of
    /// its name is deleted; [`TopicNotFound`](crate::Error::TopicNotFound);
    /// [`RepositoryUnavailable`](crate::Error::RepositoryUnavailable) where the purge is recorded
    /// but storage could not be removed: [`sweep`](Self::sweep) removes it later.
    pub async fn purge_topic(&self, topic: &str) -> Result<()> {
        let span = tracing::debug_span!("purge_topic", topic);
        purge_topic::purge_topic(&self.context, topic)
            .instrument(span)
            .await
    }

    /// A topic as it is configured.
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound).
    pub async fn get_topic(&self, topic: &str) -> Result<TopicInfo> {
        let span = tracing::debug_span!("get_topic", topic);
        get_topic::get_topic(&self.context, topic)
            .instrument(span)
            .await
    }

    /// All topics that are in use, by name.
    ///
    /// # Errors
    /// Where the configuration stream cannot be read.
    pub async fn list_topics(&self) -> Result<Vec<TopicInfo>> {
        let span = tracing::debug_span!("list_topics");
        list_topics::list_topics(&self.context, TopicStatus::Active)
            .instrument(span)
            .await
    }

    /// All topics that were deleted and not purged, by name; those of one name in the order in
    /// which they were deleted.
    ///
    /// # Errors
    /// Where the configuration stream cannot be read.
    pub async fn list_deleted_topics(&self) -> Result<Vec<TopicInfo>> {
        let span = tracing::debug_span!("list_deleted_topics");
        list_topics::list_topics(&self.context, TopicStatus::Deleted)
            .instrument(span)
            .await
    }

    /// Appends events to a topic: all of them, or none.
    ///
    /// # Errors
    /// - [`WrongExpectedVersion`](crate::Error::WrongExpectedVersion) and
    ///   [`ConditionFailed`](crate::Error::ConditionFailed): somebody else was faster;
    /// - [`IdempotencyConflict`](crate::Error::IdempotencyConflict): the ids are recorded, but not
    ///   by this append;
    /// - [`StreamDeleted`](crate::Error::StreamDeleted),
    ///   [`TopicNotFound`](crate::Error::TopicNotFound);
    /// - [`InvalidEvent`](crate::Error::InvalidEvent),
    ///   [`InvalidAppend`](crate::Error::InvalidAppend),
    ///   [`InvalidStreamId`](crate::Error::InvalidStreamId),
    ///   [`TooLarge`](crate::Error::TooLarge): the append breaks a rule;
    /// - [`RepositoryUnavailable`](crate::Error::RepositoryUnavailable): nothing was written;
    /// - [`OutcomeUnknown`](crate::Error::OutcomeUnknown): append the same value again to find
    ///   out.
    ///
    /// With all but the last nothing was written.
    pub async fn append_events(
        &self,
        topic: &str,
        append: impl Into<Append> + Send,
    ) -> Result<AppendReceipt> {
        let append = append.into();
        let span = tracing::debug_span!(
            "append_events",
            topic,
            events = append.events.len(),
            first = tracing::field::Empty,
            last = tracing::field::Empty,
        );
        let appending = append_events::append_events(&self.context, topic, append);
        if span.is_disabled() {
            return appending.await;
        }
        let receipt = appending.instrument(span.clone()).await?;
        span.record("first", receipt.first.get())
            .record("last", receipt.last.get());
        Ok(receipt)
    }

    /// Records events as they were recorded elsewhere: with their positions, versions, ids and times. So a
    /// topic that was read from its first event on becomes the same topic in another store, also under
    /// another name.
    ///
    /// The events follow one another. Those that the topic has already are skipped, so that an import can
    /// be repeated, and gone on with, whatever has interrupted it. Others may append to the topic at the same time,
    /// but then the import is refused from there on: it never puts an event behind one that it does not
    /// have. Where it fails, or its future is dropped, some first events of it may be recorded; call it again.
    ///
    /// At most 10,000 events and 16 MiB at a time.
    ///
    /// ```
    /// # use annals::{Append, ConfigurationStream, EventStore, EventStoreConfig, NewEvent, Read, TopicConfig};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> annals::Result<()> {
    /// # let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
    /// # store.create_topic(TopicConfig::memory("orders")).await?;
    /// # store.append_events("orders", NewEvent::json("OrderPlaced", &1)?).await?;
    /// let events = store.get_events("orders", Read::all()).await?;
    /// store.create_topic(TopicConfig::memory("copy")).await?;
    /// let receipt = store.import_events("copy", events.clone()).await?;
    /// assert_eq!(receipt.imported, 1);
    /// assert_eq!(store.import_events("copy", events).await?.known, 1);
    /// # store.close().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`InvalidAppend`](crate::Error::InvalidAppend): positions, or versions of a stream, have gaps, or
    ///   times run backwards, among the events or where they go on with the topic;
    /// - [`IdempotencyConflict`](crate::Error::IdempotencyConflict): something else is recorded at the
    ///   position of an event, or its id at another position;
    /// - [`TooLarge`](crate::Error::TooLarge), [`TopicNotFound`](crate::Error::TopicNotFound),
    ///   [`RepositoryUnavailable`](crate::Error::RepositoryUnavailable).
    pub async fn import_events(
        &self,
        topic: &str,
        events: impl IntoIterator<Item = RecordedEvent> + Send,
    ) -> Result<ImportReceipt> {
        // One more than there may be is enough to refuse them.
        let events: Vec<_> = events
            .into_iter()
            .take(Limits::MAX_APPEND_EVENTS + 1)
            .collect();
        let span = tracing::debug_span!("import_events", topic, events = events.len());
        import_events::import_events(&self.context, topic, events)
            .instrument(span)
            .await
    }

    /// Reads events as a stream, in bounded memory. An error, such as
    /// [`TopicNotFound`](crate::Error::TopicNotFound), is an item of the stream, and its last.
    ///
    /// ```
    /// # use annals::{ConfigurationStream, EventStore, EventStoreConfig, NewEvent, Position, Read, TopicConfig};
    /// use futures_util::TryStreamExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> annals::Result<()> {
    /// # let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
    /// # store.create_topic(TopicConfig::memory("orders")).await?;
    /// # store.append_events("orders", NewEvent::json("OrderPlaced", &1)?).await?;
    /// let mut events = store.read_events("orders", Read::all().after(Position::START));
    /// while let Some(event) = events.try_next().await? {
    ///     println!("{} {}", event.position, event.event_type);
    /// }
    /// assert_eq!(events.looked_to(), Position::new(1));
    /// # store.close().await
    /// # }
    /// ```
    #[must_use = "a stream does nothing unless it is polled"]
    pub fn read_events(&self, topic: &str, read: Read) -> EventStream {
        let _span = tracing::debug_span!("read_events", topic).entered();
        read_events::read_events(&self.context, topic, read)
    }

    /// Reads the events of a deleted topic, which its storage names
    /// ([`list_deleted_topics`](Self::list_deleted_topics) tells it): of several of one name each can be
    /// read. What was purged is gone.
    #[must_use = "a stream does nothing unless it is polled"]
    pub fn read_deleted_topic(&self, storage: StorageId, read: Read) -> EventStream {
        let _span = tracing::debug_span!("read_deleted_topic", %storage).entered();
        read_events::read_deleted_topic(&self.context, storage, read)
    }

    /// Reads events at once: up to the limit of the read, or, where it has none, up to
    /// [`Limits::get_events`](crate::Limits::get_events) (10,000).
    ///
    /// # Errors
    /// [`TooLarge`](crate::Error::TooLarge) where the read has no limit and there are more events
    /// than that; [`TopicNotFound`](crate::Error::TopicNotFound);
    /// [`StreamDeleted`](crate::Error::StreamDeleted);
    /// [`Corruption`](crate::Error::Corruption).
    pub async fn get_events(&self, topic: &str, read: Read) -> Result<Vec<RecordedEvent>> {
        let span = tracing::debug_span!("get_events", topic);
        get_events::get_events(self.context.limits, read, |read| {
            read_events::read_events(&self.context, topic, read)
        })
        .instrument(span)
        .await
    }

    /// Reads the events of one type after a position, as [`get_events`](Self::get_events) does.
    ///
    /// # Errors
    /// Those of [`get_events`](Self::get_events).
    pub async fn get_events_by_type(
        &self,
        topic: &str,
        event_type: &str,
        after: Position,
    ) -> Result<Vec<RecordedEvent>> {
        let read = Read::all()
            .after(after)
            .filter(EventFilter::all().types([event_type]));
        self.get_events(topic, read).await
    }

    /// Follows a topic: the events that are recorded, then each new one as it is recorded, each once
    /// and in order, through lost connections and restarts of a server. See [`Subscription`].
    ///
    /// ```
    /// # use annals::{ConfigurationStream, EventStore, EventStoreConfig, NewEvent, Subscribe, TopicConfig};
    /// use futures_util::TryStreamExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> annals::Result<()> {
    /// # let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
    /// # store.create_topic(TopicConfig::memory("orders")).await?;
    /// store.append_events("orders", NewEvent::json("OrderPlaced", &1)?).await?;
    /// let mut live = store.subscribe("orders", Subscribe::from_start()).await?;
    /// assert_eq!(live.try_next().await?.unwrap().event_type, "OrderPlaced");
    /// store.append_events("orders", NewEvent::json("OrderPaid", &1)?).await?;
    /// assert_eq!(live.try_next().await?.unwrap().event_type, "OrderPaid");
    /// let checkpoint = live.position();
    /// # assert_eq!(checkpoint.get(), 2);
    /// # store.close().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound);
    /// [`PositionAhead`](crate::Error::PositionAhead) where it is to begin after a position that the
    /// topic does not have; [`RepositoryUnavailable`](crate::Error::RepositoryUnavailable): once it
    /// has begun, it waits for the repository instead.
    pub async fn subscribe(&self, topic: &str, subscribe: Subscribe) -> Result<Subscription> {
        let span = tracing::debug_span!("subscribe", topic);
        subscribe::subscribe(&self.context, topic, subscribe)
            .instrument(span)
            .await
    }

    /// Follows several topics as one stream: the events of each topic in order, and no order between
    /// topics.
    ///
    /// # Errors
    /// Those of [`subscribe`](Self::subscribe), for the first topic that has one.
    pub async fn subscribe_many<T: Into<String>>(
        &self,
        topics: impl IntoIterator<Item = (T, Subscribe)> + Send,
    ) -> Result<MergedSubscription> {
        let topics = topics.into_iter().map(|(topic, from)| (topic.into(), from));
        let topics: Vec<_> = topics.collect();
        let span = tracing::debug_span!("subscribe_many", topics = topics.len());
        subscribe::subscribe_many(&self.context, topics)
            .instrument(span)
            .await
    }

    /// The position of the topic's last event: the topic's own version.
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound).
    pub async fn get_latest_version(&self, topic: &str) -> Result<Position> {
        let span = tracing::debug_span!("get_latest_version", topic);
        latest_version::get_latest_version(&self.context, topic)
            .instrument(span)
            .await
    }

    /// The version of a stream, and whether it is deleted. A stream that never was has version 0.
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound),
    /// [`InvalidStreamId`](crate::Error::InvalidStreamId).
    pub async fn get_stream(&self, topic: &str, stream: &str) -> Result<StreamState> {
        let span = tracing::debug_span!("get_stream", topic, stream);
        get_stream::get_stream(&self.context, topic, stream)
            .instrument(span)
            .await
    }

    /// Deletes a stream: it takes no appends, and is read only with
    /// [`Read::include_deleted`]. An event of the type `$stream-deleted` records it. Deleting a
    /// deleted stream changes nothing.
    ///
    /// # Errors
    /// [`StreamNotFound`](crate::Error::StreamNotFound),
    /// [`TopicNotFound`](crate::Error::TopicNotFound).
    pub async fn delete_stream(&self, topic: &str, stream: &str) -> Result<StreamState> {
        let span = tracing::debug_span!("delete_stream", topic, stream);
        delete_stream::delete_stream(&self.context, topic, stream)
            .instrument(span)
            .await
    }

    /// Brings back a stream that was deleted. An event of the type `$stream-restored` records it.
    /// Restoring a stream that is not deleted changes nothing.
    ///
    /// # Errors
    /// [`StreamNotFound`](crate::Error::StreamNotFound),
    /// [`TopicNotFound`](crate::Error::TopicNotFound).
    pub async fn restore_stream(&self, topic: &str, stream: &str) -> Result<StreamState> {
        let span = tracing::debug_span!("restore_stream", topic, stream);
        restore_stream::restore_stream(&self.context, topic, stream)
            .instrument(span)
            .await
    }

    /// Reads and checks everything that is stored for a topic.
    ///
    /// # Errors
    /// [`Corruption`](crate::Error::Corruption) names the first place that is damaged.
    pub async fn verify_topic(&self, topic: &str) -> Result<Verified> {
        let span = tracing::debug_span!("verify_topic", topic);
        verify_topic::verify_topic(&self.context, topic)
            .instrument(span)
            .await
    }

    /// Removes storage of this store that no topic uses and that is older than an hour: what a
    /// crash has left of creating or purging a topic. Tells what it removed.
    ///
    /// It opens every repository that has topics, or had some that were purged. One that cannot be
    /// opened is logged, and swept another time.
    ///
    /// # Errors
    /// The first, where repositories could not be listed or storage could not be removed; all were
    /// tried.
    pub async fn sweep(&self) -> Result<Vec<StorageEntry>> {
        self.sweep_older_than(sweep::GRACE).await
    }

    /// As [`sweep`](Self::sweep), for storage older than `age`. No other process may be creating
    /// a topic for longer than that.
    ///
    /// # Errors
    /// Those of [`sweep`](Self::sweep).
    pub async fn sweep_older_than(&self, age: Duration) -> Result<Vec<StorageEntry>> {
        let span = tracing::debug_span!("sweep");
        sweep::sweep(&self.context, age).instrument(span).await
    }

    /// What [`sweep_older_than`](Self::sweep_older_than) would remove. It works in a store that is open to
    /// be read only.
    ///
    /// # Errors
    /// Where a repository that could be opened cannot be listed.
    pub async fn unused_storage(&self, age: Duration) -> Result<Vec<StorageEntry>> {
        let span = tracing::debug_span!("unused_storage");
        sweep::unused_storage(&self.context, age)
            .instrument(span)
            .await
    }

    /// How the store and its repositories are. Never fails, and answers within some seconds.
    pub async fn health(&self) -> HealthReport {
        health::health(&self.context)
            .instrument(tracing::debug_span!("health"))
            .await
    }

    /// Takes no more calls, finishes what was accepted, and closes every repository. Safe to call
    /// twice, and from several handles at once.
    ///
    /// # Errors
    /// Where a repository could not be closed in order; all were tried, and nothing that was
    /// acknowledged is lost.
    pub async fn close(&self) -> Result<()> {
        let closing = async {
            self.context.gate.close().await;
            self.context.registry.close().await
        };
        closing
            .instrument(tracing::debug_span!("close_store"))
            .await
    }
}

impl fmt::Debug for EventStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStore")
            .field("id", &self.id())
            .field("configured_at", &self.context.write_model.position())
            .finish_non_exhaustive()
    }
}
