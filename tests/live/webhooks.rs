//! Webhooks, with a receiver of its own.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use annals::{ConfigurationStream, EventStore, EventStoreConfig, TopicConfig};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use crate::world::{SECRET, World, append, config, in_files, in_memory, within};

/// What came.
#[derive(Debug)]
struct Post {
    headers: HeaderMap,
    body: Bytes,
}

/// Instead of a status: there is no answer at all.
const SILENCE: u16 = 0;

/// Answers as it is told, and 200 where it is told nothing.
struct Receiver {
    address: SocketAddr,
    answers: Arc<Mutex<VecDeque<u16>>>,
    posts: mpsc::UnboundedReceiver<Post>,
}

type Shared = (Arc<Mutex<VecDeque<u16>>>, mpsc::UnboundedSender<Post>);

async fn receive(
    State((answers, posts)): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    posts.send(Post { headers, body }).unwrap();
    let status = answers.lock().unwrap().pop_front().unwrap_or(200);
    if status == SILENCE {
        std::future::pending::<()>().await;
    }
    let status = StatusCode::from_u16(status).unwrap();
    // More than anybody reads.
    (status, [("location", "/elsewhere")], "x".repeat(100_000))
}

impl Receiver {
    async fn new(answers: impl IntoIterator<Item = u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, posts) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        let state: Shared = (Arc::clone(&answers), sender);
        let router = Router::new()
            .route("/hook", post(receive))
            .with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            answers,
            posts,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    async fn next(&mut self) -> (u64, u64) {
        let post = within(self.posts.recv()).await.unwrap();
        (post.number(), post.attempt())
    }
}

impl Post {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn number(&self) -> u64 {
        self.json()["data"]["n"].as_u64().unwrap()
    }

    fn attempt(&self) -> u64 {
        self.headers["annals-attempt"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap()
    }
}

async fn register(world: &World, receiver: &Receiver, more: Value) -> Value {
    let mut body = json!({
        "topic": "orders",
        "url": receiver.url(),
        "backoff": { "first": "10ms", "longest": "40ms" },
    });
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    world.ok("PUT", "webhooks/hook", Some(body)).await
}

/// Waits until what is known of the webhook is as it is to be.
async fn until(world: &World, what: impl Fn(&Value) -> bool) -> Value {
    within(async {
        loop {
            let known = world.ok("GET", "webhooks/hook", None).await;
            if what(&known) {
                return known;
            }
        }
    })
    .await
}

#[tokio::test]
async fn events_are_sent_in_order_signed_and_as_they_are() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..6).await;
    append(&world.store, "b", "Other", 6..7).await;
    let mut receiver = Receiver::new([]).await;
    let more = json!({ "filter": { "types": ["Placed"] }, "secret": "${HOOK_SECRET}" });
    let shown = register(&world, &receiver, more).await;
    assert_eq!(
        (&shown["signed"], &shown["paused"]),
        (&json!(true), &Value::Null)
    );
    assert!(!shown.to_string().contains("HOOK_SECRET"), "{shown}");
    append(&world.store, "b", "Placed", 7..9).await;
    for n in [1, 2, 3, 4, 5, 7, 8] {
        let post = within(receiver.posts.recv()).await.unwrap();
        assert_eq!((post.number(), post.attempt()), (n, 1));
        assert_eq!(post.headers["content-type"], "application/json");
        assert_eq!(
            post.headers["annals-delivery"].to_str().unwrap(),
            post.json()["id"]
        );
        let header = post.headers["annals-signature"].to_str().unwrap();
        let (time, signature) = header
            .strip_prefix("t=")
            .unwrap()
            .split_once(",v1=")
            .unwrap();
        assert_eq!(signature, hmac(&format!("{time}."), &post.body));
    }
    let known = until(&world, |known| known["delivered"] == 7 && known["lag"] == 0).await;
    assert_eq!(
        (&known["parked"], &known["problem"]),
        (&json!(0), &Value::Null)
    );
    let consumers = world.ok("GET", "topics/orders/consumers", None).await;
    assert_eq!(consumers["consumers"][0]["kind"], "webhook");
    world.stop().await;
}

/// HMAC-SHA-256 by its definition (RFC 2104), as a receiver would compute it with what it has.
fn hmac(before: &str, body: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let mut key = [0_u8; 64];
    key[..SECRET.len()].copy_from_slice(SECRET.as_bytes());
    let pad = |byte: u8| key.map(|one| one ^ byte);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(before)
        .chain_update(body);
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize());
    outer
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test]
async fn what_fails_is_sent_again_before_anything_else_and_parked_in_the_end() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..2).await;
    append(&world.store, "b", "Placed", 2..4).await;
    // A redirect is no success, and is not followed.
    let mut receiver = Receiver::new([500, 503, 200, 302, 500, 404, 200]).await;
    register(&world, &receiver, json!({ "tries": 3 })).await;
    for expected in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1)] {
        assert_eq!(receiver.next().await, expected);
    }
    let known = until(&world, |known| known["parked"] == 1 && known["lag"] == 0).await;
    assert_eq!(
        (&known["delivered"], &known["failed"]),
        (&json!(2), &json!(5))
    );
    let parked = world.ok("GET", "webhooks/hook/parked", None).await;
    assert_eq!(parked["parked"][0]["event"]["data"]["n"], 2);
    assert_eq!(
        parked["parked"][0]["reason"],
        "the answer was 404 Not Found"
    );
    let replayed = world.ok("POST", "webhooks/hook/replay", None).await;
    assert_eq!(replayed["replayed"], 1);
    assert_eq!(receiver.next().await, (2, 1));
    world.stop().await;
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_pauses_it_until_it_is_resumed() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..4).await;
    let mut receiver = Receiver::new([200, 410]).await;
    register(&world, &receiver, json!({ "tries": 1 })).await;
    assert_eq!(receiver.next().await, (1, 1));
    assert_eq!(receiver.next().await.0, 2);
    let known = until(&world, |known| !known["paused"].is_null()).await;
    assert!(known["paused"].as_str().unwrap().contains("410"), "{known}");
    let known = world.ok("POST", "webhooks/hook/resume", None).await;
    assert_eq!(known["paused"], Value::Null);
    // It was no try that has failed, and so it was not parked.
    assert_eq!(receiver.next().await.0, 2);
    assert_eq!(receiver.next().await.0, 3);
    world.ok("POST", "webhooks/hook/pause", None).await;
    append(&world.store, "a", "Placed", 4..5).await;
    let known = until(&world, |known| known["lag"] == 1).await;
    assert_eq!(
        (&known["parked"], &known["position"]),
        (&json!(0), &json!(3))
    );
    world.ok("POST", "webhooks/hook/resume", None).await;
    assert_eq!(receiver.next().await.0, 4);
    world.ok("DELETE", "webhooks/hook", None).await;
    assert_eq!(world.call("GET", "webhooks/hook", None).await.0, 404);
    assert_eq!(
        world.ok("GET", "webhooks", None).await,
        json!({ "webhooks": [] })
    );
    world.stop().await;
}

#[tokio::test]
async fn a_webhook_goes_on_after_a_restart_and_leaves_nothing_out() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::serve(in_files(directory.path()).await, config()).await;
    append(&world.store, "a", "Placed", 1..21).await;
    let mut receiver = Receiver::new([]).await;
    register(&world, &receiver, json!({ "from": 5 })).await;
    let mut seen = Vec::new();
    while seen.len() < 7 {
        seen.push(receiver.next().await.0);
    }
    world.stop().await;
    let world = World::serve(in_files(directory.path()).await, config()).await;
    let from_now = append(&world.store, "a", "Placed", 21..31).await;
    assert_eq!(from_now.last.get(), 30);
    while seen.last() != Some(&30) {
        seen.push(receiver.next().await.0);
    }
    // What was on its way comes twice.
    seen.dedup();
    assert_eq!(seen, Vec::from_iter(6..31));
    // It is the same one: where it began counts no more.
    register(&world, &receiver, json!({ "from": "start" })).await;
    append(&world.store, "a", "Placed", 31..32).await;
    assert_eq!(receiver.next().await.0, 31);
    // One that is registered anew begins where it says.
    world.ok("DELETE", "webhooks/hook", None).await;
    register(&world, &receiver, json!({ "from": "now" })).await;
    append(&world.store, "a", "Placed", 32..33).await;
    assert_eq!(receiver.next().await.0, 32);
    assert!(receiver.answers.lock().unwrap().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn what_was_not_answered_when_the_server_stops_comes_again_and_is_no_try_that_failed() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::serve(in_files(directory.path()).await, config()).await;
    append(&world.store, "a", "Placed", 1..3).await;
    let mut receiver = Receiver::new([SILENCE]).await;
    register(&world, &receiver, json!({ "tries": 1 })).await;
    assert_eq!(receiver.next().await, (1, 1));
    let known = world.ok("GET", "webhooks/hook", None).await;
    assert_eq!(
        (&known["delivered"], &known["position"]),
        (&json!(0), &json!(0))
    );
    world.stop().await;
    let world = World::serve(in_files(directory.path()).await, config()).await;
    // The attempt counts, and yet it is sent again: none has failed.
    assert_eq!(receiver.next().await, (1, 2));
    assert_eq!(receiver.next().await, (2, 1));
    let known = until(&world, |known| known["lag"] == 0).await;
    assert_eq!(known["parked"], 0);
    world.stop().await;
}

/// A store on what other stores are on too.
async fn shared(directory: &std::path::Path) -> EventStore {
    let place = format!("file://{}", directory.display());
    let config = EventStoreConfig::new(ConfigurationStream::blob(&place));
    let store = EventStore::open(config).await.unwrap();
    if store.get_topic("orders").await.is_err() {
        let topic = TopicConfig::blob("orders", format!("{place}/topics"));
        store.create_topic(topic).await.unwrap();
    }
    store
}

#[tokio::test]
async fn two_servers_share_a_webhook_and_nothing_is_lost_when_one_stops() {
    let directory = tempfile::tempdir().unwrap();
    let first = World::serve(shared(directory.path()).await, config()).await;
    let second = World::serve(shared(directory.path()).await, config()).await;
    let mut receiver = Receiver::new([]).await;
    register(&first, &receiver, json!({})).await;
    // This one looks now, and not in a while.
    let url = second.ok("GET", "webhooks/hook", None).await["url"].clone();
    assert_eq!(url, receiver.url());
    let mut seen = Vec::new();
    for (n, world) in [&first, &second].into_iter().cycle().take(10).enumerate() {
        let n = n as u64;
        append(&world.store, "a", "Placed", n..n + 1).await;
    }
    while seen.len() < 4 {
        seen.push(receiver.next().await.0);
    }
    first.stop().await;
    append(&second.store, "a", "Placed", 10..15).await;
    while seen.last() != Some(&14) {
        seen.push(receiver.next().await.0);
    }
    // At least once: what was on its way may come twice.
    seen.dedup();
    assert_eq!(seen, Vec::from_iter(0..15));
    second.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_webhook_is_said_and_the_secret_never() {
    let strict = World::serve(in_memory().await, config().allow_private_webhooks(false)).await;
    for url in [
        "http://127.0.0.1:1/",
        "http://[::1]/",
        "http://localhost/",
        "http://169.254.169.254/",
    ] {
        let body = json!({ "topic": "orders", "url": url });
        let (status, problem) = strict.call("PUT", "webhooks/hook", Some(body)).await;
        assert_eq!(status, 422, "{url}: {problem}");
    }
    strict.stop().await;
    let world = World::new().await;
    let url = "http://127.0.0.1:1/";
    for (body, status) in [
        (json!({ "topic": "nothing", "url": url }), 404),
        (json!({ "topic": "orders" }), 422),
        (json!({ "topic": "orders", "url": "ftp://127.0.0.1/" }), 422),
        (
            json!({ "topic": "orders", "url": "http://user:word@127.0.0.1/" }),
            422,
        ),
        (
            json!({ "topic": "orders", "url": url, "secret": SECRET }),
            422,
        ),
        (json!({ "topic": "orders", "url": url, "from": 1 }), 422),
        (json!({ "topic": "orders", "url": url, "tries": 0 }), 422),
        (
            json!({ "topic": "orders", "url": url, "secret": "${MISSING}" }),
            201,
        ),
        (json!({ "topic": "orders", "url": url }), 200),
    ] {
        let (found, answer) = world.call("PUT", "webhooks/hook", Some(body.clone())).await;
        assert_eq!(found, status, "{body}: {answer}");
    }
    assert_eq!(
        world
            .call(
                "PUT",
                "webhooks/a%20b",
                Some(json!({ "topic": "orders", "url": url }))
            )
            .await
            .0,
        422
    );
    // Nobody listens there: that is said, without the address.
    append(&world.store, "a", "Placed", 1..2).await;
    let known = until(&world, |known| known["problem"].is_string()).await;
    assert!(
        !known["problem"].as_str().unwrap().contains("127.0.0.1:1/"),
        "{known}"
    );
    world.stop().await;
}
