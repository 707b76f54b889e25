//! Moves that stop at any step: the mover's process is killed, or stands still and goes on when others
//! have taken over. Nothing is lost, doubled or changed, and appends go on.

#![cfg(feature = "blob")]
#![cfg(test)]

mod stops;

use std::{collections::HashMap, sync::Arc, time::Duration};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, MoveOptions, NewEvent, Read,
    RecordedEvent, TopicConfig, repository::blob::BlobFactory,
};
use futures_util::TryStreamExt;
use stops::{Stops, StopsFactory};
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
