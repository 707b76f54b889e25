//! A store with topics in every kind of repository, of which some are down: the others go on, calls to
//! those that are down fail in time, health says which they are, and all heals by itself.
//!
//! (A directory that takes no writes, and heals: `disk_full.rs`.)

#![cfg(all(feature = "file", feature = "postgres", feature = "blob"))]
#![cfg(test)]

mod servers;
mod stores;

use std::time::{Duration, Instant};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, HealthStatus, NewEvent, Read,
    Subscribe, TopicConfig,
};
use futures_util::TryStreamExt;
use servers::{
    Postgres,
    object_store::{Protocol, store_server},
};
use stores::proxy::{Break, Proxy};
use uuid::Uuid;

/// So soon everything answers, and no sooner than the timeouts below are over.
const SOON: Duration = Duration::from_secs(10);
/// So soon everything is well again.
const HEALED: Duration = Duration::from_secs(30);
const DOWN: [&str; 2] = ["database", "objects"];
const UP: [&str; 2] = ["files", "memory"];

async fn append(store: &EventStore, topic: &str, id: Uuid) -> Result<(), Error> {
    let event = NewEvent::json("Given", &id).unwrap().id(id);
    let began = Instant::now();
    let done = store.append_events(topic, Append::new([event])).await;
    assert!(began.elapsed() < SOON, "{topic}: {:?}", began.elapsed());
    done.map(drop)
}

async fn statuses(store: &EventStore) -> Vec<(String, HealthStatus)> {
    let began = Instant::now();
    let report = store.health().await;
    assert!(began.elapsed() < SOON);
    let all = report.repositories.into_iter();
    all.map(|one| (one.repository, one.status)).collect()
}

/// Tries until it is done, as whoever waits for a repository does.
async fn insist(store: &EventStore, topic: &str, id: Uuid) {
    let began = Instant::now();
    while let Err(error) = append(store, topic, id).await {
        assert!(error.is_retryable(), "{error:?}");
        assert!(began.elapsed() < HEALED, "{topic} does not heal: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A store with a topic in each kind of repository.
async fn open(directory: &tempfile::TempDir, database: &Postgres, objects: String) -> EventStore {
    let config = EventStoreConfig::new(ConfigurationStream::memory())
        .resolver(move |name| (name == "OBJECTS").then(|| objects.clone()));
    let store = EventStore::open(config).await.unwrap();
    let topics = [
        TopicConfig::postgres("database", database.fresh())
            .option("connect_timeout_ms", "1000")
            .option("statement_timeout_ms", "2000")
            .option("outcome_timeout_ms", "1000"),
        TopicConfig::blob("objects", "${OBJECTS}")
            .option("request_timeout_ms", "500")
            .option("outcome_timeout_ms", "1000")
            .option("retry_timeout_ms", "500"),
        TopicConfig::file("files", directory.path().to_str().unwrap()),
        TopicConfig::memory("memory"),
    ];
    for topic in topics {
        store.create_topic(topic).await.unwrap();
    }
    store
}

/// What calls are answered while the database and the object store are down. Gives back the appends that
/// are still to be made, and adds those that were.
async fn while_down(
    store: &EventStore,
    told: &mut Vec<(&'static str, Uuid)>,
) -> Vec<(&'static str, Uuid)> {
    let mut owed = Vec::new();
    for topic in DOWN {
        let id = Uuid::new_v4();
        let error = append(store, topic, id).await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        owed.push((topic, id));
        let began = Instant::now();
        let read = store.get_events(topic, Read::all()).await;
        assert!(
            matches!(read, Err(Error::RepositoryUnavailable { .. })),
            "{read:?}"
        );
        assert!(began.elapsed() < SOON, "{topic}: {:?}", began.elapsed());
    }
    for topic in UP {
        for _ in 0..20 {
            let id = Uuid::new_v4();
            let began = Instant::now();
            append(store, topic, id).await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(2));
            told.push((topic, id));
        }
    }
    for (name, status) in statuses(store).await {
        let is_down = name.starts_with("postgres") || name.starts_with("blob");
        assert_eq!(status == HealthStatus::Down, is_down, "{name}: {status:?}");
    }
    assert_eq!(store.health().await.status, HealthStatus::Degraded);
    owed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_elsewhere_go_on_while_repositories_are_down_and_all_heals() {
    let database = Postgres::start(&[]);
    let objects = store_server(Protocol::S3);
    let proxy = Proxy::before(objects.port()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory, &database, objects.fresh_through(proxy.port())).await;
    let mut told = Vec::new();
    for topic in DOWN.into_iter().chain(UP) {
        let id = Uuid::new_v4();
        append(&store, topic, id).await.unwrap();
        told.push((topic, id));
    }
    let from = Subscribe::from_start();
    let mut live = store.subscribe("database", from).await.unwrap();
    assert_eq!(live.try_next().await.unwrap().unwrap().id, told[0].1);
    let cut = [
        Break::Before,
        Break::Instead(503),
        Break::Hang(Duration::from_secs(2)),
    ];
    for (round, cut) in cut.into_iter().enumerate() {
        proxy.set(move |_, _| Some(cut));
        if round == 1 {
            database.stop();
        } else {
            database.kill();
        }
        let owed = while_down(&store, &mut told).await;
        database.start_again();
        proxy.heal();
        for (topic, id) in owed {
            insist(&store, topic, id).await;
            told.push((topic, id));
        }
        let began = Instant::now();
        while store.health().await.status != HealthStatus::Up {
            assert!(began.elapsed() < HEALED, "{:?}", store.health().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Who follows goes on by himself.
        let next = tokio::time::timeout(HEALED, live.try_next()).await;
        let last = told.iter().rev().find(|(topic, _)| *topic == "database");
        assert_eq!(next.unwrap().unwrap().unwrap().id, last.unwrap().1);
    }
    for topic in DOWN.into_iter().chain(UP) {
        let log = store.get_events(topic, Read::all()).await.unwrap();
        let there: Vec<_> = log.iter().map(|event| event.id).collect();
        let told = told.iter().filter(|(one, _)| *one == topic);
        assert_eq!(there, told.map(|(_, id)| *id).collect::<Vec<_>>());
    }
    store.close().await.unwrap();
}
