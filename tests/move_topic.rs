//! Topics that move from one repository to another while they are in use: between every two adapters,
//! under writers, readers and subscribers, and where something goes wrong on the way.

#![cfg(all(feature = "file", feature = "postgres", feature = "blob"))]
#![cfg(test)]

mod kinds;
mod servers;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, ExpectedVersion,
    FormerStorage, MoveOptions, MovePhase, NewEvent, Position, Read, RecordedEvent, Subscribe,
    SyncToken, TopicConfig,
};
use futures_util::{StreamExt, TryStreamExt};
use kinds::Kind;
use serde_json::json;
use tokio::task::JoinHandle;
use uuid::Uuid;

async fn open() -> EventStore {
    let config = EventStoreConfig::new(ConfigurationStream::memory());
    EventStore::open(config).await.unwrap()
}

fn at(kind: &Kind) -> TopicConfig {
    TopicConfig::new("t", kind.adapter, kind.connection.clone())
}

/// Events of which every part is something.
fn rich(number: u64) -> NewEvent {
    NewEvent::json(
        "Given",
        &json!({ "number": number, "text": "ä\u{1F600} \"quoted\"" }),
    )
    .unwrap()
    .stream(format!("s-{}", number % 17))
    .tag(format!("n:{}", number % 5))
    .tag("all")
    .metadata(&json!({ "by": number }))
    .unwrap()
}

async fn log(store: &EventStore) -> Vec<RecordedEvent> {
    let read = Read::all().include_deleted();
    let log: Vec<_> = store.read_events("t", read).try_collect().await.unwrap();
    let mut versions = HashMap::new();
    for (event, position) in log.iter().zip(1..) {
        assert_eq!(event.position.get(), position, "positions have no gap");
        let version = versions.entry(event.stream.clone()).or_insert(0);
        *version += 1;
        assert_eq!(event.version.get(), *version, "versions have no gap");
    }
    log
}

/// Everything of an event that a move has to leave as it is, which is everything.
fn same(one: &[RecordedEvent], other: &[RecordedEvent]) {
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other);
    }
}

/// A client that appends until it is told to stop, and tells what it was told: each event's id and
/// position, and the longest time that an append took.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(Vec<(Uuid, u64)>, Duration)>,
}

impl Writer {
    fn start(store: &EventStore, number: usize) -> Self {
        let (store, stop) = (store.clone(), Arc::new(AtomicBool::new(false)));
        let stopping = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (mut told, mut longest, mut version) = (Vec::new(), Duration::ZERO, 0);
            while !stopping.load(Ordering::Relaxed) {
                let id = Uuid::new_v4();
                let append = || {
                    let event = NewEvent::json("Written", &version).unwrap().id(id);
                    Append::new([event])
                        .stream(format!("writer-{number}"))
                        .expected(ExpectedVersion::exact(version))
                };
                let began = Instant::now();
                let receipt = loop {
                    match store.append_events("t", append()).await {
                        Ok(receipt) => break receipt,
                        // The outcome may be unknown; the same append again is recorded once.
                        Err(error @ Error::OutcomeUnknown { .. }) => eprintln!("{error}"),
                        Err(error) => panic!("{error:?}"),
                    }
                };
                longest = longest.max(began.elapsed());
                version += 1;
                assert_eq!(receipt.version.get(), version);
                told.push((id, receipt.first.get()));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (told, longest)
        });
        Self { stop, task }
    }

    async fn end(self) -> (Vec<(Uuid, u64)>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// A subscriber that is given everything from the start, and checks that it is an exact run.
fn follow(store: &EventStore, count: u64) -> JoinHandle<Vec<RecordedEvent>> {
    let store = store.clone();
    tokio::spawn(async move {
        let mut live = store.subscribe("t", Subscribe::from_start()).await.unwrap();
        let mut given: Vec<RecordedEvent> = Vec::new();
        while (given.len() as u64) < count {
            let event = live.next().await.unwrap().unwrap();
            assert_eq!(event.position.get(), given.len() as u64 + 1);
            given.push(event);
        }
        given
    })
}

fn check_told(log: &[RecordedEvent], told: &[(Uuid, u64)]) {
    let mut there = HashMap::new();
    for event in log {
        assert_eq!(there.insert(event.id, event.position.get()), None);
    }
    for (id, position) in told {
        assert_eq!(there.get(id), Some(position));
    }
}

/// Moves a topic with a history under four writers and a subscriber.
async fn move_under_load(from: &Kind, to: &Kind) {
    println!("{} to {}", from.adapter, to.adapter);
    let store = open().await;
    let created = store.create_topic(at(from)).await.unwrap();
    for batch in 0..6 {
        let events = (0..500).map(|number| rich(batch * 500 + number));
        store.append_events("t", Append::new(events)).await.unwrap();
    }
    store.delete_stream("t", "s-3").await.unwrap();
    let before = log(&store).await;
    let changes = store.changes("t", SyncToken::START, 1000).await.unwrap();
    let mut slow = store
        .subscribe("t", Subscribe::after(Position::new(40)))
        .await
        .unwrap();
    assert_eq!(slow.next().await.unwrap().unwrap().position.get(), 41);
    let mut reading = store.read_events("t", Read::all().include_deleted());
    let first = reading.next().await.unwrap().unwrap();
    let writers: Vec<_> = (0..4).map(|number| Writer::start(&store, number)).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let moved = store.update_topic(at(to)).await.unwrap();
    assert_eq!(moved.placement.adapter, to.adapter);
    assert_ne!(moved.placement.storage, created.placement.storage);
    assert_eq!(moved.created_position, created.created_position);
    assert_eq!(moved.former.len(), 1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut told = Vec::new();
    for writer in writers {
        let (some, longest) = writer.end().await;
        assert!(some.len() > 5);
        told.extend(some);
        println!("  longest append {longest:?}");
    }
    let after = log(&store).await;
    same(&before, &after[..before.len()]);
    check_told(&after, &told);
    assert_eq!(after.len(), before.len() + told.len());
    // What was begun before goes on.
    let mut read = vec![first];
    read.extend(reading.try_collect::<Vec<_>>().await.unwrap());
    same(&read, &after[..read.len()]);
    for event in &after[41..] {
        assert_eq!(slow.next().await.unwrap().unwrap(), *event);
    }
    same(&follow(&store, after.len() as u64).await.unwrap(), &after);
    let more = store.changes("t", changes.next, 10_000).await.unwrap();
    assert_eq!(more.events.first().unwrap().position.get(), 1001);
    // What is known of ids, streams and deletions came along.
    let again = NewEvent::json("Written", &0).unwrap().id(told[0].0);
    let again = Append::new([again]).stream("writer-0");
    assert!(store.append_events("t", again).await.unwrap().duplicate);
    let late = Append::new([NewEvent::json("Late", &0).unwrap()]).stream("s-3");
    assert!(matches!(
        store.append_events("t", late).await,
        Err(Error::StreamDeleted { .. })
    ));
    store.restore_stream("t", "s-3").await.unwrap();
    store.verify_topic("t").await.unwrap();
    // What it has left is there until it is removed.
    let former = store.remove_former("t").await.unwrap();
    assert_eq!(former[0].storage, created.placement.storage);
    assert!(store.get_topic("t").await.unwrap().former.is_empty());
    assert_eq!(log(&store).await.len(), after.len() + 1);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_moves_between_every_two_adapters_under_load() {
    for from in Kind::all() {
        for to in Kind::all() {
            // To the same adapter it moves from one connection to another.
            let to = if from.adapter == "memory" && to.adapter == "memory" {
                Kind::memory_named("there")
            } else {
                to
            };
            move_under_load(&from, &to).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_and_a_second_mover_is_refused() {
    let store = open().await;
    let file = Kind::file();
    store.create_topic(at(&Kind::memory())).await.unwrap();
    for batch in 0..10 {
        let events = (0..1000).map(|number| rich(batch * 1000 + number));
        store.append_events("t", Append::new(events)).await.unwrap();
    }
    let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let other = store.clone();
    let options = MoveOptions::default()
        .former(FormerStorage::Remove)
        .on_progress(move |progress| hearing.lock().push(progress.clone()));
    let moving = tokio::spawn({
        let (store, to) = (store.clone(), at(&file));
        async move { store.move_topic(to, options).await }
    });
    while heard.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let elsewhere = TopicConfig::new("t", "memory", "elsewhere");
    let second = other.update_topic(elsewhere.clone()).await;
    let deleted = other.delete_topic("t").await;
    let moved = moving.await.unwrap().unwrap();
    match (second, deleted) {
        (Err(Error::TopicMoving { .. }), Err(Error::TopicMoving { .. })) => {}
        outcomes => panic!("{outcomes:?}"),
    }
    assert!(moved.moving.is_none() && moved.former.is_empty());
    let heard = heard.lock().clone();
    let last = heard.last().unwrap();
    assert_eq!(last.copied.get(), 10_000);
    assert_eq!(last.phase, MovePhase::Sealed);
    assert!(heard.iter().any(|one| one.phase == MovePhase::Comparing));
    assert!(heard[0].events_per_second > 0.0);
    assert_eq!(log(&store).await.len(), 10_000);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_can_be_cancelled_and_begun_anew() {
    let store = open().await;
    let file = Kind::file();
    store.create_topic(at(&Kind::memory())).await.unwrap();
    assert!(matches!(
        store.cancel_move("t").await,
        Err(Error::NotMoving { .. })
    ));
    for batch in 0..10 {
        let events = (0..1000).map(|number| rich(batch * 1000 + number));
        store.append_events("t", Append::new(events)).await.unwrap();
    }
    let before = log(&store).await;
    for round in 0..20_u64 {
        let moving = tokio::spawn({
            let (store, to) = (store.clone(), at(&file));
            async move { store.update_topic(to).await }
        });
        while store.get_topic("t").await.unwrap().moving.is_none() && !moving.is_finished() {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_micros(300 * round)).await;
        let cancelled = store.cancel_move("t").await;
        match (cancelled, moving.await.unwrap()) {
            (Ok(()), Err(Error::MoveFailed { .. })) => {
                let info = store.get_topic("t").await.unwrap();
                assert_eq!(info.placement.adapter, "memory");
                assert!(info.moving.is_none());
            }
            (Err(Error::NotMoving { .. }), Ok(_)) => {
                store.update_topic(at(&Kind::memory())).await.unwrap();
                store.remove_former("t").await.unwrap();
            }
            outcomes => panic!("{outcomes:?}"),
        }
        let event = Append::new([rich(round)]);
        store.append_events("t", event).await.unwrap();
        let now = log(&store).await;
        same(&before, &now[..before.len()]);
        assert_eq!(now.len() as u64, 10_001 + round);
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_topic_has_left_is_removed_by_any_number_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("file://{}/{name}", directory.path().display());
    let open = async || {
        let configuration = ConfigurationStream::blob(url("configuration"));
        let config = EventStoreConfig::new(configuration);
        EventStore::open(config).await.unwrap()
    };
    let stores = [open().await, open().await];
    let [store, other] = &stores;
    let here = TopicConfig::blob("t", url("here"));
    store.create_topic(here).await.unwrap();
    store.append_events("t", rich(1)).await.unwrap();
    for round in 0..10 {
        let elsewhere = TopicConfig::blob("t", url(&format!("place-{round}")));
        store.update_topic(elsewhere).await.unwrap();
        let removals = (0..8).map(|nth| stores[nth % 2].remove_former("t"));
        for removed in futures_util::future::join_all(removals).await {
            removed.unwrap();
        }
        let info = store.get_topic("t").await.unwrap();
        assert!(info.former.is_empty());
        assert_eq!(log(other).await.len(), 1);
    }
    for store in stores {
        store.close().await.unwrap();
    }
}

#[test]
fn a_topic_whose_mover_is_gone_can_be_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("file://{}/{name}", directory.path().display());
    let open = async || {
        let configuration = ConfigurationStream::blob(url("configuration"));
        let config = EventStoreConfig::new(configuration).move_lease(Duration::from_millis(300));
        EventStore::open(config).await.unwrap()
    };
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (mine, theirs) = (runtime(), runtime());
    // It is open before the move begins, so that nobody looks after that.
    let store = mine.block_on(async {
        let store = open().await;
        let here = TopicConfig::blob("t", url("here"));
        store.create_topic(here).await.unwrap();
        store.append_events("t", rich(1)).await.unwrap();
        store
    });
    let (begun, heard) = std::sync::mpsc::channel();
    let there = TopicConfig::blob("t", url("there"));
    theirs.block_on(async {
        let mover = open().await;
        let options = MoveOptions::default().on_progress(move |_| {
            // Whoever has heard it once listens no more.
            let _ = begun.send(());
            std::thread::sleep(Duration::from_millis(100));
        });
        tokio::spawn(async move { mover.move_topic(there, options).await });
    });
    heard.recv().unwrap();
    theirs.shutdown_background();
    mine.block_on(async {
        // For as long as the mover may live, it is not touched.
        tokio::time::sleep(Duration::from_millis(800)).await;
        store.delete_topic("t").await.unwrap();
        store.restore_topic("t").await.unwrap();
        assert_eq!(log(&store).await.len(), 1);
        store.append_events("t", rich(2)).await.unwrap();
        store.close().await.unwrap();
    });
}
