//! Feeds a read model in memory: a task for each topic reads and decodes, and applies in batches.

use std::{convert::Infallible, sync::Arc};

use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{
    super::{
        ProjectionState, asked_for,
        board::{Board, Cause},
        pause::Pauses,
        pull::Pull,
    },
    Live, ReadModel,
};
use crate::{EventStore, Position, RecordedEvent, Result, Subscribe, Subscription};

/// How many events are applied under one lock, at most: readers wait for no longer than that.
const BATCH: usize = 1024;

/// A read model, with the tasks that feed it. They end with it.
#[derive(Debug)]
pub(super) struct Fed<M> {
    pub(super) core: Arc<Core<M>>,
    stop: watch::Sender<bool>,
    feeding: Mutex<Option<JoinHandle<()>>>,
}

/// A read model, and how far it has come.
#[derive(Debug)]
pub(super) struct Core<M> {
    /// Never held across an await: whoever reads does so between two batches.
    pub(super) model: RwLock<M>,
    pub(super) board: Arc<Board>,
    /// Whether events are applied now. It is looked at under the lock of the model.
    open: watch::Sender<bool>,
}

/// Keeps a model as it is until this is dropped.
pub(super) struct Held<M: ReadModel>(Arc<Core<M>>);

impl<M: ReadModel> Fed<M> {
    /// Begins to feed a model that is empty.
    pub(super) fn start(store: &EventStore, live: &Live<M::Event>) -> Self {
        let core = Arc::new(Core {
            model: RwLock::new(M::default()),
            board: Board::new(std::any::type_name::<M>(), &live.topics),
            open: watch::Sender::new(true),
        });
        let (stop, stopping) = watch::channel(false);
        let feeding = feed_all(Arc::clone(&core), store.clone(), live.clone(), stopping);
        Self {
            core,
            stop,
            feeding: Mutex::new(Some(tokio::spawn(feeding))),
        }
    }

    /// Ends its tasks.
    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        let feeding = self.feeding.lock().take();
        if let Some(feeding) = feeding {
            drop(feeding.await);
        }
    }
}

impl<M> Drop for Fed<M> {
    fn drop(&mut self) {
        if let Some(feeding) = self.feeding.lock().take() {
            feeding.abort();
        }
    }
}

impl<M: ReadModel> Core<M> {
    /// Keeps the model as it is, and tells where that is.
    pub(super) fn hold(self: &Arc<Self>) -> (Held<M>, Vec<(String, Position)>) {
        let _nobody_applies = self.model.write();
        self.open.send_replace(false);
        (Held(Arc::clone(self)), self.board.positions())
    }

    /// Applies a batch, as soon as events are applied.
    async fn apply(&self, number: usize, batch: &mut Batch<M::Event>, to: (Position, bool)) {
        let mut open = self.open.subscribe();
        while !self.try_apply(number, batch, to) {
            if open.wait_for(|open| *open).await.is_err() {
                return;
            }
        }
    }

    fn try_apply(&self, number: usize, batch: &mut Batch<M::Event>, to: (Position, bool)) -> bool {
        let mut model = self.model.write();
        if !*self.open.borrow() {
            return false;
        }
        let mut applied = 0;
        for (event, recorded) in batch.decoded.drain(..).zip(&batch.events) {
            if let Some(event) = event {
                model.apply(event, recorded);
                applied += 1;
            }
        }
        // Before the lock is given back: who holds the model sees where it is.
        self.board.moved(number, to.0, applied, to.1);
        true
    }
}

impl<M: ReadModel> Drop for Held<M> {
    fn drop(&mut self) {
        self.0.open.send_replace(true);
    }
}

/// Events, and what they are read as.
struct Batch<E> {
    events: Vec<RecordedEvent>,
    decoded: Vec<Option<E>>,
}

async fn feed_all<M: ReadModel>(
    core: Arc<Core<M>>,
    store: EventStore,
    live: Live<M::Event>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut feeds = JoinSet::new();
    for number in 0..live.topics.len() {
        let (core, store, live) = (Arc::clone(&core), store.clone(), live.clone());
        feeds.spawn(async move {
            let Err(error) = feed(&core, &store, &live, number).await;
            error
        });
    }
    let ended = tokio::select! {
        _ = stopping.wait_for(|stopping| *stopping) => None,
        ended = feeds.join_next() => ended,
    };
    let cause: Option<Cause> = ended.map(|ended| match ended {
        Ok(error) => Arc::new(error) as Cause,
        Err(panic) => Arc::new(panic),
    });
    if let Some(cause) = &cause {
        tracing::error!(model = core.board.name(), error = %cause, "read model stopped");
    }
    feeds.shutdown().await;
    core.board.state(ProjectionState::Stopped(cause));
}

/// Feeds a model with one topic, until that fails for good.
async fn feed<M: ReadModel>(
    core: &Core<M>,
    store: &EventStore,
    live: &Live<M::Event>,
    number: usize,
) -> Result<Infallible> {
    let schema = &live.schema;
    let topic = live.topics.get(number).map_or("", String::as_str);
    let mut pull = Pull::new(follow(core, store, live, topic).await?);
    core.board.state(ProjectionState::Running);
    let mut batch = Batch {
        events: Vec::with_capacity(BATCH),
        decoded: Vec::with_capacity(BATCH),
    };
    loop {
        batch.events.clear();
        batch.decoded.clear();
        pull.next(&mut batch.events, BATCH).await?;
        for event in &batch.events {
            match schema.decode(event) {
                Ok(decoded) => batch.decoded.push(decoded),
                Err(error) => {
                    // What comes before it is in the model, and nothing behind it.
                    let to = (event.position.previous(), false);
                    core.apply(number, &mut batch, to).await;
                    return Err(error);
                }
            }
        }
        let to = (pull.position(), pull.is_caught_up());
        core.apply(number, &mut batch, to).await;
    }
}

async fn follow<M: ReadModel>(
    core: &Core<M>,
    store: &EventStore,
    live: &Live<M::Event>,
    topic: &str,
) -> Result<Subscription> {
    let mut pauses = Pauses::for_store();
    loop {
        let subscribe = Subscribe::from_start().filter(asked_for(&live.schema));
        match store.subscribe(topic, subscribe).await {
            Err(error) if error.is_retryable() => {
                core.board.state(ProjectionState::Retrying(Arc::new(error)));
                tokio::time::sleep(pauses.pause()).await;
            }
            done => return done,
        }
    }
}
