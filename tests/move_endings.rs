//! Who ends a move, or brings a topic back, and stands still before the last of it is done: meanwhile
//! others move the topic, and what is appended then is not lost.

#![cfg(all(feature = "blob", feature = "file"))]
#![cfg(test)]

mod stops;

use std::{collections::HashMap, sync::Arc, time::Duration};

use annals::{
    Append, Clock, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Read,
    RecordedEvent, SystemClock, Timestamp, TopicConfig, TopicInfo,
    repository::{blob::BlobFactory, file::FileFactory},
};
use futures_util::TryStreamExt;
use stops::{Stops, StopsFactory};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// From here on the other mover is stopped: before, it has not begun to copy.
const FIRST: usize = 12;

/// The clock of a machine that is wrong by so many minutes.
#[derive(Debug)]
struct Wrong(i64);

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros() + self.0 * 60_000_000)
    }
}

async fn open(directory: &str, stops: &Arc<Stops>) -> EventStore {
    // Nobody is taken over.
    open_with(directory, stops, Duration::from_secs(60), 0).await
}

async fn open_with(directory: &str, stops: &Arc<Stops>, lease: Duration, wrong: i64) -> EventStore {
    let stream = ConfigurationStream::blob(format!("file://{directory}/configuration"));
    let factory = StopsFactory::new(Arc::new(BlobFactory::default()), Arc::clone(stops));
    let files = StopsFactory::new(Arc::new(FileFactory), Arc::clone(stops));
    let config = EventStoreConfig::new(stream)
        .move_lease(lease)
        .clock(Wrong(wrong))
        .adapter("blob", Arc::new(factory))
        .adapter("file", Arc::new(files));
    EventStore::open(config).await.unwrap()
}

fn topic(directory: &str, place: &str) -> TopicConfig {
    TopicConfig::blob("t", format!("file://{directory}/{place}"))
}

async fn append(store: &EventStore) -> (Uuid, u64) {
    let id = Uuid::new_v4();
    loop {
        let event = NewEvent::json("Given", &id).unwrap().id(id);
        match store.append_events("t", Append::new([event])).await {
            Ok(receipt) => return (id, receipt.first.get()),
            Err(error @ Error::OutcomeUnknown { .. }) => eprintln!("{error}"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn check(store: &EventStore, told: &[(Uuid, u64)], what: &str) {
    let log = store.read_events("t", Read::all());
    let log: Vec<RecordedEvent> = log.try_collect().await.unwrap();
    let there: HashMap<_, _> = log.iter().map(|one| (one.id, one.position.get())).collect();
    for (id, position) in told {
        assert_eq!(there.get(id), Some(position), "{what}: {id} is lost");
    }
    assert_eq!(log.len(), told.len(), "{what}");
    for (event, position) in log.iter().zip(1..) {
        assert_eq!(event.position.get(), position, "{what}");
    }
}

async fn until_stopped<T>(stops: &Stops, task: &JoinHandle<T>) -> bool {
    while !stops.has_stopped() && !task.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stops.has_stopped()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Cancel,
    Restore,
}

fn spawn_move(store: &EventStore, to: TopicConfig) -> JoinHandle<annals::Result<TopicInfo>> {
    let store = store.clone();
    tokio::spawn(async move { store.update_topic(to).await })
}

/// Begins what is to stop, and waits until it has stopped or ended.
async fn begin(
    what: Ending,
    nth: usize,
    directory: &str,
    (first, second): (&EventStore, &EventStore),
    stops: &[Arc<Stops>; 2],
) -> JoinHandle<annals::Result<()>> {
    let store = first.clone();
    let ending = match what {
        Ending::Cancel => {
            stops[1].stop_at(6);
            let moving = spawn_move(second, topic(directory, "there"));
            assert!(until_stopped(&stops[1], &moving).await);
            stops[0].stop_at(nth);
            let ending = tokio::spawn(async move { store.cancel_move("t").await });
            until_stopped(&stops[0], &ending).await;
            stops[1].go_on();
            drop(moving.await.unwrap());
            ending
        }
        Ending::Restore => {
            first.delete_topic("t").await.unwrap();
            stops[0].stop_at(nth);
            tokio::spawn(async move { store.restore_topic("t").await.map(drop) })
        }
    };
    until_stopped(&stops[0], &ending).await;
    ending
}

/// One that ends something and stops at its nth call, and goes on when another, which moves the topic
/// then, is at its `other_nth`. Tells whether the two of them have stopped.
async fn ending(what: Ending, nth: usize, other_nth: usize) -> (bool, bool) {
    let name = format!("{what:?} at {nth}, move at {other_nth}");
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let stops = [Arc::new(Stops::default()), Arc::new(Stops::default())];
    let first = open(directory, &stops[0]).await;
    first.create_topic(topic(directory, "here")).await.unwrap();
    let second = open(directory, &stops[1]).await;
    let writer = open(directory, &Arc::new(Stops::default())).await;
    let mut told = Vec::new();
    for store in [&first, &second, &writer] {
        told.push(append(store).await);
    }
    let ending = begin(what, nth, directory, (&first, &second), &stops).await;
    let ended = stops[0].has_stopped();
    stops[1].stop_at(other_nth);
    let moving = spawn_move(&second, topic(directory, "elsewhere"));
    let moved = until_stopped(&stops[1], &moving).await;
    stops[0].go_on();
    let ending = ending.await.unwrap();
    let writing = tokio::spawn({
        let writer = writer.clone();
        async move { append(&writer).await }
    });
    tokio::time::sleep(Duration::from_millis(25)).await;
    stops[1].go_on();
    match (&ending, &moving.await.unwrap()) {
        // The move had ended before it was to be cancelled.
        (Ok(()) | Err(Error::NotMoving { .. }), Ok(_)) => {}
        // It was not restored yet, or not cancelled; or it was cancelled in its stead.
        (Ok(()), Err(Error::TopicNotFound { .. })) if what == Ending::Restore => {}
        (Ok(()), Err(Error::MoveFailed { .. } | Error::TopicMoving { .. })) => {}
        outcomes => panic!("{name}: {outcomes:?}"),
    }
    told.push(writing.await.unwrap());
    told.push(append(&second).await);
    for store in [&second, &writer] {
        check(store, &told, &name).await;
    }
    for store in [first, second, writer] {
        store.close().await.unwrap();
    }
    (ended, moved)
}

async fn endings(what: Ending) {
    let mut calls = 0;
    for nth in 0.. {
        let (mut ended, mut other_nth) = (false, FIRST);
        loop {
            let (one, other) = ending(what, nth, other_nth).await;
            ended |= one;
            other_nth += 1;
            if !one || !other {
                break;
            }
            calls += 1;
        }
        if !ended {
            break;
        }
    }
    println!("{what:?}: {calls} places");
    assert!(calls > 20, "{calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cancels_and_stands_still_opens_nothing_that_others_have_sealed() {
    endings(Ending::Cancel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_restores_and_stands_still_opens_nothing_that_others_have_sealed() {
    endings(Ending::Restore).await;
}

/// A mover that stops at its nth call, while another process wants to move the topic on.
async fn moved_on_at(nth: usize) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let stops = Arc::new(Stops::default());
    let first = open(directory, &stops).await;
    first.create_topic(topic(directory, "here")).await.unwrap();
    let second = open(directory, &Arc::new(Stops::default())).await;
    let mut told = vec![append(&first).await, append(&second).await];
    stops.stop_at(nth);
    let moving = spawn_move(&first, topic(directory, "there"));
    let stopped = until_stopped(&stops, &moving).await;
    match second.update_topic(topic(directory, "elsewhere")).await {
        Ok(_) | Err(Error::TopicMoving { .. }) => {}
        Err(error) => panic!("{nth}: {error:?}"),
    }
    stops.go_on();
    // Nobody has stopped it, so it has moved, or was not begun before the topic was elsewhere.
    match moving.await.unwrap() {
        Ok(info) => assert!(info.former.len() == 1 || info.former.len() == 2),
        Err(Error::TopicMoving { .. }) if nth < 8 => {}
        Err(error) => panic!("{nth}: {error:?}"),
    }
    for store in [first, second] {
        told.push(append(&store).await);
        check(&store, &told, &format!("at {nth}")).await;
        store.close().await.unwrap();
    }
    stopped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_completed_is_told_so_wherever_the_topic_is_by_then() {
    let mut calls = 0;
    while moved_on_at(calls).await {
        calls += 1;
    }
    assert!(calls > 15, "{calls}");
}

/// Whoever began a move is dropped at its nth call.
async fn dropped_at(nth: usize) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let stops = Arc::new(Stops::default());
    let first = open(directory, &stops).await;
    first.create_topic(topic(directory, "here")).await.unwrap();
    let mut told = vec![append(&first).await];
    let second = open(directory, &Arc::new(Stops::default())).await;
    stops.stop_at(nth);
    let moving = spawn_move(&first, topic(directory, "there"));
    let stopped = until_stopped(&stops, &moving).await;
    moving.abort();
    drop(moving.await);
    stops.go_on();
    told.push(append(&second).await);
    // What it had begun comes to its end, and the topic can be moved and deleted again.
    for tries in 0.. {
        match second.update_topic(topic(directory, "elsewhere")).await {
            Ok(_) => break,
            Err(Error::TopicMoving { .. }) if tries < 400 => {}
            Err(error) => panic!("{nth}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for store in [&first, &second] {
        told.push(append(store).await);
        check(store, &told, &format!("at {nth}")).await;
    }
    second.delete_topic("t").await.unwrap();
    first.close().await.unwrap();
    second.close().await.unwrap();
    stopped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_whose_caller_is_dropped_comes_to_its_end() {
    let mut calls = 0;
    while dropped_at(calls).await {
        calls += 1;
    }
    assert!(calls > 15, "{calls}");
}

/// A mover that is gone at its nth call, whose clock was wrong by so many minutes.
async fn gone_at(nth: usize, wrong: i64) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let (stops, never) = (Arc::new(Stops::default()), Arc::new(Stops::default()));
    let lease = Duration::from_millis(300);
    let other = open_with(directory, &never, lease, 0).await;
    other.create_topic(topic(directory, "here")).await.unwrap();
    let mover = open_with(directory, &stops, lease, wrong).await;
    let mut told = vec![append(&mover).await, append(&other).await];
    stops.stop_at(nth);
    let moving = spawn_move(&mover, topic(directory, "there"));
    let stopped = until_stopped(&stops, &moving).await;
    let soon = Duration::from_secs(5);
    let appended = tokio::time::timeout(soon, append(&other)).await;
    told.push(appended.unwrap_or_else(|_| panic!("{wrong} min, {nth}: appends go on waiting")));
    let moved_on = async {
        while let Err(error) = other.update_topic(topic(directory, "elsewhere")).await {
            assert!(matches!(error, Error::TopicMoving { .. }), "{error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let moved_on = tokio::time::timeout(soon, moved_on).await;
    moved_on.unwrap_or_else(|_| panic!("{wrong} min, {nth}: it moves for ever"));
    told.push(append(&other).await);
    check(&other, &told, &format!("at {nth}")).await;
    other.close().await.unwrap();
    stopped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_that_is_gone_is_taken_over_whatever_its_clock_has_told() {
    for wrong in [-10, 10] {
        let mut calls = 0;
        while gone_at(calls, wrong).await {
            calls += 1;
        }
        assert!(calls > 15, "{calls}");
    }
}

/// A mover that stops at its nth call, and one that takes over and stops at its `other_nth`, until a
/// third has gone on; then both of them do.
async fn taken_over_twice(nth: usize, other_nth: usize) -> (bool, bool) {
    let name = format!("{nth}, {other_nth}");
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let stops = [Arc::new(Stops::default()), Arc::new(Stops::default())];
    let lease = Duration::from_millis(100);
    let first = open_with(directory, &stops[0], lease, 0).await;
    first.create_topic(topic(directory, "here")).await.unwrap();
    let second = open_with(directory, &stops[1], lease, 0).await;
    let third = open_with(directory, &Arc::new(Stops::default()), lease, 0).await;
    let mut told = Vec::new();
    for store in [&first, &second, &third] {
        told.push(append(store).await);
    }
    stops[0].stop_at(nth);
    let moving = spawn_move(&first, topic(directory, "there"));
    let stopped = until_stopped(&stops[0], &moving).await;
    tokio::time::sleep(lease).await;
    stops[1].stop_at(other_nth);
    let writing = tokio::spawn({
        let second = second.clone();
        async move {
            let told = append(&second).await;
            let moved = second.update_topic(topic_elsewhere(&second).await).await;
            (told, moved)
        }
    });
    let other_stopped = until_stopped(&stops[1], &writing).await;
    let appended = tokio::time::timeout(Duration::from_secs(10), append(&third)).await;
    told.push(appended.unwrap_or_else(|_| panic!("{name}: appends go on waiting")));
    stops[1].go_on();
    stops[0].go_on();
    let (one, moved) = writing.await.unwrap();
    told.push(one);
    for outcome in [moved, moving.await.unwrap()] {
        match outcome {
            Ok(_) | Err(Error::MoveFailed { .. } | Error::TopicMoving { .. }) => {}
            Err(error) => panic!("{name}: {error:?}"),
        }
    }
    for store in [&first, &second, &third] {
        told.push(append(store).await);
    }
    for store in [first, second, third] {
        check(&store, &told, &name).await;
        store.close().await.unwrap();
    }
    (stopped, other_stopped)
}

async fn topic_elsewhere(store: &EventStore) -> TopicConfig {
    let here = store.get_topic("t").await.unwrap().placement.connection;
    let (directory, _) = here.rsplit_once('/').unwrap();
    TopicConfig::blob("t", format!("{directory}/elsewhere"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_over_and_stands_still_does_no_harm_either() {
    let mut calls = 0;
    for nth in (2..).step_by(4) {
        let (mut all, mut other_nth) = (false, 0);
        loop {
            let (stopped, other_stopped) = taken_over_twice(nth, other_nth).await;
            all |= stopped;
            calls += 1;
            other_nth += 3 + nth % 3;
            if !stopped || !other_stopped {
                break;
            }
        }
        if !all {
            break;
        }
    }
    println!("{calls} places");
    assert!(calls > 20, "{calls}");
}

/// One that changes the options of a topic and stops at its nth call, while the topic moves and what it
/// has left is removed; a third has not heard of either when it appends.
async fn options_at(nth: usize) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let stops = Arc::new(Stops::default());
    let files = || TopicConfig::file("t", format!("{directory}/files"));
    let first = open(directory, &stops).await;
    first.create_topic(files()).await.unwrap();
    let second = open(directory, &Arc::new(Stops::default())).await;
    let third = open(directory, &Arc::new(Stops::default())).await;
    let mut told = Vec::new();
    for store in [&first, &second, &third] {
        told.push(append(store).await);
    }
    stops.stop_at(nth);
    let changing = spawn_move(&first, files().option("sync", "never"));
    let stopped = until_stopped(&stops, &changing).await;
    let moved = second.update_topic(topic(directory, "there")).await;
    moved.unwrap();
    second.remove_former("t").await.unwrap();
    // It stands still again behind the call that it has begun.
    stops.go_on_to(0);
    until_stopped(&stops, &changing).await;
    told.push(append(&third).await);
    stops.go_on();
    match changing.await.unwrap() {
        Ok(_) | Err(Error::TopicMoving { .. } | Error::TopicNotFound { .. }) => {}
        Err(error) => panic!("{nth}: {error:?}"),
    }
    for store in [first, second, third] {
        told.push(append(&store).await);
        check(&store, &told, &format!("options at {nth}")).await;
        store.close().await.unwrap();
    }
    stopped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_options_brings_no_storage_back_that_was_removed() {
    let mut calls = 0;
    while options_at(calls).await {
        calls += 1;
    }
    assert!(calls > 4, "{calls}");
}
