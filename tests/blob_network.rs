//! Real servers of object stores behind a network that breaks: connections that are cut before, during
//! and after answers, errors in place of answers, requests that hang.

#![cfg(feature = "blob")]
#![cfg(test)]

mod servers;
mod stores;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, ExpectedVersion, NewEvent,
    Read, TopicConfig,
};
use futures_util::TryStreamExt;
use servers::object_store::{Protocol, StoreServer, store_server};
use stores::proxy::{Break, Proxy};
use uuid::Uuid;

/// A store of which the configuration stream, and the topics at `${PLACE}`, are at a connection.
async fn open(connection: &str) -> EventStore {
    let stream = ConfigurationStream::new("blob", "${PLACE}");
    let place = connection.to_owned();
    let config = EventStoreConfig::new(stream)
        .resolver(move |name| (name == "PLACE").then(|| place.clone()));
    EventStore::open(config).await.unwrap()
}

fn single(id: Uuid) -> Append {
    Append::new([NewEvent::json("E", &id).unwrap().id(id)]).stream("s")
}

/// Every way in which a put can break, one after the other, on a store of this protocol.
async fn each_fault(protocol: Protocol) {
    let server = store_server(protocol);
    let proxy = Proxy::before(server.port()).await;
    let connection = server.fresh_through(proxy.port());
    let options = "&annals.request_timeout_ms=1500&annals.outcome_timeout_ms=4000";
    let store = open(&format!("{connection}{options}")).await;
    let topic = TopicConfig::blob("t", "${PLACE}");
    store.create_topic(topic).await.unwrap();
    let mut recorded = 0;
    for fault in [
        Break::Before,
        Break::Unanswered,
        Break::MidAnswer,
        Break::Instead(500),
        Break::Instead(503),
        Break::Instead(409),
        Break::Instead(412),
        Break::After(500),
        Break::After(503),
        Break::After(409),
        Break::Hang(Duration::from_secs(5)),
        Break::Slow(Duration::from_millis(300)),
    ] {
        // The fault meets the first put of a slot, or the first two.
        for times in [1, 2] {
            let left = AtomicU64::new(times);
            proxy.set(move |method, path| {
                let slot = method == "PUT" && path.contains("/log/");
                let hit = slot
                    && left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                            left.checked_sub(1)
                        })
                        .is_ok();
                hit.then_some(fault)
            });
            let id = Uuid::new_v4();
            let receipt = store.append_events("t", single(id)).await;
            let receipt = receipt.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            recorded += 1;
            assert_eq!(receipt.first.get(), recorded, "{fault:?}");
            assert!(!receipt.duplicate);
            let again = store.append_events("t", single(id)).await.unwrap();
            assert_eq!(
                (again.first, again.duplicate),
                (receipt.first, true),
                "{fault:?}"
            );
        }
    }
    proxy.heal();
    let log: Vec<_> = store
        .read_events("t", Read::all())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(log.len() as u64, recorded);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_put_on_s3_is_found_out() {
    each_fault(Protocol::S3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_put_on_azure_is_found_out() {
    each_fault(Protocol::Azure).await;
}

/// One request in ten breaks, in some way.
fn random_break(random: &AtomicU64) -> Option<Break> {
    let mixed = random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
    match mixed % 70 {
        0 => Some(Break::Before),
        1 => Some(Break::Unanswered),
        2 => Some(Break::MidAnswer),
        3 => Some(Break::Instead(503)),
        4 => Some(Break::After(500)),
        5 => Some(Break::Instead(409)),
        6 => Some(Break::Slow(Duration::from_millis(50))),
        _ => None,
    }
}

/// Several stores, each behind a proxy of its own that breaks one request in ten.
async fn random_faults(protocol: Protocol, each: u64) {
    let server = store_server(protocol);
    let options = "&annals.compact_slots=8&annals.request_timeout_ms=1500";
    let direct = format!("{}{options}", server.fresh());
    let first = open(&direct).await;
    first
        .create_topic(TopicConfig::blob("t", "${PLACE}"))
        .await
        .unwrap();
    let mut proxies = Vec::new();
    for _ in 0..3 {
        proxies.push(Proxy::before(server.port()).await);
    }
    let random = Arc::new(AtomicU64::new(7));
    let mut clients = tokio::task::JoinSet::new();
    for (number, proxy) in proxies.iter().enumerate() {
        // The same bucket, by a way of its own.
        let (near, far) = (format!(":{}", server.port()), format!(":{}", proxy.port()));
        let store = open(&direct.replace(&near, &far)).await;
        let random = Arc::clone(&random);
        proxy.set(move |_, _| random_break(&random));
        for client in 0..4 {
            let store = store.clone();
            clients.spawn(async move {
                let mut told = Vec::new();
                for nth in 0..each {
                    let id = Uuid::new_v4();
                    let append = || {
                        let stream = format!("s-{number}-{client}");
                        single(id)
                            .stream(&*stream)
                            .expected(ExpectedVersion::exact(nth))
                    };
                    let receipt = loop {
                        match store.append_events("t", append()).await {
                            Ok(receipt) => break receipt,
                            Err(error) => assert!(error.is_retryable(), "{error:?}"),
                        }
                    };
                    told.push((id, receipt.first.get()));
                }
                told
            });
        }
    }
    let mut told = HashMap::new();
    while let Some(done) = clients.join_next().await {
        told.extend(done.unwrap());
    }
    let broken: u64 = proxies.iter().map(Proxy::broken).sum();
    proxies.iter().for_each(Proxy::heal);
    let store = open(&direct).await;
    let log: Vec<_> = store
        .read_events("t", Read::all())
        .try_collect()
        .await
        .unwrap();
    let recorded: HashMap<_, _> = log.iter().map(|one| (one.id, one.position.get())).collect();
    assert_eq!(recorded, told);
    assert_eq!(log.len(), told.len());
    assert_eq!(
        store.verify_topic("t").await.unwrap().events,
        log.len() as u64
    );
    println!(
        "{protocol:?}: {} events recorded once each, {broken} requests broken",
        log.len()
    );
    assert!(broken > 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_behind_networks_that_break_lose_and_double_nothing_on_s3() {
    random_faults(Protocol::S3, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_behind_networks_that_break_lose_and_double_nothing_on_azure() {
    random_faults(Protocol::Azure, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_reached_fails_calls_quickly_and_is_used_again_when_it_can() {
    let server = StoreServer::start(Protocol::S3);
    let proxy = Proxy::before(server.port()).await;
    let connection = server.fresh_through(proxy.port());
    let options = "&annals.request_timeout_ms=500&annals.outcome_timeout_ms=1000\
                   &annals.retry_timeout_ms=500";
    let store = open(&format!("{connection}{options}")).await;
    let topic = TopicConfig::blob("t", "${PLACE}");
    store.create_topic(topic).await.unwrap();
    store
        .append_events("t", single(Uuid::new_v4()))
        .await
        .unwrap();
    for fault in [
        Break::Before,
        Break::Instead(503),
        Break::Hang(Duration::from_secs(2)),
    ] {
        proxy.set(move |_, _| Some(fault));
        let id = Uuid::new_v4();
        let began = Instant::now();
        let error = store.append_events("t", single(id)).await.unwrap_err();
        assert!(error.is_retryable(), "{fault:?}: {error:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{fault:?}");
        let error = store.get_latest_version("t").await.unwrap_err();
        assert!(
            matches!(error, Error::RepositoryUnavailable { .. }),
            "{error:?}"
        );
        proxy.heal();
        // Whatever came of it, the same append again is recorded once.
        let receipt = store.append_events("t", single(id)).await.unwrap();
        let events: Vec<_> = store
            .read_events("t", Read::all())
            .try_collect()
            .await
            .unwrap();
        assert_eq!(events.iter().filter(|event| event.id == id).count(), 1);
        assert_eq!(events.last().unwrap().position, receipt.first);
    }
    store.close().await.unwrap();
}
