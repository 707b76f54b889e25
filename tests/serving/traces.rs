//! Traces, as a collector gets them.

use std::sync::Arc;

use axum::{Router, body::Bytes, routing::post};
use parking_lot::Mutex;
use reqwest::Client;
use tokio::net::TcpListener;

use crate::world::{Program, command, status, within};

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_on_from_those_of_callers_and_reach_the_collector() {
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let into = Arc::clone(&received);
    let collector = Router::new().route(
        "/v1/traces",
        post(move |body: Bytes| async move { into.lock().extend_from_slice(&body) }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, collector).await.unwrap() });

    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(&mut command(&[
        "--data",
        directory.path().to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--traces-endpoint",
        &endpoint,
    ]));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let asked = Client::new()
        .get(format!("{}/api/v1/topics", program.url))
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    assert_eq!(status(asked).await, 200);
    // What waits is sent before the program ends.
    let ended = tokio::task::spawn_blocking(|| program.stop());
    let (ended, log) = within(ended).await.unwrap();
    assert_eq!(ended.code(), Some(0), "{log}");

    let bytes = received.lock().clone();
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let id: Vec<u8> = (0..16)
        .map(|byte| u8::from_str_radix(&trace[2 * byte..2 * byte + 2], 16).unwrap())
        .collect();
    assert!(
        has(b"service.name") && has(b"annals"),
        "{} bytes came",
        bytes.len()
    );
    assert!(has(b"request") && has(b"/api/v1/topics"));
    assert!(has(&id), "the span is not part of the caller's trace");
    assert!(
        has(&[0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]),
        "the caller's span is not its parent"
    );
}
