//! How many requests an object store gets, and how much memory a topic in it takes.
//!
//! `ANNALS_SIZE_EVENTS` sets how many events the topic has (1,000,000 for the figures in
//! `docs/performance.md`).

#![cfg(feature = "blob")]
#![cfg(test)]

mod stores;

use std::{sync::Arc, time::Duration};

use annals::{
    Append, ConfigurationStream, EventStore, EventStoreConfig, ExpectedVersion, NewEvent, Read,
    TopicConfig, repository::blob::BlobFactory,
};
use futures_util::TryStreamExt;
use object_store::{ObjectStore, local::LocalFileSystem, memory::InMemory, path::Path};
use peak_alloc::PeakAlloc;
use stores::{Request, Watched};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

async fn open(store: &Arc<Watched>) -> EventStore {
    let factory = BlobFactory::with_store(Arc::clone(store) as _);
    let config = EventStoreConfig::new(ConfigurationStream::new("blob", "memory:///configuration"));
    let config = config.adapter("blob", Arc::new(factory));
    EventStore::open(config).await.unwrap()
}

fn puts(store: &Watched) -> u64 {
    let counts = store.take_counts();
    let of = |folder: &str| {
        counts
            .get(&(Request::Put, folder.to_owned()))
            .copied()
            .unwrap_or(0)
    };
    of("log")
}

/// One test after the other: memory is that of the whole process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_memory_are_bounded() {
    each_append_is_one_put().await;
    a_large_topic_is_opened_and_read_in_few_requests().await;
}

async fn each_append_is_one_put() {
    let watched = Watched::new(Arc::new(InMemory::new()));
    let store = open(&watched).await;
    store
        .create_topic(TopicConfig::blob("t", "memory:///topics"))
        .await
        .unwrap();
    let event = |nth: u64| NewEvent::json("E", &nth).unwrap();
    store
        .append_events("t", Append::new([event(0)]).stream("s"))
        .await
        .unwrap();
    drop(watched.take_counts());
    for nth in 1..100_u64 {
        let expected = ExpectedVersion::exact(nth);
        let append = Append::new([event(nth)]).stream("s").expected(expected);
        store.append_events("t", append).await.unwrap();
        // Nothing else is asked, and not even that for what is known to be recorded.
        assert_eq!(watched.take_total(), 1);
    }
    let batch = Append::new((0..1000).map(event)).stream("batch");
    store.append_events("t", batch).await.unwrap();
    assert_eq!(watched.take_total(), 1);
    // A read asks for the next slot, so that it misses nothing that others have recorded.
    let read: Vec<_> = store
        .read_events("t", Read::stream("s"))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), 100);
    assert_eq!(watched.take_total(), 1);
    store.close().await.unwrap();
}

/// Single events of many clients; those of each stream lie all over the topic.
async fn fill(store: &EventStore, events: u64, streams: u64) {
    const CLIENTS: u64 = 100;
    let payload = "x".repeat(250);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (store, payload) = (store.clone(), payload.clone());
        clients.spawn(async move {
            for nth in 0..events / CLIENTS {
                let stream = format!("s-{}", (nth * CLIENTS + client) % streams);
                let event = NewEvent::json("E", &payload).unwrap();
                let append = Append::new([event]).stream(stream);
                store.append_events("t", append).await.unwrap();
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

/// As many slots as it takes for the log to be merged once more, so that nearly nothing is behind it;
/// and then the time that merging takes.
async fn settle(store: &EventStore, inner: &dyn ObjectStore) -> u64 {
    let manifests = || async {
        let folder = Path::from("topics/topics");
        let listed: Vec<_> = inner.list(Some(&folder)).try_collect().await.unwrap();
        let manifests = listed
            .iter()
            .filter(|one| one.location.as_ref().contains("/man/"));
        manifests.count()
    };
    let mut known = 0;
    loop {
        let now = manifests().await;
        if now == known {
            break;
        }
        known = now;
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let mut appended = 0;
    while manifests().await == known {
        let event = NewEvent::json("Last", &appended).unwrap();
        store
            .append_events("t", Append::new([event]))
            .await
            .unwrap();
        appended += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    appended
}

async fn a_large_topic_is_opened_and_read_in_few_requests() {
    let events: u64 = std::env::var("ANNALS_SIZE_EVENTS")
        .map_or(60_000, |count| count.parse().expect("a number"));
    let directory = tempfile::tempdir().unwrap();
    let inner = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let inner: Arc<dyn ObjectStore> = Arc::new(inner.with_fsync(true));
    let watched = Watched::new(Arc::clone(&inner));
    let store = open(&watched).await;
    store
        .create_topic(TopicConfig::blob("t", "memory:///topics"))
        .await
        .unwrap();
    drop(watched.take_counts());
    let streams = events / 100;
    let before = MEMORY.current_usage_as_mb();
    MEMORY.reset_peak_usage();
    fill(&store, events, streams).await;
    let appending = MEMORY.peak_usage_as_mb() - before;
    let per_thousand = puts(&watched) as f64 / (events as f64 / 1000.0);
    MEMORY.reset_peak_usage();
    let mut read = store.read_events("t", Read::all());
    let mut count = 0;
    while read.try_next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, events);
    let scanning = MEMORY.peak_usage_as_mb() - before;
    let more = settle(&store, &*inner).await;
    store.close().await.unwrap();

    let store = open(&watched).await;
    drop(watched.take_counts());
    let head = store.get_latest_version("t").await.unwrap();
    assert_eq!(head.get(), events + more);
    let opening = watched.take_counts();
    let slots = opening
        .get(&(Request::Get, "log".to_owned()))
        .copied()
        .unwrap_or(0);
    let probes = opening
        .iter()
        .filter(|((_, folder), _)| folder == "probe" || folder == "other");
    let probes: u64 = probes.map(|(_, count)| count).sum();
    let opened = opening.values().sum::<u64>() - probes;
    let mut reading = Vec::new();
    for stream in [0, streams / 3, streams - 1] {
        let read = Read::stream(format!("s-{stream}"));
        let found: Vec<_> = store.read_events("t", read).try_collect().await.unwrap();
        assert_eq!(found.len(), 100);
        reading.push(watched.take_total());
    }
    println!(
        "{events} events: {per_thousand:.1} slots per 1,000; peak of {appending:.0} MiB above start \
         while appending, {scanning:.0} MiB while scanning; opened in {opened} requests, of which \
         {slots} for slots; a stream of 100 in {reading:?}"
    );
    assert!(opened - slots <= 5 && slots < 30, "{opening:?}");
    assert!(
        reading.iter().all(|requests| *requests <= 30),
        "{reading:?}"
    );
    assert!(
        appending < 128.0 && scanning < 128.0,
        "{appending} {scanning}"
    );
    store.close().await.unwrap();
}
