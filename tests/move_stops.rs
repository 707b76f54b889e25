//! Moves that stop at any step: the mover's process is killed, or stands still and goes on when others
//! have taken over. Nothing is lost, doubled or changed, and appends go on.

#![cfg(feature = "blob")]
#![cfg(test)]

mod stops;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, MoveOptions, NewEvent, Read,
    RecordedEvent, SystemClock, TopicConfig,
    repository::{OpenRequest, RepositoryFactory, blob::BlobFactory},
};
use futures_util::TryStreamExt;
use stops::{Stops, StopsFactory};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// So soon is a move taken over whose mover is gone.
const LEASE: Duration = Duration::from_millis(300);

async fn open(directory: &str, stops: &Arc<Stops>) -> EventStore {
    let stream = ConfigurationStream::blob(format!("file://{directory}/configuration"));
    let factory = StopsFactory::new(Arc::new(BlobFactory::default()), Arc::clone(stops));
    let config = EventStoreConfig::new(stream)
        .move_lease(LEASE)
        .adapter("blob", Arc::new(factory));
    EventStore::open(config).await.unwrap()
}

fn topic(directory: &str, place: &str) -> TopicConfig {
    TopicConfig::blob("t", format!("file://{directory}/{place}"))
}

async fn log(store: &EventStore) -> Vec<RecordedEvent> {
    let log: Vec<_> = store
        .read_events("t", Read::all())
        .try_collect()
        .await
        .unwrap();
    let mut versions = HashMap::new();
    for (event, position) in log.iter().zip(1..) {
        assert_eq!(event.position.get(), position, "positions have no gap");
        let version = versions.entry(event.stream.clone()).or_insert(0);
        *version += 1;
        assert_eq!(event.version.get(), *version, "versions have no gap");
    }
    log
}

fn single(id: Uuid) -> Append {
    Append::new([NewEvent::json("Given", &id).unwrap().id(id)]).stream("s")
}

async fn append(store: &EventStore, told: &mut Vec<(Uuid, u64)>) {
    let id = Uuid::new_v4();
    let receipt = loop {
        match store.append_events("t", single(id)).await {
            Ok(receipt) => break receipt,
            Err(error @ Error::OutcomeUnknown { .. }) => eprintln!("{error}"),
            Err(error) => panic!("{error:?}"),
        }
    };
    told.push((id, receipt.first.get()));
}

fn check(log: &[RecordedEvent], told: &[(Uuid, u64)]) {
    let mut there = HashMap::new();
    for event in log {
        assert_eq!(there.insert(event.id, event.position.get()), None);
        assert_eq!(event.json::<Uuid>().unwrap(), event.id);
    }
    for (id, position) in told {
        assert_eq!(there.get(id), Some(position), "{id} of {}", log.len());
    }
    assert_eq!(log.len(), told.len());
}

/// A mover that stops for good, or for a while, at the nth call of its repositories; meanwhile others
/// append, and end the move.
async fn stop_at(nth: usize, goes_on: bool) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let stops = Arc::new(Stops::default());
    let never = Arc::new(Stops::default());
    let mover = open(directory, &stops).await;
    mover.create_topic(topic(directory, "here")).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..20 {
        append(&mover, &mut told).await;
    }
    let other = open(directory, &never).await;
    append(&other, &mut told).await;
    stops.stop_at(nth);
    let moving = tokio::spawn({
        let (mover, to) = (mover.clone(), topic(directory, "there"));
        async move { mover.move_topic(to, MoveOptions::default()).await }
    });
    while !stops.has_stopped() && !moving.is_finished() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let stopped = stops.has_stopped();
    // Another process goes on, whatever the first had come to.
    for _ in 0..3 {
        append(&other, &mut told).await;
    }
    let third = open(directory, &never).await;
    for _ in 0..200 {
        if third.get_topic("t").await.unwrap().moving.is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(third.get_topic("t").await.unwrap().moving.is_none());
    append(&third, &mut told).await;
    if goes_on {
        stops.go_on();
        append(&other, &mut told).await;
        match moving.await.unwrap() {
            Ok(_) | Err(Error::MoveFailed { .. } | Error::TopicMoving { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        append(&mover, &mut told).await;
    }
    append(&other, &mut told).await;
    for store in [&other, &third] {
        check(&log(store).await, &told);
    }
    // It can be moved anew, there and back.
    for place in ["there", "here", "elsewhere"] {
        other.update_topic(topic(directory, place)).await.unwrap();
        append(&third, &mut told).await;
    }
    let fresh = open(directory, &never).await;
    check(&log(&fresh).await, &told);
    if goes_on {
        check(&log(&mover).await, &told);
        mover.close().await.unwrap();
    }
    for store in [other, third, fresh] {
        store.close().await.unwrap();
    }
    stopped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_that_is_gone_at_any_call_leaves_a_topic_that_is_whole() {
    let mut calls = 0;
    while stop_at(calls, false).await {
        calls += 1;
    }
    println!("{calls} calls");
    assert!(calls > 15, "{calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_that_goes_on_after_it_was_taken_over_does_no_harm() {
    let mut calls = 0;
    while stop_at(calls, true).await {
        calls += 1;
    }
    println!("{calls} calls");
    assert!(calls > 15, "{calls}");
}

/// A mover that stands still at its nth call for a moment, in which another process appends.
async fn pause_at(nth: usize) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let stops = Arc::new(Stops::default());
    let mover = open(directory, &stops).await;
    mover.create_topic(topic(directory, "here")).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..20 {
        append(&mover, &mut told).await;
    }
    let other = open(directory, &Arc::new(Stops::default())).await;
    append(&other, &mut told).await;
    stops.stop_at(nth);
    let moving = tokio::spawn({
        let (mover, to) = (mover.clone(), topic(directory, "there"));
        async move { mover.update_topic(to).await }
    });
    while !stops.has_stopped() && !moving.is_finished() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let stopped = stops.has_stopped();
    let appending = tokio::spawn({
        let other = other.clone();
        async move {
            let mut told = Vec::new();
            append(&other, &mut told).await;
            told
        }
    });
    tokio::time::sleep(Duration::from_millis(40)).await;
    stops.go_on();
    moving.await.unwrap().unwrap();
    told.extend(appending.await.unwrap());
    for store in [&mover, &other] {
        append(store, &mut told).await;
        check(&log(store).await, &told);
        store.close().await.unwrap();
    }
    stopped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_appended_beside_any_call_of_a_mover_is_not_lost() {
    let mut calls = 0;
    while pause_at(calls).await {
        calls += 1;
    }
    println!("{calls} calls");
    assert!(calls > 15, "{calls}");
}

/// A mover that stops at its nth call and is taken over, and goes on while another one, which is at its
/// own `other_nth` call, moves the topic elsewhere.
async fn go_on_beside_another(nth: usize, other_nth: usize) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let stops = [Arc::new(Stops::default()), Arc::new(Stops::default())];
    let first = open(directory, &stops[0]).await;
    first.create_topic(topic(directory, "here")).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..20 {
        append(&first, &mut told).await;
    }
    let second = open(directory, &stops[1]).await;
    append(&second, &mut told).await;
    let start = |store: &EventStore, place: &str| {
        let (store, to) = (store.clone(), topic(directory, place));
        tokio::spawn(async move { store.update_topic(to).await })
    };
    let stopped = async |nth: usize, moving: &JoinHandle<_>| {
        while !stops[nth].has_stopped() && !moving.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stops[nth].has_stopped()
    };
    stops[0].stop_at(nth);
    let one = start(&first, "there");
    let all = stopped(0, &one).await;
    // It is taken over by who moves the topic next.
    tokio::time::sleep(LEASE + LEASE / 3).await;
    let before = second.get_topic("t").await.unwrap().placement.storage;
    append(&second, &mut told).await;
    stops[1].stop_at(other_nth);
    let other = start(&second, "elsewhere");
    stopped(1, &other).await;
    stops[0].go_on();
    let one = one.await.unwrap();
    stops[1].go_on();
    let other = other.await.unwrap();
    match (&one, &other) {
        (Err(Error::MoveFailed { .. } | Error::TopicMoving { .. }), Ok(info)) => {
            assert_ne!(info.placement.storage, before);
        }
        (Ok(_), Ok(_) | Err(Error::MoveFailed { .. } | Error::TopicMoving { .. })) => {}
        outcomes => panic!("{nth}, {other_nth}: {outcomes:?}"),
    }
    for store in [&first, &second] {
        append(store, &mut told).await;
        check(&log(store).await, &told);
    }
    first.close().await.unwrap();
    second.close().await.unwrap();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_that_goes_on_beside_another_one_does_it_no_harm() {
    let mut calls = 0;
    while go_on_beside_another(calls, 8 + calls % 9).await {
        calls += 1;
    }
    println!("{calls} calls");
    assert!(calls > 15, "{calls}");
}

/// A process that is about to open a topic which it has found sealed, and stands still while the topic
/// moves: it opens nothing, and what it appends is where the topic is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_stood_still_opens_no_placement_that_was_left() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let stops = Arc::new(Stops::default());
    let never = Arc::new(Stops::default());
    let other = open(directory, &never).await;
    let here = topic(directory, "here");
    let info = other.create_topic(here).await.unwrap();
    let mut told = Vec::new();
    append(&other, &mut told).await;
    let writer = open(directory, &stops).await;
    append(&writer, &mut told).await;
    // As if whoever restored it had not come so far as to unseal it.
    let repository = BlobFactory::default()
        .open(OpenRequest {
            connection: format!("file://{directory}/here"),
            name: "here".to_owned(),
            options: BTreeMap::new(),
            read_only: false,
            clock: Arc::new(SystemClock),
        })
        .await
        .unwrap();
    let sealed = repository.seal(&info.placement, info.configured_at).await;
    assert_eq!(sealed.unwrap().get(), 2);
    // It looks at the configuration and finds that the topic is in use: the next is the unseal.
    for nth in 0.. {
        let id = Uuid::new_v4();
        stops.stop_at(nth);
        let writing = tokio::spawn({
            let writer = writer.clone();
            async move { writer.append_events("t", single(id)).await }
        });
        while !stops.has_stopped() && !writing.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if !stops.has_stopped() {
            // It came through: every place in which it may stop was tried.
            assert!(nth > 4, "{nth}");
            let receipt = writing.await.unwrap().unwrap();
            told.push((id, receipt.first.get()));
            stops.go_on();
            break;
        }
        let to = topic(directory, &format!("place-{nth}"));
        other.update_topic(to).await.unwrap();
        append(&other, &mut told).await;
        stops.go_on();
        let receipt = writing.await.unwrap().unwrap();
        assert!(!receipt.duplicate);
        told.push((id, receipt.first.get()));
        check(&log(&other).await, &told);
        // Where the topic was, nothing can be appended.
        let left = other.remove_former("t").await.unwrap();
        assert_eq!(left.len(), 1);
        // Sealed anew where it is, to the writer's surprise.
        let info = other.get_topic("t").await.unwrap();
        let repository = BlobFactory::default()
            .open(OpenRequest {
                connection: info.placement.connection.clone(),
                name: "place".to_owned(),
                options: BTreeMap::new(),
                read_only: false,
                clock: Arc::new(SystemClock),
            })
            .await
            .unwrap();
        let sealed = repository.seal(&info.placement, info.configured_at).await;
        sealed.unwrap();
        repository.close().await.unwrap();
    }
    for store in [&writer, &other] {
        check(&log(store).await, &told);
        store.close().await.unwrap();
    }
    repository.close().await.unwrap();
}
