//! Repositories that stop at a call: it is not done, or not heard of, until they are let go on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use annals::{
    AppendReceipt, Options, Placement, Position, RecordedEvent, RepositoryHealth, Result,
    StorageId, StreamId,
    repository::{
        AppendBatch, EventRepository, OpenRequest, Page, ReadPlan, RepositoryFactory, StorageEntry,
        TopicState, Verified,
    },
};
use async_trait::async_trait;
use futures_util::{StreamExt, stream::BoxStream};
use tokio::sync::watch;

const NEVER: usize = usize::MAX;

/// When calls stop: all from a moment on, which are counted before and after each call.
#[derive(Debug)]
pub(crate) struct Stops {
    left: AtomicUsize,
    stopped: watch::Sender<bool>,
}

impl Default for Stops {
    fn default() -> Self {
        Self {
            left: AtomicUsize::new(NEVER),
            stopped: watch::Sender::new(false),
        }
    }
}

impl Stops {
    /// Calls are done until this many have begun, or ended, from now on.
    pub(crate) fn stop_at(&self, nth: usize) {
        self.left.store(nth, Ordering::SeqCst);
    }

    pub(crate) fn has_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    pub(crate) fn go_on(&self) {
        self.go_on_to(NEVER);
    }

    /// What has stopped goes on until so many calls have begun, or ended.
    pub(crate) fn go_on_to(&self, nth: usize) {
        self.left.store(nth, Ordering::SeqCst);
        self.stopped.send_replace(false);
    }

    /// One moment at which a process may stop.
    async fn pass(&self) {
        let left = self.left.load(Ordering::SeqCst);
        if left == NEVER {
            return;
        }
        let stays = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                (left != NEVER && left > 0).then(|| left - 1)
            });
        if stays.is_ok() || self.left.load(Ordering::SeqCst) == NEVER {
            return;
        }
        let mut stopped = self.stopped.subscribe();
        self.stopped.send_replace(true);
        drop(stopped.wait_for(|stopped| !stopped).await);
    }
}

/// Opens repositories of an adapter that stop.
#[derive(Debug)]
pub(crate) struct StopsFactory {
    inner: Arc<dyn RepositoryFactory>,
    stops: Arc<Stops>,
}

impl StopsFactory {
    pub(crate) fn new(inner: Arc<dyn RepositoryFactory>, stops: Arc<Stops>) -> Self {
        Self { inner, stops }
    }
}

#[async_trait]
impl RepositoryFactory for StopsFactory {
    fn normalise(&self, connection: &str, options: &Options) -> Result<String> {
        self.inner.normalise(connection, options)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        Ok(Arc::new(Stopping {
            inner: self.inner.open(request).await?,
            stops: Arc::clone(&self.stops),
        }))
    }
}

#[derive(Debug)]
struct Stopping {
    inner: Arc<dyn EventRepository>,
    stops: Arc<Stops>,
}

#[async_trait]
impl EventRepository for Stopping {
    async fn prepare(&self, placement: &Placement) -> Result<()> {
        self.stops.pass().await;
        let done = self.inner.prepare(placement).await;
        self.stops.pass().await;
        done
    }

    async fn append(
        &self,
        placement: &Placement,
        batch: Arc<AppendBatch>,
    ) -> Result<AppendReceipt> {
        self.stops.pass().await;
        let done = self.inner.append(placement, batch).await;
        self.stops.pass().await;
        done
    }

    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
        let stops = Arc::clone(&self.stops);
        let pages = self.inner.read(placement, plan);
        pages
            .then(move |page| {
                let stops = Arc::clone(&stops);
                async move {
                    stops.pass().await;
                    page
                }
            })
            .boxed()
    }

    async fn state(&self, placement: &Placement, stream: Option<&StreamId>) -> Result<TopicState> {
        self.stops.pass().await;
        self.inner.state(placement, stream).await
    }

    async fn wait_beyond(&self, placement: &Placement, position: Position) -> Result<Position> {
        self.inner.wait_beyond(placement, position).await
    }

    async fn seal(&self, placement: &Placement, since: Position) -> Result<Position> {
        self.stops.pass().await;
        let done = self.inner.seal(placement, since).await;
        self.stops.pass().await;
        done
    }

    async fn unseal(&self, placement: &Placement, since: Position) -> Result<()> {
        self.stops.pass().await;
        let done = self.inner.unseal(placement, since).await;
        self.stops.pass().await;
        done
    }

    async fn import(&self, placement: &Placement, events: Vec<RecordedEvent>) -> Result<Position> {
        self.stops.pass().await;
        let done = self.inner.import(placement, events).await;
        self.stops.pass().await;
        done
    }

    async fn verify(&self, placement: &Placement) -> Result<Verified> {
        self.inner.verify(placement).await
    }

    async fn list(&self) -> Result<Vec<StorageEntry>> {
        self.inner.list().await
    }

    async fn remove(&self, storage: StorageId) -> Result<()> {
        self.stops.pass().await;
        let done = self.inner.remove(storage).await;
        self.stops.pass().await;
        done
    }

    async fn health(&self) -> RepositoryHealth {
        self.inner.health().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
