//! Appends: their forms, what they expect, and what is answered.

use annals::{NewEvent, Position, Read};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::{Answer, Site};

const STREAM: &str = "/api/v1/topics/orders/streams/order-1/events";
const TOPIC: &str = "/api/v1/topics/orders/events";

async fn site() -> Site {
    let site = Site::new().await;
    site.topic("orders").await;
    site
}

/// A `POST` of one event with these headers.
async fn post(site: &Site, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = site.request(Method::POST, path);
    request = request.header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request.body(body.to_string())).await
}

async fn head(site: &Site) -> u64 {
    site.store.get_latest_version("orders").await.unwrap().get()
}

#[tokio::test]
async fn an_append_is_one_event_an_array_or_an_envelope() {
    let site = site().await;
    let one = json!({ "type": "Placed", "data": { "total": 1 } });
    let appended = site.post_json(STREAM, &one).await;
    assert_eq!(appended.header("etag"), "\"1\"");
    assert_eq!(
        appended.header("location"),
        "/api/v1/topics/orders/events/1"
    );
    let receipt = json!({ "first": 1, "last": 1, "version": 1, "duplicate": false });
    assert_eq!(appended.expect(201), receipt);

    let several = site.post_json(STREAM, json!([one, one])).await;
    assert_eq!(
        several.header("location"),
        "/api/v1/topics/orders/events/2",
        "the first of them"
    );
    let receipt = several.expect(201);
    assert_eq!(
        (&receipt["first"], &receipt["last"]),
        (&json!(2), &json!(3))
    );
    for envelope in [
        json!({ "expectedVersion": 3, "events": [one] }),
        json!({ "events": [one], "expectedVersion": "streamExists" }),
        json!({ "unless": { "filter": { "types": ["Paid"] }, "after": 0 }, "events": [one] }),
        json!({ "events": [one], "expectedVersion": "any" }),
    ] {
        site.post_json(STREAM, &envelope).await.expect(201);
    }
    let other = json!({ "events": [one], "expectedVersion": "noStream" });
    let conflict = site.post_json(STREAM, &other).await;
    let conflict = conflict.problem(409, "wrong-expected-version");
    assert_eq!(conflict["actual"], 7);
    assert_eq!(conflict["expected"], "noStream");
    assert_eq!(head(&site).await, 7);
    site.close().await;
}

#[tokio::test]
async fn a_wrong_version_in_a_header_is_412_and_in_the_body_409() {
    let site = site().await;
    let one = json!({ "type": "Placed" });
    post(&site, STREAM, &[("if-none-match", "*")], &one)
        .await
        .expect(201);
    post(&site, STREAM, &[("if-match", "\"1\"")], &one)
        .await
        .expect(201);
    post(&site, STREAM, &[("if-match", "*")], &one)
        .await
        .expect(201);
    for (name, value, expected) in [
        ("if-none-match", "*", json!("noStream")),
        ("if-match", "\"1\"", json!(1)),
        ("if-match", "\"18446744073709551615\"", json!(u64::MAX)),
    ] {
        let refused = post(&site, STREAM, &[(name, value)], &one).await;
        let problem = refused.problem(412, "wrong-expected-version");
        assert_eq!(
            (&problem["actual"], &problem["expected"]),
            (&json!(3), &expected)
        );
    }
    let none = "/api/v1/topics/orders/streams/none/events";
    let refused = post(&site, none, &[("if-match", "*")], &one).await;
    assert_eq!(refused.problem(412, "wrong-expected-version")["actual"], 0);
    let body = json!({ "events": [one], "expectedVersion": 1 });
    site.post_json(STREAM, &body)
        .await
        .problem(409, "wrong-expected-version");
    // Whatever cannot be understood is refused, and not taken for no expectation.
    for headers in [
        &[("if-match", "1")][..],
        &[("if-match", "W/\"1\"")],
        &[("if-match", "\"1\", \"2\"")],
        &[("if-match", "\"-1\"")],
        &[("if-match", "\"18446744073709551616\"")],
        &[("if-none-match", "\"1\"")],
        &[("if-match", "*"), ("if-none-match", "*")],
        &[("if-match", "\"3\""), ("if-match", "\"3\"")],
    ] {
        post(&site, STREAM, headers, &one)
            .await
            .problem(400, "bad-request");
    }
    let twice = post(&site, STREAM, &[("if-match", "*")], &body).await;
    twice.problem(400, "bad-request");
    assert_eq!(head(&site).await, 3);
    site.close().await;
}

#[tokio::test]
async fn of_appends_at_once_that_expect_the_same_exactly_one_wins() {
    let site = site().await;
    let one = json!({ "type": "Placed" });
    let racing = (0..16).map(|_| post(&site, STREAM, &[("if-none-match", "*")], &one));
    let answers = futures_util::future::join_all(racing).await;
    let won = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(won, 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.problem(412, "wrong-expected-version")["actual"], 1);
    }
    assert_eq!(head(&site).await, 1);
    site.close().await;
}

#[tokio::test]
async fn a_condition_rules_out_what_was_recorded_after_a_position() {
    let site = site().await;
    let seat = json!({ "type": "Reserved", "tags": ["seat:12"] });
    let append = |after: u64, filter: Value| json!({ "events": [seat], "unless": { "filter": filter, "after": after } });
    let seats = json!({ "tags": ["seat:12"], "types": ["Reserved", "Held"] });
    site.post_json(TOPIC, append(0, seats.clone()))
        .await
        .expect(201);
    let refused = site.post_json(TOPIC, append(0, seats.clone())).await;
    assert_eq!(refused.problem(409, "condition-failed")["position"], 1);
    let any_of = json!([{ "types": ["Nothing"] }, seats]);
    let refused = site.post_json(TOPIC, append(0, any_of)).await;
    refused.problem(409, "condition-failed");
    let refused = site.post_json(TOPIC, append(0, json!({}))).await;
    refused.problem(409, "condition-failed");
    site.post_json(TOPIC, append(1, seats)).await.expect(201);
    // Each criterion counts: what it rules out does not stand in the way.
    let past = "2000-01-01T00:00:00Z";
    let future = "2999-01-01T00:00:00Z";
    for (matches, other) in [
        (
            json!({ "types": ["Reserved"] }),
            json!({ "types": ["Held"] }),
        ),
        (
            json!({ "tags": ["seat:12"] }),
            json!({ "tags": ["seat:12", "x"] }),
        ),
        (json!({ "streams": ["", "x"] }), json!({ "streams": ["x"] })),
        (
            json!({ "streamPrefix": "" }),
            json!({ "streamPrefix": "x" }),
        ),
        (json!({ "since": past }), json!({ "since": future })),
        (json!({ "until": future }), json!({ "until": past })),
    ] {
        let refused = site.post_json(TOPIC, append(0, matches)).await;
        refused.problem(409, "condition-failed");
        let appended = site.post_json(TOPIC, append(0, other.clone())).await;
        assert_eq!(appended.status, 201, "{other}: {}", appended.text());
    }
    for (filter, path) in [
        (json!([]), "unless.filter"),
        (json!({ "type": "A" }), "unless.filter"),
        (json!({ "since": "yesterday" }), "unless.filter.since"),
        (json!(7), "unless.filter"),
    ] {
        let problem = site.post_json(TOPIC, append(0, filter)).await;
        let problem = problem.problem(400, "invalid-json");
        assert!(
            problem["path"].as_str().unwrap().starts_with(path),
            "{problem}"
        );
    }
    site.close().await;
}

#[tokio::test]
async fn an_append_that_is_sent_again_is_recorded_once() {
    let site = site().await;
    let two = json!([{ "type": "Placed", "data": 1 }, { "type": "Paid" }]);
    let key = [("idempotency-key", "request 7"), ("if-none-match", "*")];
    let first = post(&site, STREAM, &key, &two).await.expect(201);
    let again = post(&site, STREAM, &key, &two).await.expect(200);
    assert_eq!(again["duplicate"], true);
    for member in ["first", "last", "version"] {
        assert_eq!(first[member], again[member]);
    }
    let other = json!([{ "type": "Placed", "data": 2 }, { "type": "Paid" }]);
    let refused = post(&site, STREAM, &key, &other).await;
    assert_eq!(refused.problem(409, "idempotency-conflict")["position"], 1);

    let id = json!({ "type": "Placed", "id": "01989f3e-7a54-7d2b-9d54-3a6c6a1b2c3d" });
    site.post_json(STREAM, &id).await.expect(201);
    assert_eq!(site.post_json(STREAM, &id).await.expect(200)["first"], 3);
    post(&site, STREAM, &key, &id)
        .await
        .problem(422, "invalid-append");
    let long = "k".repeat(513);
    let refused = post(&site, STREAM, &[("idempotency-key", &long)], &two).await;
    refused.problem(422, "invalid-append");
    assert_eq!(head(&site).await, 3);
    site.close().await;
}

#[tokio::test]
async fn events_come_as_lines_and_a_bad_line_is_named() {
    let site = site().await;
    let lines = "{\"type\":\"A\"}\r\n\n{\"type\":\"B\",\"stream\":\"s\"}\n  \n{\"type\":\"C\"}";
    let send = |lines: String| site.send(Method::POST, TOPIC, "Application/X-NDJSON; a=b", lines);
    assert_eq!(send(lines.to_owned()).await.expect(201)["last"], 3);
    let bad = format!("{lines}\n{{\"type\":7}}\n");
    let problem = send(bad).await.problem(400, "invalid-json");
    assert_eq!(
        (&problem["line"], &problem["path"]),
        (&json!(6), &json!("type"))
    );
    send(String::new()).await.problem(422, "invalid-append");
    assert_eq!(head(&site).await, 3);
    site.close().await;
}

#[tokio::test]
async fn the_stream_of_an_append_is_that_of_its_path_or_of_its_events() {
    let site = site().await;
    let of = |stream: &str| json!({ "type": "A", "stream": stream });
    site.post_json(TOPIC, of("a")).await.expect(201);
    let second = post(&site, TOPIC, &[("if-match", "\"1\"")], &of("a")).await;
    assert_eq!(second.expect(201)["version"], 2);
    let several = json!([of("a"), of("b"), { "type": "C" }]);
    let none = json!({ "type": "C" });
    for several in [
        several.clone(),
        json!([of("a"), of("b")]),
        json!([of("a"), none]),
        json!([none, of("b")]),
    ] {
        let refused = post(&site, TOPIC, &[("if-match", "\"2\"")], &several).await;
        refused.problem(422, "invalid-append");
    }
    site.post_json(TOPIC, &several).await.expect(201);
    // At the path of a stream, it is what the expectation speaks of.
    let path = "/api/v1/topics/orders/streams/a/events";
    let receipt = post(&site, path, &[("if-match", "\"3\"")], &several)
        .await
        .expect(201);
    assert_eq!(receipt["version"], 5, "{receipt}");
    let default = "/api/v1/topics/orders/streams//events";
    let receipt = post(
        &site,
        default,
        &[("if-match", "\"1\"")],
        &json!({ "type": "D" }),
    )
    .await;
    assert_eq!(receipt.expect(201)["version"], 2);
    site.close().await;
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_whole() {
    let site = site().await;
    let deleted = "/api/v1/topics/orders/streams/deleted/events";
    site.post_json(deleted, json!({ "type": "A" }))
        .await
        .expect(201);
    site.delete("/api/v1/topics/orders/streams/deleted")
        .await
        .expect(200);
    let one = json!({ "type": "A" });
    site.post_json(deleted, &one)
        .await
        .problem(410, "stream-deleted");
    let none = "/api/v1/topics/none/events";
    site.post_json(none, &one)
        .await
        .problem(404, "topic-not-found");
    let odd = "/api/v1/topics/a%2Fb/events";
    site.post_json(odd, &one)
        .await
        .problem(404, "topic-not-found");
    let long = format!("/api/v1/topics/orders/streams/{}/events", "x".repeat(513));
    site.post_json(&long, &one)
        .await
        .problem(400, "invalid-stream-id");
    let nul = "/api/v1/topics/orders/streams/a%00b/events";
    site.post_json(nul, &one)
        .await
        .problem(400, "invalid-stream-id");

    let events = json!([one, { "type": "$own" }]);
    let problem = site
        .post_json(TOPIC, events)
        .await
        .problem(422, "invalid-event");
    assert_eq!(problem["index"], 1);
    let events = json!([one, one, { "type": "A", "data": 1, "dataBase64": "AA==" }]);
    let problem = site
        .post_json(TOPIC, events)
        .await
        .problem(422, "invalid-event");
    assert_eq!(problem["index"], 2);
    site.post_json(TOPIC, json!([]))
        .await
        .problem(422, "invalid-append");
    site.post_json(TOPIC, json!({ "events": [] }))
        .await
        .problem(422, "invalid-append");

    let large = json!({ "type": "A", "data": "x".repeat(1 << 20) });
    let problem = site.post_json(TOPIC, large).await.problem(413, "too-large");
    assert_eq!(
        (&problem["limit"], &problem["actual"]),
        (&json!(1 << 20), &json!((1 << 20) + 2))
    );
    let many = vec![one.clone(); 10_001];
    let problem = site
        .post_json(TOPIC, json!(many))
        .await
        .problem(413, "too-large");
    assert_eq!(problem["limit"], 10_000);
    assert_eq!(head(&site).await, 2);
    site.close().await;
}

#[tokio::test]
async fn json_that_is_wrong_is_named_by_line_column_and_member() {
    let site = site().await;
    for (body, line, path) in [
        ("{\"type\":\"A\",\n \"dta\":1}", 2, "dta"),
        ("[{\"type\":\"A\"},\n{\"type\":7}]", 2, "[1].type"),
        ("{\"events\":[{\"type\":\"A\"},{}]}", 1, "events[1]"),
        (
            "{\"events\":[{\"type\":\"A\"}],\"expectedVersion\":\"never\"}",
            1,
            "expectedVersion",
        ),
        (
            "{\"events\":[{\"type\":\"A\"}],\"expectedVersion\":-1}",
            1,
            "expectedVersion",
        ),
        (
            "{\"events\":[{\"type\":\"A\"}],\"expectedVersion\":1.5}",
            1,
            "expectedVersion",
        ),
        ("{\"type\":\"A\",\"id\":\"7\"}", 1, "id"),
        ("{\"type\":\"A\",\"type\":\"B\"}", 1, ""),
        ("{\"type\":\"A\"", 1, ""),
        ("{\"type\":\"A\"} x", 1, ""),
        ("", 1, ""),
        ("7", 1, ""),
    ] {
        let problem = site
            .post_json(TOPIC, body)
            .await
            .problem(400, "invalid-json");
        let found = problem["path"].as_str().unwrap();
        assert!(found.contains(path), "{body}: {problem}");
        assert!(
            problem["line"] == line || body.is_empty(),
            "{body}: {problem}"
        );
    }
    // However deep it is.
    let deep = format!("{{\"type\":\"A\",\"tags\":{}", "[".repeat(1_000_000));
    site.post_json(TOPIC, deep)
        .await
        .problem(400, "json-too-deep");
    assert_eq!(head(&site).await, 0);
    site.close().await;
}

#[tokio::test]
async fn what_http_appends_the_library_reads() {
    let site = site().await;
    let event = json!({
        "type": "Placed", "id": "01989f3e-7a54-7d2b-9d54-3a6c6a1b2c3d", "stream": "order-9",
        "tags": ["a", "b:2"], "contentType": "text/plain", "dataBase64": "aGVsbG8=",
        "metadata": { "user": "eve" },
    });
    site.post_json(TOPIC, &event).await.expect(201);
    let read = site.store.get_events("orders", Read::all()).await.unwrap();
    let [read] = &read[..] else {
        panic!("{read:?}")
    };
    assert_eq!(read.position, Position::new(1));
    assert_eq!(read.event_type, "Placed");
    assert_eq!(read.stream, "order-9");
    assert_eq!(read.id.to_string(), "01989f3e-7a54-7d2b-9d54-3a6c6a1b2c3d");
    assert_eq!(read.tags.iter().collect::<Vec<_>>(), ["a", "b:2"]);
    assert_eq!(
        (read.content_type.as_str(), &read.payload[..]),
        ("text/plain", &b"hello"[..])
    );
    assert_eq!(&read.metadata[..], b"{\"user\":\"eve\"}");
    // And the other way.
    let new = NewEvent::json("Paid", &json!({ "by": "card" }))
        .unwrap()
        .tag("c");
    site.store.append_events("orders", new).await.unwrap();
    let paid = site.get("/api/v1/topics/orders/events/2").await.expect(200);
    assert_eq!(
        (&paid["data"], &paid["tags"]),
        (&json!({ "by": "card" }), &json!(["c"]))
    );
    assert_eq!(site.get(TOPIC).await.status, StatusCode::OK);
    site.close().await;
}
