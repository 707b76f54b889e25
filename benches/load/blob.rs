//! Topics in an object store under load, beside the store's own rate of conditional puts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use annals::{
    ConfigurationStream, EventStoreConfig, Read, TopicConfig, repository::blob::BlobFactory,
};
use object_store::{
    ObjectStore, PutMode, PutOptions, PutPayload,
    local::LocalFileSystem,
    memory::InMemory,
    path::Path,
    throttle::{ThrottleConfig, ThrottledStore},
};
use serde_json::json;

use super::{
    annals::Annals,
    big::resident,
    draft::{Drafts, Ids},
    drive::{self, Load},
    measure::{Times, report},
    stores::{Request, Watched},
    target::{Result, Target},
};

/// About what a slot has for one event of the load, and for a batch of 1,000.
const SLOT_OF_ONE: usize = 76 + 340;
const SLOT_OF_BATCH: usize = 76 + 340 * 1000;

fn local(directory: &str) -> Result<Arc<Watched>> {
    let store = LocalFileSystem::new_with_prefix(directory)?.with_fsync(true);
    Ok(Watched::new(Arc::new(store)))
}

/// Conditional puts of objects of this size, one after the other.
async fn raw(store: &dyn ObjectStore, bytes: usize, time: Duration) -> Result<f64> {
    let payload = PutPayload::from(vec![b'x'; bytes]);
    let mut times = Times::default();
    let begin = Instant::now();
    let folder = uuid::Uuid::new_v4();
    while begin.elapsed() < time {
        let key = Path::from(format!("raw/{folder}/{:020}", times.len()));
        let before = Instant::now();
        let options = PutOptions::from(PutMode::Create);
        store.put_opts(&key, payload.clone(), options).await?;
        times.add(before.elapsed());
    }
    let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
    let what = json!({ "work": "put", "target": "raw", "clients": 1, "bytes": bytes });
    let mut figures = times.percentiles();
    figures["puts_per_s"] = json!(rate);
    report(what, figures);
    Ok(rate)
}

fn mib() -> Result<f64> {
    resident()?.as_f64().ok_or_else(|| "no memory".into())
}

async fn open(store: &Arc<Watched>, name: &str) -> Result<Annals> {
    let factory = BlobFactory::with_store(Arc::clone(store) as _);
    let stream = ConfigurationStream::new("blob", format!("memory:///{name}-configuration"));
    let config = EventStoreConfig::new(stream).adapter("blob", Arc::new(factory));
    let connection = format!("memory:///{name}");
    Annals::open(config, 1, |topic| {
        TopicConfig::blob(topic, &connection).option("grace_ms", "600000")
    })
    .await
}

/// Appends in all forms, beside the raw rate in the same run.
pub(crate) async fn append(directory: &str, time: Duration) -> Result<()> {
    let store = local(directory)?;
    for (clients, batch) in [(1, 1), (16, 1), (256, 1), (1, 1000)] {
        let bytes = if batch == 1 {
            SLOT_OF_ONE
        } else {
            SLOT_OF_BATCH
        };
        let raw = raw(&*store, bytes, time).await?;
        let target = open(&store, &format!("append-{clients}-{batch}")).await?;
        let target: Arc<dyn Target> = Arc::new(target);
        drop(store.take_counts());
        let load = Load {
            batch,
            ..Load::of(clients, time)
        };
        let begin = Instant::now();
        let what = json!({ "adapter": "blob", "store": "directory", "raw_puts_per_s": raw });
        drive::append(&target, load, what).await?;
        let counts = store.take_counts();
        let puts = |folder: &str| counts.get(&(Request::Put, folder.to_owned())).copied();
        report(
            json!({ "work": "requests", "clients": clients, "batch": batch }),
            json!({
                "seconds": begin.elapsed().as_secs_f64(),
                "puts_log": puts("log"), "puts_segments": puts("seg"), "puts_manifests": puts("man"),
                "all": counts.iter().map(|((request, folder), count)| format!("{request:?} {folder} {count}")).collect::<Vec<_>>(),
            }),
        );
        target.close().await?;
    }
    Ok(())
}

/// A topic of many events, each stream's far apart: requests to open it and to read a stream, memory,
/// and a scan.
pub(crate) async fn big(directory: &str, events: u64) -> Result<()> {
    let store = local(directory)?;
    let before = mib()?;
    let annals = open(&store, "big").await?;
    let target: Arc<dyn Target> = Arc::new(annals);
    let begin = Instant::now();
    fill_scattered(&target, events).await?;
    let filled = begin.elapsed();
    let counts = store.take_counts();
    report(
        json!({ "work": "fill", "adapter": "blob", "events": events }),
        json!({
            "events_per_s": events as f64 / filled.as_secs_f64(),
            "memory_mib": mib()? - before,
            "all": counts.iter().map(|((request, folder), count)| format!("{request:?} {folder} {count}")).collect::<Vec<_>>(),
        }),
    );
    drive::scan(
        &target,
        3,
        json!({ "adapter": "blob", "memory_mib": mib()? - before }),
    )
    .await?;
    report(
        json!({ "work": "memory", "adapter": "blob" }),
        json!({ "after_scan_mib": mib()? - before }),
    );
    // Merging goes on for a while.
    tokio::time::sleep(Duration::from_secs(5)).await;
    target.close().await?;
    // Anew, as another process would find it.
    drop(store.take_counts());
    let annals = open(&store, "big").await?;
    let opened = store.take_total();
    annals.store.get_latest_version("orders-0").await?;
    let first = store.take_total();
    let mut reads = Vec::new();
    let mut times = Times::default();
    for nth in [7_u64, 8, 4321, 9999] {
        let begin = Instant::now();
        let count = annals.count(Read::stream(format!("stream-{nth}"))).await?;
        times.add(begin.elapsed());
        reads.push(json!({ "events": count, "requests": store.take_total() }));
    }
    let listed = store
        .list_with_delimiter(Some(&Path::from("big/topics")))
        .await?;
    let mut segments = Vec::new();
    for topic in listed.common_prefixes {
        use futures_util::TryStreamExt;
        let folder = topic.join("seg");
        let found: Vec<_> = store.list(Some(&folder)).try_collect().await?;
        segments.extend(found.iter().map(|one| one.size));
    }
    let mut figures = times.percentiles();
    figures["requests_of_repository"] = json!(opened);
    figures["requests_of_topic"] = json!(first);
    figures["streams"] = json!(reads);
    figures["segments_there"] = json!(segments);
    report(
        json!({ "work": "open", "adapter": "blob", "events": events }),
        figures,
    );
    annals.close().await
}

/// Single events of 10,000 streams, around and around.
async fn fill_scattered(target: &Arc<dyn Target>, events: u64) -> Result<()> {
    const CLIENTS: u64 = 250;
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let target = Arc::clone(target);
        clients.push(tokio::spawn(async move {
            let mut drafts = Drafts::new(client as usize, 1, Ids::Ordered).at_any_version();
            for nth in 0..events / CLIENTS {
                let mut draft = drafts.append(1);
                for one in &mut draft {
                    one.stream = format!("stream-{}", (nth * CLIENTS + client) % 10_000);
                }
                target.append(0, draft).await?;
            }
            Result::Ok(())
        }));
    }
    for client in clients {
        client.await??;
    }
    Ok(())
}

/// Several stores on one topic, 16 clients each, in a store with the latencies of one over a network:
/// 30 ms for a put, 15 ms for a get. Tells the share of each.
pub(crate) async fn share(stores: usize, time: Duration) -> Result<()> {
    let memory = Arc::new(InMemory::new());
    let slow = ThrottleConfig {
        wait_put_per_call: Duration::from_millis(30),
        wait_get_per_call: Duration::from_millis(15),
        ..ThrottleConfig::default()
    };
    let mut targets = Vec::new();
    for _ in 0..stores {
        let throttled = ThrottledStore::new(Arc::clone(&memory), slow);
        let store = Watched::new(Arc::new(throttled));
        targets.push(open(&store, "shared").await?);
    }
    let end = Instant::now() + time;
    let mut clients = Vec::new();
    for (number, target) in targets.into_iter().enumerate() {
        let target: Arc<dyn Target> = Arc::new(target);
        for client in 0..16 {
            let target = Arc::clone(&target);
            let mut drafts = Drafts::new(number * 16 + client, 10, Ids::Ordered);
            clients.push(tokio::spawn(async move {
                let (mut done, mut worst) = (0_u64, Duration::ZERO);
                while Instant::now() < end {
                    let begin = Instant::now();
                    target.append(0, drafts.append(1)).await?;
                    worst = worst.max(begin.elapsed());
                    done += 1;
                }
                Result::Ok((number, done, worst))
            }));
        }
    }
    let mut shares = vec![0; stores];
    let mut worst = Duration::ZERO;
    for client in clients {
        let (number, done, longest) = client.await??;
        if let Some(share) = shares.get_mut(number) {
            *share += done;
        }
        worst = worst.max(longest);
    }
    let all: u64 = shares.iter().sum();
    report(
        json!({ "work": "share", "adapter": "blob", "store": "throttled", "writers": stores, "clients_each": 16 }),
        json!({
            "events_per_s": all as f64 / time.as_secs_f64(),
            "events_of_each": shares,
            "worst_ms": worst.as_millis() as u64,
        }),
    );
    Ok(())
}
