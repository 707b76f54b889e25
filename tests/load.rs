//! Many tasks at once on one store that is closed in the middle: nothing hangs, and what was
//! acknowledged is there.

#![cfg(all(test, feature = "file"))]

use std::{collections::HashMap, time::Duration};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, ExpectedVersion, NewEvent,
    Read, TopicConfig,
};
use tempfile::TempDir;
use uuid::Uuid;

const TASKS: usize = 256;
/// The topics, and how each is kept. What is synced later is durable once the store is closed.
const TOPICS: [(&str, &[(&str, &str)]); 5] = [
    ("rolling", &[("segment_bytes", "4096")]),
    ("plain", &[]),
    ("later", &[("sync", "interval:20")]),
    ("never", &[("sync", "never"), ("segment_bytes", "8192")]),
    ("other", &[("segment_bytes", "65536")]),
];

async fn open(directory: &TempDir) -> EventStore {
    let place = directory.path().to_str().unwrap();
    let config = EventStoreConfig::new(ConfigurationStream::file(place));
    EventStore::open(config).await.unwrap()
}

/// What one task was acknowledged: topic, position of the first event, and its ids.
type Acknowledged = Vec<(&'static str, u64, Vec<Uuid>)>;

/// Appends and reads until the store is closed.
async fn work(store: EventStore, task: usize) -> Acknowledged {
    let mut acknowledged = Vec::new();
    for round in 0.. {
        let (topic, _) = TOPICS[(task + round) % TOPICS.len()];
        let events: Vec<_> = (0..1 + (task + round) % 4)
            .map(|nth| NewEvent::json("Worked", &vec![nth; 40]).unwrap())
            .collect();
        let ids = events.iter().map(NewEvent::event_id).collect();
        let stream = format!("s{}", (task * 7 + round) % 20);
        let mut append = Append::new(events).stream(&stream);
        if round % 3 == 0 {
            match store.get_stream(topic, &stream).await {
                Ok(state) => append = append.expected(ExpectedVersion::Exact(state.version)),
                Err(Error::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
        match store.append_events(topic, append).await {
            Ok(receipt) => acknowledged.push((topic, receipt.first.get(), ids)),
            Err(Error::WrongExpectedVersion { .. }) => {}
            Err(Error::Closed) => break,
            Err(error) => panic!("{error}"),
        }
        if round % 5 == 0 {
            // The last ten events, newest first.
            match store
                .get_events(topic, Read::all().backward().limit(10))
                .await
            {
                Ok(events) => {
                    assert!(events.is_sorted_by(|one, next| one.position > next.position))
                }
                Err(Error::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_append_and_read_while_the_store_is_closed() {
    let mut total = 0;
    for round in 0..5 {
        let directory = TempDir::new().unwrap();
        let store = open(&directory).await;
        for (topic, options) in TOPICS {
            let config = TopicConfig::file(topic, directory.path().to_str().unwrap());
            let config = options
                .iter()
                .fold(config, |config, (key, value)| config.option(*key, *value));
            store.create_topic(config).await.unwrap();
        }
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| tokio::spawn(work(store.clone(), task)))
            .collect();
        tokio::time::sleep(Duration::from_millis(50 + 150 * round)).await;
        let closing = async {
            store.close().await.unwrap();
            let mut acknowledged = Vec::new();
            for task in tasks {
                acknowledged.extend(task.await.unwrap());
            }
            acknowledged
        };
        let acknowledged = tokio::time::timeout(Duration::from_secs(60), closing)
            .await
            .expect("the store hangs");
        total += acknowledged.len();

        let store = open(&directory).await;
        let mut there = HashMap::new();
        for (topic, _) in TOPICS {
            store.verify_topic(topic).await.unwrap();
            let events = store.get_events(topic, Read::all()).await.unwrap();
            for (event, position) in events.iter().zip(1_u64..) {
                assert_eq!(event.position.get(), position);
                let twice = there.insert(event.id, (topic, position));
                assert!(twice.is_none(), "{} is there twice", event.id);
            }
        }
        let mut events = 0;
        for (topic, first, ids) in acknowledged {
            for (id, position) in ids.iter().zip(first..) {
                assert_eq!(there.get(id), Some(&(topic, position)));
                events += 1;
            }
        }
        // Nobody was told that an append failed, so there is nothing else.
        assert_eq!(there.len(), events);
        store.close().await.unwrap();
    }
    assert!(total > TASKS, "{total}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_dropped_and_opened_again_and_again_keeps_everything() {
    let directory = TempDir::new().unwrap();
    for round in 0_u64..30 {
        let store = open(&directory).await;
        if round == 0 {
            for (topic, options) in TOPICS {
                let config = TopicConfig::file(topic, directory.path().to_str().unwrap());
                let config = options
                    .iter()
                    .fold(config, |config, (key, value)| config.option(*key, *value));
                store.create_topic(config).await.unwrap();
            }
        }
        for (topic, _) in TOPICS {
            let event = NewEvent::json("Kept", &round).unwrap();
            let receipt = store.append_events(topic, event).await.unwrap();
            assert_eq!(receipt.last.get(), round + 1, "{topic}");
        }
        if round % 2 == 0 {
            store.close().await.unwrap();
        }
    }
}
