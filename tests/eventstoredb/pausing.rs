//! An adapter whose appends and reads stand still where a test says so, and a clock that a test moves.
//!
//! It keeps events where `memory` does. An append has its time when it comes, and can be seen once it
//! was let go on: as where a store stands still.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use annals::{
    AppendReceipt, Clock, Options, Placement, Position, RecordedEvent, RepositoryHealth, Result,
    StorageId, StreamId, Timestamp,
    repository::{
        AppendBatch, EventRepository, OpenRequest, Page, ReadPlan, RepositoryFactory, StorageEntry,
        TopicState, Verified, memory::MemoryFactory,
    },
};
use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A clock that a test moves.
#[derive(Clone, Debug)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_795_000_000_000_000)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap();
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Opens repositories whose appends and reads can be paused.
#[derive(Debug, Default)]
pub(crate) struct PausingFactory {
    memory: MemoryFactory,
    pauses: Arc<Pauses>,
}

#[derive(Debug, Default)]
struct Pauses(Mutex<Vec<(Step, Pause)>>);

/// What is to stand still.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// An append to a stream.
    Append(String),
    /// A read of a topic.
    Read(String),
}

#[derive(Debug)]
struct Pause {
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// What is to stand still, or does.
#[derive(Debug)]
pub(crate) struct Paused {
    reached: Option<oneshot::Receiver<()>>,
    go_on: oneshot::Sender<()>,
}

impl PausingFactory {
    /// Lets the next append to a stream stand still before it is recorded.
    pub(crate) fn pause_append(&self, stream: &str) -> Paused {
        self.pauses.add(Step::Append(stream.to_owned()))
    }

    /// Lets the next read of a topic stand still before it has read anything.
    pub(crate) fn pause_read(&self, topic: &str) -> Paused {
        self.pauses.add(Step::Read(topic.to_owned()))
    }
}

impl Pauses {
    fn add(&self, step: Step) -> Paused {
        let (reached, is_reached) = oneshot::channel();
        let (go_on, goes_on) = oneshot::channel();
        let pause = Pause {
            reached,
            go_on: goes_on,
        };
        self.0.lock().push((step, pause));
        Paused {
            reached: Some(is_reached),
            go_on,
        }
    }

    fn take(&self, step: &Step) -> Option<Pause> {
        let mut pauses = self.0.lock();
        let at = pauses.iter().position(|(one, _)| one == step)?;
        Some(pauses.remove(at).1)
    }
}

impl Pause {
    async fn pass(self) {
        self.reached.send(()).unwrap();
        self.go_on.await.unwrap();
    }
}

impl Paused {
    /// Waits until it stands still.
    pub(crate) async fn reached(&mut self) {
        self.reached.take().unwrap().await.unwrap();
    }

    pub(crate) fn go_on(self) {
        self.go_on.send(()).unwrap();
    }
}

#[async_trait]
impl RepositoryFactory for PausingFactory {
    fn normalise(&self, connection: &str, options: &Options) -> Result<String> {
        self.memory.normalise(connection, options)
    }

    async fn open(&self, mut request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        let clock = Arc::new(Stamps {
            clock: request.clock,
            stamp: Mutex::default(),
        });
        request.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        Ok(Arc::new(Pausing {
            inner: self.memory.open(request).await?,
            clock,
            pauses: Arc::clone(&self.pauses),
        }))
    }
}

/// Tells the time that an append had when it came, once it goes on.
#[derive(Debug)]
struct Stamps {
    clock: Arc<dyn Clock>,
    stamp: Mutex<Option<Timestamp>>,
}

impl Clock for Stamps {
    fn now(&self) -> Timestamp {
        let stamp = self.stamp.lock().take();
        stamp.unwrap_or_else(|| self.clock.now())
    }
}

#[derive(Debug)]
struct Pausing {
    inner: Arc<dyn EventRepository>,
    clock: Arc<Stamps>,
    pauses: Arc<Pauses>,
}

#[async_trait]
impl EventRepository for Pausing {
    async fn append(
        &self,
        placement: &Placement,
        batch: Arc<AppendBatch>,
    ) -> Result<AppendReceipt> {
        let step = Step::Append(batch.stream.to_string());
        if let Some(pause) = self.pauses.take(&step) {
            let stamp = self.clock.now();
            pause.pass().await;
            *self.clock.stamp.lock() = Some(stamp);
        }
        self.inner.append(placement, batch).await
    }

    async fn prepare(&self, placement: &Placement) -> Result<()> {
        self.inner.prepare(placement).await
    }
    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
        let Some(pause) = self.pauses.take(&Step::Read(placement.topic.to_string())) else {
            return self.inner.read(placement, plan);
        };
        let (inner, placement) = (Arc::clone(&self.inner), placement.clone());
        let reading = async move {
            pause.pass().await;
            inner.read(&placement, plan)
        };
        stream::once(reading).flatten().boxed()
    }
    async fn state(&self, placement: &Placement, stream: Option<&StreamId>) -> Result<TopicState> {
        self.inner.state(placement, stream).await
    }
    async fn wait_beyond(&self, placement: &Placement, position: Position) -> Result<Position> {
        self.inner.wait_beyond(placement, position).await
    }
    async fn seal(&self, placement: &Placement, since: Position) -> Result<Position> {
        self.inner.seal(placement, since).await
    }
    async fn unseal(&self, placement: &Placement, since: Position) -> Result<()> {
        self.inner.unseal(placement, since).await
    }
    async fn import(&self, placement: &Placement, events: Vec<RecordedEvent>) -> Result<Position> {
        self.inner.import(placement, events).await
    }
    async fn verify(&self, placement: &Placement) -> Result<Verified> {
        self.inner.verify(placement).await
    }
    async fn list(&self) -> Result<Vec<StorageEntry>> {
        self.inner.list().await
    }
    async fn remove(&self, storage: StorageId) -> Result<()> {
        self.inner.remove(storage).await
    }
    async fn health(&self) -> RepositoryHealth {
        self.inner.health().await
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
