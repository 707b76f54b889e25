//! Futures that are dropped at every point where they wait: nothing is left half done.

#![cfg(all(test, feature = "file"))]

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Read, TopicConfig,
};
use futures_util::{FutureExt, TryStreamExt, future::poll_fn};
use tempfile::TempDir;
use uuid::Uuid;

/// Longer than anything takes that does not hang.
const LONG: Duration = Duration::from_secs(20);
/// A future that was polled this often is waited for.
const MOST: usize = 12;

/// Polls a future `polls` times, with pauses in which what it began goes on, and drops it. Its
/// output, if it came to that.
async fn poll_and_drop<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    None
}

async fn open(directory: &TempDir) -> EventStore {
    let place = directory.path().to_str().unwrap();
    let config = EventStoreConfig::new(ConfigurationStream::file(place));
    tokio::time::timeout(LONG, EventStore::open(config))
        .await
        .expect("opening hangs")
        .unwrap()
}

async fn close(store: EventStore) {
    tokio::time::timeout(LONG, store.close())
        .await
        .expect("closing hangs")
        .unwrap();
}

fn topics(directory: &TempDir) -> [(&'static str, TopicConfig); 2] {
    let place = directory.path().to_str().unwrap();
    [
        (
            "files",
            TopicConfig::file("files", place).option("segment_bytes", "4096"),
        ),
        ("memory", TopicConfig::memory("memory")),
    ]
}

async fn ids(store: &EventStore, topic: &str) -> Vec<Uuid> {
    let events = store.get_events(topic, Read::all()).await.unwrap();
    events.iter().map(|event| event.id).collect()
}

/// Three events, with ids that follow from a number.
fn batch(number: u128, key: bool) -> (Append, Vec<Uuid>) {
    let ids: Vec<_> = (0..3)
        .map(|nth| Uuid::from_u128(number * 10 + nth + 1))
        .collect();
    let events = ids.iter().map(|id| {
        let event = NewEvent::json("Written", &"x".repeat(500)).unwrap();
        if key { event } else { event.id(*id) }
    });
    let append = Append::new(events).stream("s");
    if key {
        (append.idempotency_key(format!("key-{number}")), ids)
    } else {
        (append, ids)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_dropped_is_there_whole_or_not_at_all_and_once_when_it_is_sent_again() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for (_, config) in topics(&directory) {
        store.create_topic(config).await.unwrap();
    }
    for topic in ["files", "memory"] {
        for (number, polls) in (0..4 * MOST).map(|number| (number, number % MOST)) {
            let key = number % 2 == 0;
            let before = ids(&store, topic).await.len();
            let (append, _) = batch(number as u128, key);
            let answer = poll_and_drop(store.append_events(topic, append), polls).await;
            // What was accepted may still be on its way.
            let (again, sent) = batch(number as u128, key);
            let receipt = store.append_events(topic, again).await.unwrap();
            let after = ids(&store, topic).await;
            assert_eq!(
                after.len(),
                before + 3,
                "{topic} {number} {answer:?} {receipt:?}"
            );
            assert_eq!(receipt.first.get(), before as u64 + 1);
            if answer.is_some() {
                assert!(receipt.duplicate);
            }
            if !key {
                assert_eq!(after[before..], sent);
            }
        }
        store.verify_topic(topic).await.unwrap();
    }
    close(store).await;
    let store = open(&directory).await;
    assert_eq!(ids(&store, "files").await.len(), 12 * MOST);
    close(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_topic_that_is_dropped_is_done_or_not_and_can_be_tried_again() {
    let directory = TempDir::new().unwrap();
    for polls in 0..2 * MOST {
        let store = open(&directory).await;
        for (name, config) in topics(&directory) {
            drop(poll_and_drop(store.create_topic(config.clone()), polls).await);
            match store.create_topic(config.clone()).await {
                Ok(_) | Err(Error::TopicAlreadyExists { .. }) => {}
                Err(error) => panic!("create {name} after {polls}: {error}"),
            }
            let event = NewEvent::json("Written", &polls).unwrap();
            store.append_events(name, event).await.unwrap();

            drop(poll_and_drop(store.delete_stream(name, ""), polls).await);
            store.delete_stream(name, "").await.unwrap();
            drop(poll_and_drop(store.restore_stream(name, ""), polls).await);
            let state = store.restore_stream(name, "").await.unwrap();
            // Each was done once.
            assert_eq!(state.version.get(), 3, "{name} after {polls}");

            drop(poll_and_drop(store.delete_topic(name), polls).await);
            match store.delete_topic(name).await {
                Ok(()) | Err(Error::TopicNotFound { .. }) => {}
                Err(error) => panic!("delete {name} after {polls}: {error}"),
            }
            drop(poll_and_drop(store.restore_topic(name), polls).await);
            match store.restore_topic(name).await {
                Ok(_) | Err(Error::TopicAlreadyExists { .. } | Error::TopicNotDeleted { .. }) => {}
                Err(error) => panic!("restore {name} after {polls}: {error}"),
            }
            assert_eq!(ids(&store, name).await.len(), 3, "{name} after {polls}");
            store.delete_topic(name).await.unwrap();
            drop(poll_and_drop(store.purge_topic(name), polls).await);
            match store.purge_topic(name).await {
                Ok(()) | Err(Error::TopicNotFound { .. } | Error::TopicNotDeleted { .. }) => {}
                Err(error) => panic!("purge {name} after {polls}: {error}"),
            }
            assert!(
                store
                    .list_topics()
                    .await
                    .unwrap()
                    .iter()
                    .all(|one| one.name.as_str() != name)
            );
        }
        store.sweep_older_than(Duration::ZERO).await.unwrap();
        close(store).await;
        // The configuration's own storage is all that is left.
        let storages = std::fs::read_dir(directory.path().join("topics"))
            .unwrap()
            .count();
        assert_eq!(storages, 1, "after {polls}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_or_a_question_that_is_dropped_hinders_nobody() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for (_, config) in topics(&directory) {
        store.create_topic(config).await.unwrap();
    }
    for topic in ["files", "memory"] {
        for number in 0..40 {
            store
                .append_events(topic, batch(number, false).0)
                .await
                .unwrap();
        }
        for polls in 0..MOST {
            drop(poll_and_drop(store.get_events(topic, Read::all()), polls).await);
            let mut events = store.read_events(topic, Read::all());
            drop(poll_and_drop(events.try_next(), polls).await);
            drop(poll_and_drop(store.get_stream(topic, "s"), polls).await);
            drop(poll_and_drop(store.verify_topic(topic), polls).await);
            drop(poll_and_drop(store.health(), polls).await);
            drop(poll_and_drop(store.sweep(), polls).await);
            // The stream goes on where it was.
            let rest: Vec<_> = events.try_collect().await.unwrap();
            assert!(rest.len() >= 119, "{topic} {polls} {}", rest.len());
        }
        assert_eq!(ids(&store, topic).await.len(), 120);
    }
    close(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_and_closing_that_is_dropped_can_be_done_again() {
    let directory = TempDir::new().unwrap();
    let place = directory.path().to_str().unwrap();
    for polls in 0..2 * MOST {
        let config = || EventStoreConfig::new(ConfigurationStream::file(place));
        drop(poll_and_drop(EventStore::open(config()), polls).await);
        let store = open(&directory).await;
        let config = TopicConfig::file("files", place);
        match store.create_topic(config).await {
            Ok(_) | Err(Error::TopicAlreadyExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let appends = (0..8).map(|number| {
            let (append, _) = batch(1000 * polls as u128 + number, false);
            let store = store.clone();
            async move { store.append_events("files", append).await }
        });
        let mut appends = pin!(futures_util::future::join_all(appends));
        assert!(
            appends
                .as_mut()
                .now_or_never()
                .is_none_or(|all| all.len() == 8)
        );
        drop(poll_and_drop(store.close(), polls).await);
        // What was accepted is answered, and what was not is refused.
        let answers = tokio::time::timeout(LONG, appends)
            .await
            .expect("appends hang");
        let written = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Ok(_) | Err(Error::Closed))),
            "{answers:?}"
        );
        close(store).await;
        let store = open(&directory).await;
        let first = Uuid::from_u128(10_000 * polls as u128);
        let last = Uuid::from_u128(10_000 * (polls as u128 + 1));
        let there = ids(&store, "files")
            .await
            .into_iter()
            .filter(|id| *id > first && *id < last);
        assert!(there.count() >= written * 3, "after {polls}");
        close(store).await;
    }
}
