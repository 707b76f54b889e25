//! An adapter of one's own: it keeps events where `memory` does and counts the appends. A store
//! uses it by the name under which it is registered.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use annals::{
    AppendReceipt, ConfigurationStream, EventStore, EventStoreConfig, NewEvent, Options, Placement,
    Position, RecordedEvent, RepositoryHealth, Result, StorageId, StreamId, TopicConfig,
    repository::{
        AppendBatch, EventRepository, OpenRequest, Page, ReadPlan, RepositoryFactory, StorageEntry,
        TopicState, Verified, memory::MemoryFactory,
    },
};
use async_trait::async_trait;
use futures_util::stream::BoxStream;

/// Opens repositories that count.
#[derive(Debug, Default)]
struct CountingFactory {
    memory: MemoryFactory,
    appends: Arc<AtomicU64>,
}

#[async_trait]
impl RepositoryFactory for CountingFactory {
    fn normalise(&self, connection: &str, options: &Options) -> Result<String> {
        self.memory.normalise(connection, options)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        let inner = self.memory.open(request).await?;
        Ok(Arc::new(Counting {
            inner,
            appends: Arc::clone(&self.appends),
        }))
    }
}

/// Forwards every call; a wrapper has to, because the trait has no default methods.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn EventRepository>,
    appends: Arc<AtomicU64>,
}

#[async_trait]
impl EventRepository for Counting {
    async fn append(
        &self,
        placement: &Placement,
        batch: Arc<AppendBatch>,
    ) -> Result<AppendReceipt> {
        let receipt = self.inner.append(placement, batch).await?;
        self.appends.fetch_add(1, Ordering::Relaxed);
        Ok(receipt)
    }

    async fn prepare(&self, placement: &Placement) -> Result<()> {
        self.inner.prepare(placement).await
    }
    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
        self.inner.read(placement, plan)
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

#[tokio::main]
async fn main() -> Result<()> {
    let factory = Arc::new(CountingFactory::default());
    let appends = Arc::clone(&factory.appends);
    let config = EventStoreConfig::new(ConfigurationStream::memory()).adapter("counting", factory);
    let store = EventStore::open(config).await?;
    store
        .create_topic(TopicConfig::new("orders", "counting", "here"))
        .await?;
    for number in 0..3 {
        store
            .append_events("orders", NewEvent::json("OrderPlaced", &number)?)
            .await?;
    }
    println!(
        "{} events in the topic",
        store.get_latest_version("orders").await?
    );
    println!(
        "{} appends counted by the adapter",
        appends.load(Ordering::Relaxed)
    );
    store.close().await
}
