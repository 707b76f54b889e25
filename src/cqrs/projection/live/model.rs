//! A read model in memory, as users hold it.

use std::{fmt, sync::Arc};

use super::{
    super::{
        Rebuild,
        board::{Board, ProjectionState, TopicProgress, Waited, heads},
    },
    Live, ReadModel,
    shared::Shared,
};
use crate::{EventStore, Position, Result};

/// A read model in memory that follows topics of a store.
///
/// **Reading** it asks nobody: [`read`](Self::read) takes a lock that is held for some hundred events at
/// most. It is behind its topics by the time that an event takes to come here; who wants to see what he
/// has written waits for it with [`wait_for`](Self::wait_for).
///
/// **Errors**: outages of a store are waited out. An event that cannot be read stops it, with all before
/// that event applied; [`status`](Self::status) tells why, and it can still be read.
///
/// **Clone** it freely: a clone is another handle of the same model. It ends with the last handle, or by
/// [`close`](Self::close).
///
/// ```
/// # use annals::{ConfigurationStream, EventStore, EventStoreConfig, NewEvent, RecordedEvent, TopicConfig};
/// use annals::cqrs::{Live, LiveModel, ReadModel};
/// # use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// enum OrderEvent {
///     OrderPlaced { cents: u64 },
/// }
///
/// #[derive(Default)]
/// struct Turnover(u64);
///
/// impl ReadModel for Turnover {
///     type Event = OrderEvent;
///
///     fn apply(&mut self, event: OrderEvent, _: &RecordedEvent) {
///         let OrderEvent::OrderPlaced { cents } = event;
///         self.0 += cents;
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> annals::Result<()> {
/// # let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await?;
/// # store.create_topic(TopicConfig::memory("orders")).await?;
/// let turnover = LiveModel::<Turnover>::open(&store, Live::topics(["orders"])).await?;
///
/// let placed = NewEvent::json("OrderPlaced", &serde_json::json!({ "cents": 500 }))?;
/// let receipt = store.append_events("orders", placed).await?;
/// turnover.wait_for("orders", receipt.last).await?;
/// assert_eq!(turnover.read(|turnover| turnover.0), 500);
/// # store.close().await
/// # }
/// ```
pub struct LiveModel<M: ReadModel> {
    shared: Arc<Shared<M>>,
}

/// What a [`LiveModel`] does, and how far it has come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveStatus {
    /// What it does.
    pub state: ProjectionState,
    /// How far it has come in each topic.
    pub topics: Vec<TopicProgress>,
}

impl<M: ReadModel> LiveModel<M> {
    /// Begins with an empty model, and feeds it with all events of the topics.
    /// [`caught_up`](Self::caught_up) waits until it has them.
    ///
    /// # Errors
    /// [`TopicNotFound`](crate::Error::TopicNotFound); [`InvalidConfig`](crate::Error::InvalidConfig) for
    /// a schema that does not fit together.
    pub async fn open(store: &EventStore, live: Live<M::Event>) -> Result<Self> {
        live.schema.check()?;
        for topic in &live.topics {
            store.get_topic(topic).await?;
        }
        Ok(Self {
            shared: Arc::new(Shared::new(store, live)),
        })
    }

    /// Reads it. No event is applied meanwhile, so it is for short work, and not for reading it again
    /// within.
    pub fn read<R>(&self, read: impl FnOnce(&M) -> R) -> R {
        let fed = self.shared.current();
        let model = fed.core.model.read();
        read(&model)
    }

    /// Waits until it has come to a position of a topic: that of an append's
    /// [receipt](crate::AppendReceipt::last), say.
    ///
    /// # Errors
    /// [`ProjectionStopped`](crate::Error::ProjectionStopped) where it does not come there any more;
    /// [`InvalidConfig`](crate::Error::InvalidConfig) for a topic that it does not follow.
    pub async fn wait_for(&self, topic: &str, position: Position) -> Result<()> {
        while self.board().reach(topic, position).await? == Waited::Replaced {}
        Ok(())
    }

    /// Waits until it has come to where its topics are now.
    ///
    /// # Errors
    /// Those of [`wait_for`](Self::wait_for) and of
    /// [`get_latest_version`](EventStore::get_latest_version).
    pub async fn caught_up(&self) -> Result<()> {
        let heads = heads(self.shared.store(), self.shared.topics()).await?;
        while self.board().reach_all(&heads).await? == Waited::Replaced {}
        Ok(())
    }

    /// What it does, and how far it has come.
    pub async fn status(&self) -> LiveStatus {
        let board = self.board();
        LiveStatus {
            state: board.current_state(),
            topics: board.progress(self.shared.store()).await,
        }
    }

    /// Builds the model anew from all events, while this one goes on, and puts it in its place when it
    /// has come as far: no reader sees an earlier state than before. One that has stopped is replaced
    /// when its topics are caught up with.
    ///
    /// It goes on where the [`Rebuild`] is dropped; another one puts an end to it.
    #[must_use = "it tells what comes of it"]
    pub fn rebuild(&self) -> Rebuild {
        super::rebuild::rebuild(&self.shared)
    }

    /// Ends what feeds it. It can still be read, and stays as it is.
    pub async fn close(&self) {
        if let Some(rebuilding) = self.shared.rebuilding.lock().take() {
            rebuilding.abort();
        }
        let fed = self.shared.current();
        fed.stop().await;
    }

    fn board(&self) -> Arc<Board> {
        Arc::clone(&self.shared.current().core.board)
    }
}

impl<M: ReadModel> Clone for LiveModel<M> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<M: ReadModel> fmt::Debug for LiveModel<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveModel")
            .field("positions", &self.board().positions())
            .finish_non_exhaustive()
    }
}
