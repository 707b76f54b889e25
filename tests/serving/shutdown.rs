//! How a server stops: what was accepted is finished, and nothing is half done.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use annals::{ConfigurationStream, EventStore, EventStoreConfig, Read, server::ServerLimits};
use reqwest::Client;
use rustix::process::Signal;
use serde_json::json;

use crate::world::{Program, World, command, config, send, status, within};

const APPEND: &str = "POST /api/v1/topics/orders/events HTTP/1.1\r\nhost: localhost\r\n\
                      content-type: application/json\r\n";

#[tokio::test]
async fn a_request_that_was_begun_is_finished_and_its_connection_closed() {
    let world = World::new(config()).await;
    let (store, address) = (world.store.clone(), world.address);
    let body = r#"{"type":"A","data":{}}"#;
    let mut begun = world.raw().await;
    let head = format!(
        "{APPEND}content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    begun.say(&head).await;
    assert!(begun.hear_head().await.starts_with("HTTP/1.1 100"));
    let mut idle = world.raw().await;
    idle.say("GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    idle.hear_head().await;

    let serving = world.stopping();
    // The idle connection is closed at once, and nobody else is let in.
    assert_eq!(idle.hear_to_the_end().await, "");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(!serving.is_finished());
    begun.say(body).await;
    let answer = begun.hear_to_the_end().await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    within(serving).await.unwrap().unwrap();
    assert_eq!(store.get_latest_version("orders").await.unwrap().get(), 1);
}

#[tokio::test]
async fn live_streams_end_when_the_server_stops() {
    let world = World::new(config()).await;
    assert_eq!(status(world.append()).await, 201);
    let mut stream = send(world.get("/api/v1/topics/orders/live")).await;
    assert!(within(stream.chunk()).await.unwrap().is_some());
    let serving = world.stopping();
    within(async { while let Ok(Some(_)) = stream.chunk().await {} }).await;
    within(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_when_the_time_is_up() {
    let world = World::new(config().drain(Duration::from_millis(100))).await;
    let store = world.store.clone();
    let mut stuck = world.raw().await;
    stuck
        .say(&format!(
            "{APPEND}content-length: 22\r\nexpect: 100-continue\r\n\r\n"
        ))
        .await;
    assert!(stuck.hear_head().await.starts_with("HTTP/1.1 100"));
    let error = within(world.stopping()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(store.get_latest_version("orders").await.unwrap().get(), 0);
}

/// Appends of three events each, one after the other, until the server is gone; those that were acknowledged.
async fn append_until_it_is_gone(
    client: Client,
    url: String,
    worker: u64,
    done: Arc<AtomicU64>,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let batch = format!("{worker}-{number}");
        let event = json!({ "type": "Counted", "data": { "batch": batch } });
        let body = json!([event, event, event]);
        let append = client
            .post(format!("{url}/api/v1/topics/orders/events"))
            .json(&body);
        match append.send().await {
            Ok(answer) if answer.status() == 201 => {
                done.fetch_add(1, Ordering::Relaxed);
                acknowledged.push(batch);
            }
            Ok(answer) => panic!("{}", answer.status()),
            Err(_) => break,
        }
    }
    acknowledged
}

/// Under load from 16 clients the program is sent a signal; every append that was acknowledged is there, and
/// every append is there as a whole or not at all.
async fn under_load(signal: Signal) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::of(directory.path());
    let client = Client::new();
    let topic = client.post(format!("{}/api/v1/topics", program.url));
    let topic = topic.json(&json!({ "name": "orders" }));
    assert_eq!(status(topic).await, 201);
    let done = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let (url, done) = (program.url.clone(), Arc::clone(&done));
            tokio::spawn(append_until_it_is_gone(client.clone(), url, worker, done))
        })
        .collect();
    within(async {
        while done.load(Ordering::Relaxed) < 50 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    program.signal(signal);
    let mut acknowledged = Vec::new();
    for worker in workers {
        acknowledged.extend(within(worker).await.unwrap());
    }
    let ended = tokio::task::spawn_blocking(|| program.end());
    let (code, log) = within(ended).await.unwrap();

    let files = ConfigurationStream::file(directory.path().to_str().unwrap());
    let store = EventStore::open(EventStoreConfig::new(files))
        .await
        .unwrap();
    let events = store.get_events("orders", Read::all()).await.unwrap();
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    for event in events {
        let data: serde_json::Value = event.json().unwrap();
        *found
            .entry(data["batch"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    assert!(acknowledged.len() >= 50);
    for batch in &acknowledged {
        assert_eq!(found.get(batch), Some(&3), "{batch} was acknowledged");
    }
    assert!(found.values().all(|events| *events == 3), "{found:?}");
    if signal != Signal::KILL {
        // None was recorded behind the back of its client: each was answered.
        assert_eq!(found.len(), acknowledged.len());
    }
    (code.code(), log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_under_load_finishes_what_it_has_accepted() {
    for signal in [Signal::TERM, Signal::INT] {
        let (code, log) = under_load(signal).await;
        assert_eq!(code, Some(0), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_has_lost_nothing_that_it_acknowledged() {
    let (code, _) = under_load(Signal::KILL).await;
    assert_eq!(code, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_program_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::of(directory.path());
    let address = program.url.trim_start_matches("http://").to_owned();
    let mut stuck = crate::world::Raw(tokio::net::TcpStream::connect(&address).await.unwrap());
    stuck
        .say(&format!(
            "{APPEND}content-length: 22\r\nexpect: 100-continue\r\n\r\n{{"
        ))
        .await;
    assert!(stuck.hear_head().await.starts_with("HTTP/1.1 100"));
    program.signal(Signal::TERM);
    let log = Arc::clone(&program.log);
    within(async {
        while !log.lock().contains("the server stops") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    program.signal(Signal::TERM);
    let (status, _) = within(tokio::task::spawn_blocking(|| program.end()))
        .await
        .unwrap();
    assert_eq!(status.code(), Some(143));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_had_to_cut_requests_off_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let program = Program::start(&mut command(&[
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--drain-seconds",
        "0.1",
    ]));
    let address = program.url.trim_start_matches("http://").to_owned();
    let mut stuck = crate::world::Raw(tokio::net::TcpStream::connect(&address).await.unwrap());
    stuck
        .say(&format!(
            "{APPEND}content-length: 22\r\nexpect: 100-continue\r\n\r\n{{"
        ))
        .await;
    assert!(stuck.hear_head().await.starts_with("HTTP/1.1 100"));
    let (status, log) = within(tokio::task::spawn_blocking(|| program.stop()))
        .await
        .unwrap();
    assert_eq!(status.code(), Some(7), "{log}");
    assert!(log.contains("1 connections were cut off"), "{log}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_hold_up_the_end() {
    let limits = ServerLimits {
        header_timeout: Duration::from_secs(3_600),
        ..ServerLimits::default()
    };
    let world = World::new(config().limits(limits)).await;
    let _silent = world.raw().await;
    let mut half = world.raw().await;
    half.say("GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    half.hear_head().await;
    world.stop().await;
}
