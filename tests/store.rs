//! What the store promises above its repositories: that stores of one configuration agree, that
//! nothing left lying blocks anybody, that a repository that is down is contained, and that what a
//! purge has left is swept.

#![cfg(test)]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use annals::{
    ConfigurationStream, Error, EventStore, EventStoreConfig, HealthStatus, NewEvent, Options,
    Position, Read, Result, TopicConfig,
    repository::{EventRepository, OpenRequest, RepositoryFactory, memory::MemoryFactory},
};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};

/// Long enough for anything that is not stuck.
const SOON: Duration = Duration::from_secs(5);

/// Memory whose repositories can be down for who opens them, or slow to open.
#[derive(Debug, Default)]
struct Fragile {
    memory: MemoryFactory,
    down: AtomicBool,
    stuck: AtomicBool,
}

impl Fragile {
    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }
}

#[async_trait]
impl RepositoryFactory for Fragile {
    fn normalise(&self, connection: &str, options: &Options) -> Result<String> {
        self.memory.normalise(connection, options)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        while self.stuck.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::RepositoryUnavailable {
                repository: request.name,
                reason: "it does not answer".to_owned(),
                source: None,
            });
        }
        self.memory.open(request).await
    }
}

/// Memory that outlives its stores, and a repository beside it that can be down.
#[derive(Default)]
struct World {
    memory: Arc<MemoryFactory>,
    fragile: Arc<Fragile>,
}

impl World {
    async fn open(&self) -> EventStore {
        let memory: Arc<dyn RepositoryFactory> = Arc::<MemoryFactory>::clone(&self.memory);
        let fragile: Arc<dyn RepositoryFactory> = Arc::<Fragile>::clone(&self.fragile);
        let config = EventStoreConfig::new(ConfigurationStream::memory())
            .adapter("memory", memory)
            .adapter("fragile", fragile);
        EventStore::open(config).await.unwrap()
    }
}

fn fragile(topic: &str) -> TopicConfig {
    TopicConfig::new(topic, "fragile", "there")
}

fn event(event_type: &str) -> NewEvent {
    NewEvent::json(event_type, &1).unwrap()
}

async fn append(store: &EventStore, topic: &str, event_type: &str) -> Result<Position> {
    let receipt = store.append_events(topic, event(event_type)).await?;
    Ok(receipt.last)
}

async fn types(store: &EventStore, topic: &str) -> Result<Vec<String>> {
    let events = store.get_events(topic, Read::all()).await?;
    Ok(events
        .iter()
        .map(|event| event.event_type.to_string())
        .collect())
}

#[track_caller]
fn assert_not_found<T: std::fmt::Debug>(answer: Result<T>) {
    assert!(
        matches!(answer, Err(Error::TopicNotFound { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn two_stores_on_one_configuration_stream_are_one_store_with_the_same_topics() {
    let world = World::default();
    let (first, second) = (world.open().await, world.open().await);
    assert_eq!(first.id(), second.id());
    first
        .create_topic(TopicConfig::memory("orders"))
        .await
        .unwrap();
    append(&second, "orders", "Placed").await.unwrap();
    assert_eq!(types(&first, "orders").await.unwrap(), ["Placed"]);
    let taken = second.create_topic(TopicConfig::memory("orders")).await;
    assert!(
        matches!(taken, Err(Error::TopicAlreadyExists { .. })),
        "{taken:?}"
    );
    let infos = [
        first.list_topics().await.unwrap(),
        second.list_topics().await.unwrap(),
    ];
    assert_eq!(format!("{:?}", infos[0]), format!("{:?}", infos[1]));
    first.close().await.unwrap();
    assert_eq!(types(&second, "orders").await.unwrap(), ["Placed"]);
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_nobody_polls_any_more_keeps_no_store_from_closing_or_learning() {
    let world = World::default();
    let store = world.open().await;
    store.create_topic(fragile("orders")).await.unwrap();
    store.close().await.unwrap();

    let store = world.open().await;
    world.fragile.stuck.store(true, Ordering::SeqCst);
    let mut events = store.read_events("orders", Read::all());
    assert!(events.next().now_or_never().is_none());
    world.fragile.stuck.store(false, Ordering::SeqCst);
    // The stream is left where it is: opening its repository, which others wait for.
    tokio::time::timeout(SOON, append(&store, "orders", "Placed"))
        .await
        .expect("an append waits for a stream that nobody polls")
        .unwrap();
    tokio::time::timeout(SOON, store.close())
        .await
        .expect("closing waits for a stream that nobody polls")
        .unwrap();
    drop(events);
}

#[cfg(feature = "file")]
#[tokio::test]
async fn a_stream_over_files_that_is_left_at_any_point_keeps_no_store_from_closing() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().to_str().unwrap();
    for taken in 0..3 {
        let files = ConfigurationStream::file(path);
        let store = EventStore::open(EventStoreConfig::new(files))
            .await
            .unwrap();
        let topic = format!("left-after-{taken}");
        store
            .create_topic(TopicConfig::file(&topic, path))
            .await
            .unwrap();
        for _ in 0..4 {
            append(&store, &topic, "Placed").await.unwrap();
        }
        let mut events = store.read_events(&topic, Read::all());
        for _ in 0..taken {
            events.next().await.unwrap().unwrap();
        }
        drop(events.next().now_or_never());
        tokio::time::timeout(SOON, store.close())
            .await
            .expect("closing waits for a stream that nobody polls")
            .unwrap();
        drop(events);
    }
}

#[tokio::test]
async fn a_repository_that_is_down_keeps_neither_the_store_nor_other_topics_from_working() {
    let world = World::default();
    let store = world.open().await;
    store.create_topic(fragile("far")).await.unwrap();
    store
        .create_topic(TopicConfig::memory("near"))
        .await
        .unwrap();
    store.close().await.unwrap();

    world.fragile.set_down(true);
    let store = world.open().await;
    append(&store, "near", "Placed").await.unwrap();
    let refused = append(&store, "far", "Placed").await;
    assert!(
        matches!(refused, Err(Error::RepositoryUnavailable { .. })),
        "{refused:?}"
    );
    let report = store.health().await;
    assert_eq!(report.status, HealthStatus::Degraded);
    let told: Vec<_> = report
        .repositories
        .iter()
        .map(|one| (one.repository.as_str(), one.status))
        .collect();
    assert_eq!(
        told,
        [
            ("memory:", HealthStatus::Up),
            ("fragile:there", HealthStatus::Down)
        ]
    );
    let error = report.repositories[1].last_error.clone().unwrap();
    assert!(error.contains("it does not answer"), "{error}");

    // It heals by being used.
    world.fragile.set_down(false);
    append(&store, "far", "Placed").await.unwrap();
    assert_eq!(store.health().await.status, HealthStatus::Up);
    store.close().await.unwrap();
}

#[tokio::test]
async fn each_read_through_another_store_finds_out_by_itself_that_a_topic_was_deleted() {
    // Each call needs a store that has asked for nothing since the deletion.
    for call in ["read", "version", "stream", "verify", "delete", "restore"] {
        let world = World::default();
        let (first, second) = (world.open().await, world.open().await);
        first
            .create_topic(TopicConfig::memory("orders"))
            .await
            .unwrap();
        append(&first, "orders", "Old").await.unwrap();
        assert_eq!(types(&second, "orders").await.unwrap(), ["Old"]);
        first.delete_topic("orders").await.unwrap();
        match call {
            "read" => assert_not_found(types(&second, "orders").await),
            "version" => assert_not_found(second.get_latest_version("orders").await),
            "stream" => assert_not_found(second.get_stream("orders", "").await),
            "delete" => assert_not_found(second.delete_stream("orders", "").await),
            "restore" => assert_not_found(second.restore_stream("orders", "").await),
            _ => assert_not_found(second.verify_topic("orders").await),
        }
    }
}

#[tokio::test]
async fn what_was_appended_to_a_topic_created_anew_is_read_through_every_store() {
    let world = World::default();
    let (first, second) = (world.open().await, world.open().await);
    let topic = || TopicConfig::memory("orders");
    first.create_topic(topic()).await.unwrap();
    append(&first, "orders", "Old").await.unwrap();
    assert_eq!(types(&second, "orders").await.unwrap(), ["Old"]);
    first.delete_topic("orders").await.unwrap();
    first.create_topic(topic()).await.unwrap();
    append(&first, "orders", "New").await.unwrap();
    assert_eq!(types(&second, "orders").await.unwrap(), ["New"]);
}

#[tokio::test]
async fn a_sweep_removes_what_a_purge_could_not() {
    for reopened in [false, true] {
        let world = World::default();
        let mut store = world.open().await;
        let topic = store.create_topic(fragile("orders")).await.unwrap();
        append(&store, "orders", "Placed").await.unwrap();
        store.delete_topic("orders").await.unwrap();
        store.close().await.unwrap();

        store = world.open().await;
        world.fragile.set_down(true);
        let unfinished = store.purge_topic("orders").await.unwrap_err();
        assert!(unfinished.to_string().contains("`sweep`"), "{unfinished}");
        // Nothing that is in use is down.
        assert_eq!(store.health().await.status, HealthStatus::Up);
        let swept = store.sweep_older_than(Duration::ZERO).await.unwrap();
        assert!(swept.is_empty());
        assert_eq!(store.health().await.status, HealthStatus::Up);
        world.fragile.set_down(false);
        if reopened {
            store.close().await.unwrap();
            store = world.open().await;
        }
        let swept = store.sweep_older_than(Duration::ZERO).await.unwrap();
        let swept: BTreeSet<_> = swept.iter().map(|entry| entry.storage).collect();
        assert_eq!(
            swept,
            BTreeSet::from([topic.placement.storage]),
            "{reopened}"
        );
        assert_eq!(store.health().await.status, HealthStatus::Up);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_opening_was_given_up_at_any_moment_opens_at_once() {
    for moment in 0..100 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display().to_string();
        let config = || EventStoreConfig::new(ConfigurationStream::file(&path));
        let patience = Duration::from_micros(100 * moment);
        let given_up = tokio::time::timeout(patience, EventStore::open(config())).await;
        drop(given_up);
        let store = EventStore::open(config()).await.unwrap();
        store
            .create_topic(TopicConfig::file("t", &path))
            .await
            .unwrap();
        append(&store, "t", "First").await.unwrap();
        store.close().await.unwrap();
    }
}
