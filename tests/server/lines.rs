//! Reads as lines: in bounded memory, and whole or seen not to be.

use std::process::Command;

use annals::{Append, NewEvent, TopicConfig};
use serde_json::Value;

use crate::{MEMORY, http::Site, servers::Postgres};

const PATH: &str = "/api/v1/topics/t/events";
/// Says to a child of this program that it is one.
const ALONE: &str = "ANNALS_TEST_ALONE";

async fn fill(site: &Site, events: usize, bytes: usize) {
    let payload = serde_json::to_vec(&"x".repeat(bytes)).unwrap();
    for _ in 0..events / 1_000 {
        let events = (0..1_000).map(|_| NewEvent::json_text("A", payload.clone()));
        site.store
            .append_events("t", Append::new(events))
            .await
            .unwrap();
    }
}

/// Memory is measured of a program that does nothing else meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_events_are_streamed_in_bounded_memory() {
    if std::env::var_os(ALONE).is_none() {
        let own = "lines::a_hundred_thousand_events_are_streamed_in_bounded_memory";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let ended = child
            .args(["--exact", own, "--nocapture"])
            .env(ALONE, "1")
            .status();
        assert!(ended.unwrap().success());
        return;
    }
    let site = Site::new().await;
    site.topic("t").await;
    fill(&site, 100_000, 600).await;
    // What the store keeps of a read stays the same from the first to the second.
    let mut peaks = Vec::new();
    for _ in 0..2 {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let request = site.request(reqwest::Method::GET, PATH);
        let request = request.header("accept", "application/x-ndjson");
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
        let (mut lines, mut line, mut bytes) = (0_u64, Vec::new(), 0);
        while let Some(chunk) = answer.chunk().await.unwrap() {
            bytes += chunk.len();
            for part in chunk.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if line.ends_with(b"\n") {
                    lines += 1;
                    if lines % 1_000 == 1 {
                        let event: Value = serde_json::from_slice(&line).unwrap();
                        assert_eq!(event["position"], lines);
                    }
                    line.clear();
                }
            }
        }
        assert_eq!(lines, 100_000);
        assert!(bytes > 80_000_000, "{bytes}");
        peaks.push(MEMORY.peak_usage().saturating_sub(before));
    }
    assert!(peaks.iter().all(|peak| *peak < 24 << 20), "{peaks:?}");
    site.close().await;
}

#[tokio::test]
async fn lines_have_the_filters_and_bounds_of_pages() {
    let site = Site::new().await;
    site.topic("t").await;
    fill(&site, 2_000, 1).await;
    for (query, wanted) in [
        ("", 2_000),
        ("?after=1500", 500),
        ("?limit=7", 7),
        ("?limit=100000", 2_000),
        ("?type=B", 0),
        ("?direction=backward&upTo=9&limit=4", 4),
    ] {
        let lines = site
            .get_as(&format!("{PATH}{query}"), "application/x-ndjson")
            .await;
        assert_eq!(lines.status, 200);
        let text = lines.text();
        assert_eq!(text.lines().count(), wanted, "{query}");
        assert!(text.is_empty() || text.ends_with('\n'));
    }
    let none = site
        .get_as("/api/v1/topics/none/events", "application/x-ndjson")
        .await;
    none.problem(404, "topic-not-found");
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_go_on_is_broken_off_and_not_ended() {
    let server = Postgres::start(&[]);
    let site = Site::new().await;
    let config = TopicConfig::postgres("t", server.fresh());
    site.store.create_topic(config).await.unwrap();
    fill(&site, 30_000, 2_000).await;
    let request = site.request(reqwest::Method::GET, PATH);
    let request = request.header("accept", "application/x-ndjson");
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut bytes = answer.chunk().await.unwrap().unwrap().len();
    server.stop();
    let broken = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "the answer has an end after {bytes} bytes");
    assert!(bytes < 60_000_000, "{bytes}");
    site.close().await;
}
