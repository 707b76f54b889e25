//! An object store that fails: requests that are not done, done and not answered, done late, or said
//! to have been done by another. Each acknowledged event is there once, at its acknowledged position.
//!
//! `ANNALS_FAULTS_APPENDS` sets how many appends are made under random faults (100,000 take some
//! minutes), `ANNALS_FAULTS_SEED` which faults.

#![cfg(feature = "blob")]
#![cfg(test)]

mod stores;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{
    Append, AppendReceipt, ConfigurationStream, Error, EventStore, EventStoreConfig,
    ExpectedVersion, NewEvent, Read, RecordedEvent, StorageId, SystemClock, TopicConfig,
    repository::{EventRepository, OpenRequest, RepositoryFactory, blob::BlobFactory},
};
use futures_util::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path,
};
use stores::{Fault, Request, Watched};
use uuid::Uuid;

/// A small generator (splitmix64), so that a run can be repeated by its seed.
struct Random(AtomicU64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    fn below(&self, limit: u64) -> u64 {
        let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// A store of which everything, the configuration stream too, is in this object store.
async fn open(store: &Arc<Watched>) -> Result<EventStore, Error> {
    let factory = BlobFactory::with_store(Arc::clone(store) as _);
    let stream = ConfigurationStream::new("blob", "memory:///configuration");
    EventStore::open(EventStoreConfig::new(stream).adapter("blob", Arc::new(factory))).await
}

fn topic(name: &str) -> TopicConfig {
    TopicConfig::blob(name, "memory:///topics")
        .option("compact_slots", "8")
        .option("grace_ms", "2000")
        .option("outcome_timeout_ms", "400")
}

/// Tries until the outcome is known; every error on the way has to say that trying again is right.
async fn insist(store: &EventStore, append: impl Fn() -> Append) -> Result<AppendReceipt, Error> {
    loop {
        match store.append_events("t", append()).await {
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(Duration::from_millis(2)).await
            }
            done => return done,
        }
    }
}

async fn all(store: &EventStore) -> Vec<RecordedEvent> {
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
    assert_eq!(
        store.verify_topic("t").await.unwrap().events,
        log.len() as u64
    );
    log
}

/// What the clients of all stores were told.
#[derive(Default)]
struct Told {
    /// For each event id, the position that its receipt gives it.
    positions: Mutex<HashMap<Uuid, u64>>,
    conflicts: AtomicU64,
}

/// One client: half of its appends go to a stream that all contend for, at an exact version.
async fn client(
    store: EventStore,
    random: Arc<Random>,
    told: Arc<Told>,
    number: u64,
    appends: u64,
) {
    for nth in 0..appends {
        let count = 1 + random.below(4);
        let ids: Vec<_> = (0..count).map(|_| Uuid::new_v4()).collect();
        let contended = random.below(2) == 0;
        let stream = if contended {
            "contended".to_owned()
        } else {
            format!("own-{number}-{}", nth % 3)
        };
        let expected = if contended {
            let state = loop {
                match store.get_stream("t", "contended").await {
                    Ok(state) => break state.version.get(),
                    Err(Error::StreamNotFound { .. }) => break 0,
                    Err(error) => assert!(error.is_retryable(), "{error:?}"),
                }
            };
            ExpectedVersion::exact(state)
        } else {
            ExpectedVersion::Any
        };
        let append = || {
            let events = ids
                .iter()
                .map(|id| NewEvent::json("E", id).unwrap().id(*id).tag("x"));
            Append::new(events).stream(&*stream).expected(expected)
        };
        match insist(&store, append).await {
            Ok(receipt) => {
                let mut positions = told.positions.lock().unwrap();
                for (id, position) in ids.iter().zip(receipt.first.get()..) {
                    assert_eq!(positions.insert(*id, position), None);
                }
            }
            Err(Error::WrongExpectedVersion { .. }) => {
                told.conflicts.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// What goes wrong: one put in eight, and one of other requests in forty.
fn random_faults(random: Arc<Random>) -> impl Fn(Request, &Path) -> Option<Fault> {
    move |request, _| {
        if request != Request::Put {
            return (random.below(40) == 0).then_some(Fault::NotDone);
        }
        match random.below(48) {
            0 => Some(Fault::NotDone),
            1 => Some(Fault::DoneAndFailed),
            2 => Some(Fault::DoneAndThere),
            3 => Some(Fault::ThereAndNot),
            4 => Some(Fault::DoneLater(Duration::from_millis(
                1 + random.below(20),
            ))),
            5 => Some(Fault::Slow(Duration::from_millis(random.below(20)))),
            _ => None,
        }
    }
}

async fn chaos(inner: Arc<dyn ObjectStore>, appends: u64, seed: u64) {
    const STORES: u64 = 4;
    const CLIENTS: u64 = 8;
    let watched: Vec<_> = (0..STORES)
        .map(|_| Watched::new(Arc::clone(&inner)))
        .collect();
    let first = open(&watched[0]).await.unwrap();
    first.create_topic(topic("t")).await.unwrap();
    let random = Arc::new(Random::new(seed));
    let told = Arc::new(Told::default());
    let mut stores = vec![first];
    for store in &watched[1..] {
        stores.push(open(store).await.unwrap());
    }
    for store in &watched {
        store.set_faults(random_faults(Arc::clone(&random)));
    }
    let mut clients = tokio::task::JoinSet::new();
    for (store, number) in stores.iter().cycle().zip(0..STORES * CLIENTS) {
        let (store, random, told) = (store.clone(), Arc::clone(&random), Arc::clone(&told));
        let each = appends / (STORES * CLIENTS);
        clients.spawn(client(store, random, told, number, each));
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    watched.iter().for_each(|store| store.heal());
    for store in stores {
        store.close().await.unwrap();
    }
    let store = open(&Watched::new(inner)).await.unwrap();
    let log = all(&store).await;
    let positions = told.positions.lock().unwrap().clone();
    let mut recorded = HashMap::new();
    for event in &log {
        assert_eq!(event.json::<Uuid>().unwrap(), event.id);
        assert_eq!(
            recorded.insert(event.id, event.position.get()),
            None,
            "an event twice"
        );
    }
    // All was insisted on, so what is recorded is what was acknowledged.
    assert_eq!(recorded, positions);
    println!(
        "seed {seed}: {} events acknowledged and recorded once each, {} conflicts",
        log.len(),
        told.conflicts.load(Ordering::Relaxed)
    );
    store.close().await.unwrap();
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_events_are_there_once_under_random_faults() {
    let appends = from_environment("ANNALS_FAULTS_APPENDS", 4_000);
    let seed = from_environment("ANNALS_FAULTS_SEED", 1);
    chaos(Arc::new(InMemory::new()), appends, seed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_events_are_there_once_under_random_faults_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let appends = from_environment("ANNALS_FAULTS_APPENDS", 2_000).min(10_000);
    chaos(Arc::new(store.with_fsync(true)), appends, 2).await;
}

fn single(id: Uuid) -> Append {
    Append::new([NewEvent::json("E", &id).unwrap().id(id)]).stream("s")
}

/// The slots of the topic `t` that are there.
async fn slots(store: &dyn ObjectStore) -> Vec<Path> {
    let listed: Vec<_> = store
        .list(Some(&Path::from("topics/topics")))
        .try_collect()
        .await
        .unwrap();
    let keys = listed.into_iter().map(|one| one.location);
    keys.filter(|key| key.as_ref().contains("/log/")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_that_stood_still_past_the_grace_period_loses_nothing_that_it_acknowledges() {
    stand_still(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_put_that_took_longer_than_the_grace_period_loses_nothing_while_others_read() {
    stand_still(true).await;
}

/// A slot that is put after others have filled, merged and collected it. `reads` keeps what the
/// process knows of the topic up to date meanwhile.
async fn stand_still(reads: bool) {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let slow = Watched::new(Arc::clone(&inner));
    let stalled = open(&slow).await.unwrap();
    let config = topic("t")
        .option("compact_slots", "2")
        .option("grace_ms", "1000");
    stalled.create_topic(config).await.unwrap();
    stalled
        .append_events("t", single(Uuid::new_v4()))
        .await
        .unwrap();
    let before = slots(&*inner).await;
    // Its next slot is put only after others have filled it, merged it and deleted it.
    let asleep = Arc::new(AtomicU64::new(0));
    let woken = Arc::clone(&asleep);
    slow.set_faults(move |request, key| {
        let first = request == Request::Put
            && key.as_ref().contains("/log/")
            && woken.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Fault::Slow(Duration::from_secs(6)))
    });
    let id = Uuid::new_v4();
    let sleeping = tokio::spawn({
        let stalled = stalled.clone();
        async move { stalled.append_events("t", single(id)).await }
    });
    while asleep.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let reading = tokio::spawn({
        let stalled = stalled.clone();
        async move {
            if !reads {
                return;
            }
            loop {
                stalled.get_latest_version("t").await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let busy = open(&Watched::new(Arc::clone(&inner))).await.unwrap();
    let last = before.iter().max().cloned().unwrap();
    loop {
        let single = single(Uuid::new_v4());
        busy.append_events("t", single).await.unwrap();
        let now = slots(&*inner).await;
        // The first that is there is behind the one that it is to put.
        let first = now
            .iter()
            .filter_map(|slot| slot.filename()?.parse::<u64>().ok())
            .min();
        let put = last.filename().unwrap().parse::<u64>().unwrap() + 1;
        if first.is_some_and(|first| first > put) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!sleeping.is_finished(), "it slept for too short a time");
    }
    let receipt = sleeping.await.unwrap().unwrap();
    reading.abort();
    let log = all(&busy).await;
    let there: Vec<_> = log.iter().filter(|event| event.id == id).collect();
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].position, receipt.first);
    assert_eq!(log.last().unwrap().id, id);
    for store in [stalled, busy] {
        store.close().await.unwrap();
    }
}

/// The least slot of which the object is there.
async fn first_slot(store: &dyn ObjectStore) -> Option<u64> {
    let slots = slots(store).await;
    let numbers = slots
        .iter()
        .filter_map(|slot| slot.filename()?.parse().ok());
    numbers.min()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_that_was_read_late_is_no_proof_that_the_next_is_free() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let slow = Watched::new(Arc::clone(&inner));
    let stalled = open(&slow).await.unwrap();
    let config = topic("t")
        .option("compact_slots", "2")
        .option("grace_ms", "1000");
    stalled.create_topic(config).await.unwrap();
    stalled.get_latest_version("t").await.unwrap();
    let busy = open(&Watched::new(Arc::clone(&inner))).await.unwrap();
    busy.append_events("t", single(Uuid::new_v4()))
        .await
        .unwrap();
    // It gets this slot, and hears of it only when it and those behind it are merged and deleted.
    let first = first_slot(&*inner).await.unwrap();
    let asleep = Arc::new(AtomicU64::new(0));
    let woken = Arc::clone(&asleep);
    slow.set_faults(move |request, key| {
        let late = request == Request::Get
            && key.as_ref().contains("/log/")
            && woken.fetch_add(1, Ordering::Relaxed) == 0;
        late.then_some(Fault::Late(Duration::from_secs(6)))
    });
    let id = Uuid::new_v4();
    let sleeping = tokio::spawn({
        let stalled = stalled.clone();
        async move {
            stalled.get_latest_version("t").await.unwrap();
            stalled.append_events("t", single(id)).await
        }
    });
    while asleep.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while first_slot(&*inner).await.unwrap() < first + 4 {
        busy.append_events("t", single(Uuid::new_v4()))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!sleeping.is_finished(), "it slept for too short a time");
    }
    let receipt = sleeping.await.unwrap().unwrap();
    let log = all(&busy).await;
    assert_eq!(log.last().unwrap().id, id);
    assert_eq!(log.last().unwrap().position, receipt.first);
    for store in [stalled, busy] {
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_make_a_storage_one_finds_what_the_other_has_put_since() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let slow = Watched::new(Arc::clone(&inner));
    // It has seen no manifest, and is slow to see what else there is.
    let asked = Arc::new(AtomicU64::new(0));
    let ask = Arc::clone(&asked);
    slow.set_faults(move |request, key| {
        let all = request == Request::List && key.parts().nth_back(1)?.as_ref() == "topics";
        all.then(|| {
            ask.fetch_add(1, Ordering::Relaxed);
            Fault::Slow(Duration::from_secs(1))
        })
    });
    let late = tokio::spawn(async move { open(&slow).await });
    while asked.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let first = open(&Watched::new(inner)).await.unwrap();
    first.create_topic(topic("t")).await.unwrap();
    assert!(!late.is_finished());
    let late = late.await.unwrap().unwrap();
    assert_eq!(late.list_topics().await.unwrap().len(), 1);
    for store in [first, late] {
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_stood_still_before_it_collects_deletes_nothing_that_is_needed() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let slow = Watched::new(Arc::clone(&inner));
    let stalled = open(&slow).await.unwrap();
    let config = topic("t")
        .option("compact_slots", "2")
        .option("grace_ms", "1000");
    stalled.create_topic(config).await.unwrap();
    // It has made a manifest and seen that it counts, and stands still then.
    let steps = Arc::new(AtomicU64::new(0));
    let step = Arc::clone(&steps);
    slow.set_faults(move |request, key| {
        let folder = key.as_ref().ends_with("/man") || key.as_ref().contains("/man/");
        let first = u64::from(request == Request::Put);
        let next = first | u64::from(request == Request::List) << 1;
        if !folder || next == 0 {
            return None;
        }
        let done = step.load(Ordering::Relaxed);
        let expected = if done == 0 { 1 } else { 2 };
        if next != expected || done >= 3 {
            return None;
        }
        let nth = step.fetch_add(1, Ordering::Relaxed);
        (nth == 2).then_some(Fault::Slow(Duration::from_secs(5)))
    });
    while steps.load(Ordering::Relaxed) < 3 {
        let single = single(Uuid::new_v4());
        stalled.append_events("t", single).await.unwrap();
    }
    let busy = open(&Watched::new(Arc::clone(&inner))).await.unwrap();
    // What is made meanwhile is old by the date of the last that is made.
    for (appends, rest) in [(60, 1500), (4, 4500)] {
        for _ in 0..appends {
            let single = single(Uuid::new_v4());
            busy.append_events("t", single).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
    for store in [&stalled, &busy] {
        assert!(all(store).await.len() > 64);
    }
    let fresh = open(&Watched::new(Arc::clone(&inner))).await.unwrap();
    assert!(all(&fresh).await.len() > 64);
    for store in [stalled, busy, fresh] {
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_manifest_that_was_put_for_long_is_not_older_than_it_is_known() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let watched = Watched::new(Arc::clone(&inner));
    let store = open(&watched).await.unwrap();
    let config = topic("t")
        .option("compact_slots", "4")
        .option("grace_ms", "2000");
    store.create_topic(config).await.unwrap();
    // Stores date an object by when its put began.
    let manifests = AtomicU64::new(0);
    watched.set_faults(move |request, key| {
        let manifest = request == Request::Put && key.as_ref().contains("/man/");
        let first = manifest && manifests.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Fault::Dated(Duration::from_secs(3600)))
    });
    let before = first_slot(&*inner).await;
    let began = Instant::now();
    let mut merged = 0;
    watched.take_counts();
    while merged < 3 {
        let single = single(Uuid::new_v4());
        store.append_events("t", single).await.unwrap();
        let counts = watched.take_counts();
        merged += counts.get(&(Request::Put, "man".into())).unwrap_or(&0);
    }
    let mut kept = Duration::ZERO;
    while first_slot(&*inner).await.unwrap_or_default() <= before.unwrap_or_default() {
        kept = began.elapsed();
        assert!(kept < Duration::from_secs(60), "what was merged stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(kept > Duration::from_millis(1900), "{kept:?}");
    store.close().await.unwrap();
}

/// What a process does in its life with a topic, until its store fails for good. Tells the ids that
/// were acknowledged.
async fn live(store: &Arc<Watched>, acknowledged: &Mutex<Vec<(Uuid, u64)>>) -> Result<(), Error> {
    let store = open(store).await?;
    let config = topic("t")
        .option("compact_slots", "2")
        .option("grace_ms", "1000");
    match store.create_topic(config).await {
        Ok(_) | Err(Error::TopicAlreadyExists { .. }) => {}
        Err(error) => return Err(error),
    }
    for _ in 0..14 {
        let id = Uuid::new_v4();
        let receipt = store.append_events("t", single(id)).await?;
        acknowledged.lock().unwrap().push((id, receipt.first.get()));
    }
    store.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_dies_at_any_request_leaves_what_it_acknowledged() {
    let mut requests = 0;
    for dies_at in 1.. {
        // The request at which it dies is done, or not.
        for done in [false, true] {
            let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let dying = Watched::new(Arc::clone(&inner));
            let count = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&count);
            dying.set_faults(
                move |_, _| match counted.fetch_add(1, Ordering::Relaxed) + 1 {
                    now if now < dies_at => None,
                    now if now == dies_at && done => Some(Fault::DoneAndFailed),
                    _ => Some(Fault::NotDone),
                },
            );
            let acknowledged = Mutex::default();
            let lived = live(&dying, &acknowledged);
            let lived = tokio::time::timeout(Duration::from_secs(2), lived).await;
            let survived = matches!(lived, Ok(Ok(()))) && count.load(Ordering::Relaxed) < dies_at;
            let heir = Watched::new(inner);
            let acknowledged = acknowledged.into_inner().unwrap();
            if !acknowledged.is_empty() {
                let store = open(&heir).await.unwrap();
                let log = all(&store).await;
                for (id, position) in &acknowledged {
                    assert_eq!(log[*position as usize - 1].id, *id, "died at {dies_at}");
                }
                assert!(log.len() <= acknowledged.len() + 1, "died at {dies_at}");
                store.close().await.unwrap();
            }
            // Another goes on as if nothing had been.
            let again = Mutex::default();
            live(&heir, &again).await.unwrap();
            requests = dies_at;
            if survived {
                println!("died at each of {requests} requests");
                return;
            }
        }
    }
    unreachable!("it ends with the first that survives {requests}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_dies_while_it_deletes_what_was_merged_leaves_what_it_acknowledged() {
    // A topic of which much was merged longer ago than the grace period.
    let before = Arc::new(InMemory::new());
    let first = Mutex::default();
    live(&Watched::new(Arc::clone(&before) as _), &first)
        .await
        .unwrap();
    let first = first.into_inner().unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let mut deletions = 0;
    for dies_at in 1.. {
        let inner: Arc<dyn ObjectStore> = Arc::new(before.fork());
        let dying = Watched::new(Arc::clone(&inner));
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        dying.set_faults(move |_, _| {
            let now = counted.fetch_add(1, Ordering::Relaxed) + 1;
            (now > dies_at).then_some(Fault::NotDone)
        });
        let acknowledged = Mutex::new(first.clone());
        let lived = live(&dying, &acknowledged);
        let lived = tokio::time::timeout(Duration::from_secs(2), lived).await;
        let survived = matches!(lived, Ok(Ok(()))) && count.load(Ordering::Relaxed) <= dies_at;
        let deleted = dying.take_counts().into_iter();
        let deleted = deleted.filter(|((request, _), _)| *request == Request::Delete);
        deletions = deletions.max(deleted.map(|(_, count)| count).sum::<u64>());
        let store = open(&Watched::new(Arc::clone(&inner))).await.unwrap();
        let log = all(&store).await;
        let acknowledged = acknowledged.into_inner().unwrap();
        for (id, position) in &acknowledged {
            assert_eq!(log[*position as usize - 1].id, *id, "died at {dies_at}");
        }
        assert!(log.len() <= acknowledged.len() + 1, "died at {dies_at}");
        store.close().await.unwrap();
        if survived {
            println!("died at each of {dies_at} requests, {deletions} of them deletions");
            assert!(deletions > 2, "nothing was deleted");
            return;
        }
    }
}

/// The repository in which the topics are.
async fn repository(store: &Arc<Watched>) -> Result<Arc<dyn EventRepository>, Error> {
    let factory = BlobFactory::with_store(Arc::clone(store) as _);
    let request = OpenRequest {
        connection: "memory:///topics?grace_ms=1000&outcome_timeout_ms=400".to_owned(),
        name: "blob".to_owned(),
        options: BTreeMap::new(),
        read_only: false,
        clock: Arc::new(SystemClock),
    };
    factory.open(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removal_that_is_cut_off_at_any_request_is_finished_by_the_next() {
    for dies_at in 1.. {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let dying = Watched::new(Arc::clone(&inner));
        live(&dying, &Mutex::default()).await.unwrap();
        let removing = repository(&dying).await.unwrap();
        let storages = removing.list().await.unwrap();
        let storage = storages[0].storage;
        let count = AtomicU64::new(0);
        dying.set_faults(move |_, _| {
            let now = count.fetch_add(1, Ordering::Relaxed) + 1;
            (now >= dies_at).then_some(Fault::NotDone)
        });
        let removed = removing.remove(storage).await;
        drop(removing);
        let heir = repository(&Watched::new(Arc::clone(&inner))).await.unwrap();
        if removed.is_err() {
            // Unless it was done but for the answer, it is still there to be seen.
            heir.remove(storage).await.unwrap();
        }
        assert!(heir.list().await.unwrap().is_empty());
        // Nothing of the events is left but names, which go too once the grace period is over.
        let folder = Path::from("topics/topics");
        let listed = || async {
            inner
                .list(Some(&folder))
                .try_collect::<Vec<_>>()
                .await
                .unwrap()
        };
        let there = listed().await;
        let holds = |one: &&object_store::ObjectMeta| {
            one.size > 0 && !one.location.as_ref().contains("/man/")
        };
        assert_eq!(there.iter().find(holds), None, "died at {dies_at}");
        if dies_at % 8 == 1 {
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let other = StorageId::generate();
            heir.remove(other).await.unwrap();
            assert!(listed().await.is_empty(), "died at {dies_at}");
        }
        if removed.is_ok() {
            println!("cut off at each of {dies_at} requests");
            return;
        }
    }
}

/// A thread that stands still while it merges is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_put_once_a_store_is_closed() {
    let mut merging = 0;
    for _ in 0..5 {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let slow = Watched::new(Arc::clone(&inner));
        let began = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&began);
        slow.set_faults(move |_, key| {
            if key.as_ref().contains("/seg/") {
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
            None
        });
        live(&slow, &Mutex::default()).await.unwrap();
        let listed = || async { inner.list(None).try_collect::<Vec<_>>().await.unwrap() };
        let there = listed().await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(listed().await, there);
        merging += began.load(Ordering::Relaxed);
    }
    assert!(merging > 0, "nothing was merged");
}

/// Reads, and what they are made of, in a form that can be compared.
async fn answers(store: &EventStore) -> Result<BTreeMap<String, String>, Error> {
    let mut answers = BTreeMap::new();
    for (name, read) in [
        ("all", Read::all()),
        ("backward", Read::all().backward()),
        ("stream", Read::stream("s")),
    ] {
        let events: Vec<_> = store.read_events("t", read).try_collect().await?;
        answers.insert(name.to_owned(), format!("{events:?}"));
    }
    let state = store.get_stream("t", "s").await?;
    answers.insert("state".to_owned(), format!("{state:?}"));
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn damage_of_any_object_is_named_and_never_returned() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let watched = Watched::new(Arc::clone(&inner));
    live(&watched, &Mutex::default()).await.unwrap();
    let store = open(&watched).await.unwrap();
    let right = answers(&store).await.unwrap();
    store.close().await.unwrap();
    let folder = Path::from("topics/topics");
    let listed: Vec<_> = inner.list(Some(&folder)).try_collect().await.unwrap();
    let (mut cases, mut named) = (0, 0);
    for one in listed {
        let original = inner
            .get(&one.location)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let mut damages = vec![None, Some(original.slice(..original.len() / 2))];
        for at in (0..original.len()).step_by(original.len() / 40 + 1) {
            for value in [original[at] ^ 1, original[at] ^ 0x80, 0xff] {
                let mut damaged = original.to_vec();
                damaged[at] = value;
                damages.push(Some(damaged.into()));
            }
        }
        for damaged in damages
            .into_iter()
            .filter(|one| one.as_ref() != Some(&original))
        {
            match &damaged {
                None => inner.delete(&one.location).await.unwrap(),
                Some(damaged) => drop(
                    inner
                        .put(&one.location, damaged.clone().into())
                        .await
                        .unwrap(),
                ),
            }
            cases += 1;
            let store = open(&Watched::new(Arc::clone(&inner))).await.unwrap();
            match answers(&store).await {
                Ok(found) => assert_eq!(found, right, "{} damaged", one.location),
                Err(Error::Corruption { place, .. }) => {
                    named += 1;
                    assert!(place.contains("topics/"), "{place}");
                }
                Err(error) => panic!("{}: {error:?}", one.location),
            }
            drop(store.verify_topic("t").await);
            store.close().await.unwrap();
            inner
                .put(&one.location, original.clone().into())
                .await
                .unwrap();
        }
    }
    assert!(named > 100, "{named} of {cases}");
    println!("{cases} damages, {named} named by reads, the others harmless to them");
}
