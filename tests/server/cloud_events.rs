//! CloudEvents: one that is read is the one that was written.

use annals::Read;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::http::{Answer, Site};

const PATH: &str = "/api/v1/topics/t/events";
const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

async fn site() -> Site {
    let site = Site::new().await;
    site.topic("t").await;
    site
}

/// Without what the store says of it.
fn bare(event: &Value) -> Value {
    let members = event.as_object().unwrap().iter();
    let own = members.filter(|(name, _)| !name.starts_with("annals"));
    Value::Object(
        own.map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>(),
    )
}

fn event(id: &str, more: Value) -> Value {
    let mut event = json!({
        "specversion": "1.0", "id": id, "source": "https://example.org/a b", "type": "org.example",
    });
    event
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    event
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
async fn a_structured_cloud_event_comes_back_as_it_was() {
    let site = site().await;
    let events = [
        event("1", json!({})),
        event(
            "01989f3e-7a54-7d2b-9d54-3a6c6a1b2c3d",
            json!({ "data": { "a": [1, null] } }),
        ),
        event(
            "01989F3E-7A54-7D2B-9D54-3A6C6A1B2C3E",
            json!({ "data": null }),
        ),
        event(
            "00000000-0000-0000-0000-000000000000",
            json!({ "data": "text" }),
        ),
        event(
            "é\n/..",
            json!({ "subject": "日本", "time": "1985-04-12T23:20:50.52+02:00" }),
        ),
        event(
            "5",
            json!({ "datacontenttype": "application/json", "data": 1.5 }),
        ),
        event(
            "6",
            json!({ "datacontenttype": "application/vnd.a+json; v=1", "data": { "b": 2 } }),
        ),
        event(
            "7",
            json!({ "datacontenttype": "text/plain", "data": "line\nline" }),
        ),
        event("8", json!({ "datacontenttype": "text/plain", "data": "" })),
        event(
            "9",
            json!({ "datacontenttype": "text/xml", "data": { "odd": true } }),
        ),
        event(
            "10",
            json!({ "datacontenttype": "text/plain", "data_base64": "aGVsbG8=" }),
        ),
        event("11", json!({ "data_base64": "aGVsbG8=" })),
        event("12", json!({ "datacontenttype": "x/y", "data_base64": "" })),
        event(
            "13",
            json!({ "datacontenttype": "application/json", "data_base64": "e30=" }),
        ),
        event(
            "14",
            json!({ "flag": true, "number": -7, "sequence": "5", "dataschema": "urn:x" }),
        ),
    ];
    for (event, nth) in events.iter().zip(1..) {
        let sent = || site.send(Method::POST, PATH, ONE, event.to_string());
        assert_eq!(sent().await.expect(201)["first"], nth, "{event}");
        // The same source and id is the same event.
        assert_eq!(sent().await.expect(200)["first"], nth, "{event}");
        let read = site.get_as(&format!("{PATH}/{nth}"), ONE).await;
        assert_eq!(read.header("content-type"), ONE);
        let read = read.expect(200);
        assert_eq!(&bare(&read), event);
        assert_eq!(read["annalsposition"], nth.to_string());
        assert_eq!(read["annalstopic"], "t");
    }
    let batch = site.get_as(PATH, BATCH).await;
    assert_eq!(batch.header("content-type"), BATCH);
    let batch = batch.expect(200);
    let read: Vec<Value> = batch.as_array().unwrap().iter().map(bare).collect();
    assert_eq!(read, events);
    let first = site.get_as(&format!("{PATH}?limit=2"), BATCH).await;
    assert_eq!(
        first.header("link"),
        format!("<{PATH}?after=2&limit=2>; rel=\"next\"")
    );
    // And natively.
    let native = site.get(&format!("{PATH}/2")).await.expect(200);
    assert_eq!(
        (&native["id"], &native["data"]),
        (&events[1]["id"], &events[1]["data"])
    );
    let native = site.get(&format!("{PATH}/7")).await.expect(200);
    assert_eq!(native["contentType"], "application/vnd.a+json; v=1");
    site.close().await;
}

#[tokio::test]
async fn ids_of_two_sources_are_two_events_and_other_content_is_a_conflict() {
    let site = site().await;
    let one = event("7", json!({ "data": 1 }));
    let mut other = one.clone();
    other["source"] = json!("urn:other");
    let mut changed = one.clone();
    changed["data"] = json!(2);
    let batch = json!([one, other]);
    site.send(Method::POST, PATH, BATCH, batch.to_string())
        .await
        .expect(201);
    let again = site
        .send(Method::POST, PATH, BATCH, batch.to_string())
        .await;
    assert_eq!(again.expect(200)["duplicate"], true);
    let refused = site
        .send(Method::POST, PATH, ONE, changed.to_string())
        .await;
    refused.problem(409, "idempotency-conflict");
    site.close().await;
}

#[tokio::test]
async fn streams_and_tags_are_extensions_and_events_can_be_passed_on() {
    let site = site().await;
    site.topic("copy").await;
    let native = json!({
        "type": "A", "stream": "order-1", "tags": ["a", "b,c"], "data": { "x": 1 }, "metadata": 7,
    });
    site.post_json(PATH, &native).await.expect(201);
    let read = site.get_as(&format!("{PATH}/1"), ONE).await.expect(200);
    assert_eq!(read["source"], format!("urn:annals:{}:t", site.store.id()));
    assert_eq!(read["subject"], "order-1");
    assert_eq!(
        (&read["annalsstream"], &read["annalstags"]),
        (&json!("order-1"), &json!(r#"["a","b,c"]"#))
    );
    assert_eq!(read["annalsmetadata"], "7");
    let copy = "/api/v1/topics/copy/events";
    site.send(Method::POST, copy, ONE, read.to_string())
        .await
        .expect(201);
    let copied = site.get_as(&format!("{copy}/1"), ONE).await.expect(200);
    assert_eq!(copied["annalstopic"], "copy");
    let mut there = copied.clone();
    for member in ["annalstopic", "annalsrecordedat"] {
        there[member] = read[member].clone();
    }
    assert_eq!(there, read);
    let events = site
        .store
        .get_events("copy", Read::stream("order-1"))
        .await
        .unwrap();
    assert_eq!(events[0].tags.iter().collect::<Vec<_>>(), ["a", "b,c"]);
    site.close().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
async fn binary_mode_has_the_attributes_in_headers() {
    let site = site().await;
    let binary = |headers: &[(&str, &str)], body: &'static [u8]| {
        let mut request = site.request(Method::POST, PATH);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.body(body))
    };
    let common = [
        ("ce-specversion", "1.0"),
        ("ce-type", "org.example"),
        ("ce-source", "urn:a"),
        ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("ce-other", "\"a \\\"b\\\"\""),
    ];
    let with = |id: &'static str, kind: &'static str| {
        let mut headers = common.to_vec();
        headers.extend([("ce-id", id), ("content-type", kind)]);
        headers
    };
    binary(&with("1", "application/json"), b"{ \"a\": 1 }")
        .await
        .expect(201);
    binary(&with("2", "text/html"), b"<script>alert(1)</script>")
        .await
        .expect(201);
    binary(&with("3", "x/y"), b"\x00\xff").await.expect(201);
    binary(
        &common
            .iter()
            .copied()
            .chain([("ce-id", "4")])
            .collect::<Vec<_>>(),
        b"",
    )
    .await
    .expect(201);

    let one = site.get_as(&format!("{PATH}/1"), ONE).await.expect(200);
    let wanted = json!({
        "specversion": "1.0", "id": "1", "source": "urn:a", "type": "org.example",
        "subject": "Euro € 😀", "other": "a \"b\"", "datacontenttype": "application/json",
        "data": { "a": 1 },
    });
    assert_eq!(bare(&one), wanted);
    let two = site.get_as(&format!("{PATH}/2"), ONE).await.expect(200);
    assert_eq!(two["data"], "<script>alert(1)</script>");
    let three = site.get_as(&format!("{PATH}/3"), ONE).await.expect(200);
    assert_eq!(three["data_base64"], "AP8=");
    let four = site.get_as(&format!("{PATH}/4"), ONE).await.expect(200);
    assert!(four.get("data").is_none() && four.get("datacontenttype").is_none());

    let out = site.get(&format!("{PATH}/1?mode=binary")).await;
    assert_eq!(&out.body[..], b"{ \"a\": 1 }");
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "urn:a"),
        ("ce-type", "org.example"),
        ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("ce-other", "a%20%22b%22"),
        ("content-type", "application/json"),
        ("ce-annalsposition", "1"),
    ] {
        assert_eq!(out.header(name), value, "{name}");
    }
    // What a browser is sent cannot act as a page of this server.
    let page = site.get(&format!("{PATH}/2?mode=binary")).await;
    assert_eq!(page.header("content-type"), "text/html");
    assert!(
        page.header("content-security-policy")
            .starts_with("sandbox")
    );
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("content-disposition"), "attachment");
    let bytes = site.get(&format!("{PATH}/3?mode=binary")).await;
    assert_eq!(&bytes.body[..], b"\x00\xff");

    let mut twice = with("5", "application/json");
    twice.push(("ce-id", "6"));
    binary(&twice, b"").await.problem(422, "invalid-event");
    let mut own = with("5", "application/json");
    own.push(("ce-datacontenttype", "x/y"));
    binary(&own, b"").await.problem(422, "invalid-event");
    let mut latin = with("5", "application/json");
    latin.push(("ce-bad", "%ff"));
    binary(&latin, b"").await.problem(400, "bad-request");
    site.close().await;
}

#[tokio::test]
async fn what_is_no_cloud_event_is_refused() {
    let site = site().await;
    for (change, value, named) in [
        ("specversion", json!("0.3"), "specversion"),
        ("specversion", Value::Null, "specversion"),
        ("id", Value::Null, "id"),
        ("id", json!(""), "id"),
        ("id", json!(7), "id"),
        ("source", json!(""), "source"),
        ("type", json!(true), "type"),
        ("type", json!("$own"), "$own"),
        ("time", json!("yesterday"), "time"),
        ("subject", json!(""), "subject"),
        ("annalstags", json!("a,b"), "annalstags"),
        ("data_base64", json!("?"), "base64"),
    ] {
        let mut event = event("1", json!({}));
        event[change] = value;
        let batch = json!([event]).to_string();
        let answer = site.send(Method::POST, PATH, BATCH, batch).await;
        let problem = answer.problem(422, "invalid-event");
        assert_eq!(problem["index"], 0);
        assert!(
            problem["detail"].as_str().unwrap().contains(named),
            "{problem}"
        );
    }
    for (change, value) in [
        ("Upper", json!("x")),
        ("under_score", json!("x")),
        ("object", json!({})),
        ("float", json!(1.5)),
        ("large", json!(1_u64 << 31)),
        ("data_base64", json!(7)),
    ] {
        let event = event("1", json!({ change: value }));
        let answer = site.send(Method::POST, PATH, ONE, event.to_string()).await;
        answer.problem(400, "invalid-json");
    }
    let both = event("1", json!({ "data": 1, "data_base64": "AA==" }));
    let answer = site.send(Method::POST, PATH, ONE, both.to_string()).await;
    answer.problem(422, "invalid-event");
    assert_eq!(site.store.get_latest_version("t").await.unwrap().get(), 0);
    site.close().await;
}
