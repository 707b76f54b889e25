//! Whatever is wrong with a request is answered with a problem.

use reqwest::Method;
use serde_json::json;

use crate::http::{Answer, Site};

#[tokio::test]
async fn a_path_that_is_not_there_and_a_method_that_it_does_not_have_are_problems() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    for path in [
        "/api/v1/nothing",
        "/api/v1/topics/t/nothing",
        "/api/v1/topics/t/events/1/2",
    ] {
        site.get(path).await.problem(404, "not-found");
    }
    for (method, path, allowed) in [
        (Method::PUT, "/api/v1/topics", "GET,HEAD,POST"),
        (Method::DELETE, "/api/v1/topics/t/events", "GET,HEAD,POST"),
        (Method::POST, "/api/v1/topics/t/former", "DELETE"),
        (Method::POST, "/api/v1/topics/t/streams//restore/x", ""),
    ] {
        let answer = Answer::of(site.request(method, path)).await;
        if allowed.is_empty() {
            answer.problem(404, "not-found");
            continue;
        }
        assert_eq!(answer.header("allow"), allowed, "{path}");
        answer.problem(405, "method-not-allowed");
    }
    site.close().await;
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused_by_name() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    for (path, named) in [
        ("events?limt=1", "limt"),
        ("events?limit=0", "limit"),
        ("events?limit=10001", "limit"),
        ("events?limit=-1", "limit"),
        ("events?after=x", "after"),
        ("events?after=18446744073709551616", "after"),
        ("events?after=1&after=2", "after"),
        ("events?direction=up", "direction"),
        ("events?includeDeleted=yes", "includeDeleted"),
        ("events?since=yesterday", "since"),
        ("events?type=%ff", "UTF-8"),
        ("events/1?x=1", "x"),
        ("events/1?mode=other", "mode"),
        ("streams/s/events?stream=s", "stream"),
        ("streams?stream=s", "stream"),
        ("types?limit=100001", "limit"),
        ("changes?after=1", "after"),
        ("move?x", "x"),
    ] {
        let answer = site.get(&format!("/api/v1/topics/t/{path}")).await;
        let problem = answer.problem(400, "bad-request");
        assert!(
            problem["detail"].as_str().unwrap().contains(named),
            "{path}: {problem}"
        );
    }
    let event = json!({ "type": "A" });
    let answer = site
        .post_json("/api/v1/topics/t/events?expectedVersion=1", &event)
        .await;
    assert_eq!(
        answer.problem(400, "bad-request")["parameter"],
        "expectedVersion"
    );
    // A plus is a space there, and not in a path.
    site.get("/api/v1/topics/t/events?type=a+b&type=%2B")
        .await
        .expect(200);
    site.close().await;
}

#[tokio::test]
async fn a_body_of_another_kind_or_none_is_refused() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    let event = "{\"type\":\"A\"}";
    for path in [
        "/api/v1/topics/t/events",
        "/api/v1/topics/t/push",
        "/api/v1/topics",
    ] {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/xml",
            "",
        ] {
            let sent = site.send(Method::POST, path, kind, event).await;
            sent.problem(415, "unsupported-media-type");
        }
        let without = Answer::of(site.request(Method::POST, path).body(event)).await;
        without.problem(415, "unsupported-media-type");
    }
    let xml = site
        .get_as("/api/v1/topics/t/events", "application/xml")
        .await;
    xml.problem(406, "not-acceptable");
    let none = site
        .get_as("/api/v1/topics/t/events", "application/json;q=0")
        .await;
    none.problem(406, "not-acceptable");
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = site.get_as("/api/v1/topics/t/events", browser).await;
    assert_eq!(page.header("content-type"), "application/json");
    page.expect(200);
    site.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    let head = "POST /api/v1/topics/t/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-type: application/json\r\n";
    // Nothing of it is sent.
    let told = format!("{head}content-length: 33554433\r\n\r\n");
    let answer = site.raw(told.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("urn:annals:problem:too-large"), "{answer}");
    // Or its length is not told, and one byte is too many.
    let chunk = format!("{:x}\r\n{}\r\n", 8 << 20, " ".repeat(8 << 20));
    let told = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{}1\r\n \r\n",
        chunk.repeat(4)
    );
    let answer = site.raw(told.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    site.get("/api/v1/topics/t").await.expect(200);
    site.close().await;
}

#[tokio::test]
async fn names_are_checked_and_never_lead_elsewhere() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    for topic in ["%24configuration", "..%2Ft", "t%00", "%C3%A9", ".t"] {
        let answer = site.get(&format!("/api/v1/topics/{topic}/events")).await;
        answer.problem(404, "topic-not-found");
        let config = json!({ "name": percent(topic), "adapter": "memory" });
        let answer = site.post_json("/api/v1/topics", config).await;
        answer.problem(400, "invalid-topic-name");
    }
    let answer = site.get("/api/v1/topics/%ff/events").await;
    answer.problem(400, "bad-request");
    let raw =
        "GET /api/v1/topics/../topics/t HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = site.raw(raw.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    site.close().await;
}

fn percent(text: &str) -> String {
    text.replace("%24", "$")
        .replace("%2F", "/")
        .replace("%00", "\0")
        .replace("%C3%A9", "é")
}
