//! Metrics: what was done is what they say.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::json;

use crate::world::{World, config, send, status, within};

/// The values of metrics by name and labels.
type Values = BTreeMap<String, f64>;

/// Reads what Prometheus would read, and fails where it would.
fn parse(text: &str) -> Values {
    let mut values = Values::new();
    let mut types = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            if words.next() == Some("TYPE") {
                let name = words.next().unwrap().to_owned();
                let kind = words.next().unwrap().to_owned();
                assert_eq!(
                    types.insert(name, kind),
                    None,
                    "a type is given twice: {line}"
                );
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value = value.parse().unwrap();
        assert_eq!(
            values.insert(series.to_owned(), value),
            None,
            "{line} is there twice"
        );
        let name = series.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
            name.strip_suffix(suffix)
                .filter(|base| types.contains_key(*base))
        });
        assert!(
            types.contains_key(base.unwrap_or(name)),
            "{line} has no type"
        );
    }
    values
}

async fn metrics(world: &World) -> Values {
    let answer = send(world.get("/metrics")).await;
    let content_type = answer.headers()["content-type"].to_str().unwrap();
    assert!(
        content_type.starts_with("text/plain; version=0.0.4"),
        "{content_type}"
    );
    parse(&answer.text().await.unwrap())
}

#[tokio::test]
async fn what_a_client_pushes_is_counted_as_what_others_append() {
    let world = World::new(config()).await;
    let push = |expected: u64| {
        let id = "01989f3e-7a54-7d2b-9d54-3a6c6a1b2c3d";
        let event = json!({ "id": id, "type": "A", "stream": "s", "data": 17, "expectedVersion": expected });
        let other = json!({ "id": "01989f3e-7a54-7d2b-9d54-3a6c6a1b2c3e", "type": "A", "stream": "t",
                            "data": 1, "expectedVersion": 9 });
        world
            .request(Method::POST, "/api/v1/topics/orders/push")
            .json(&json!({ "events": [event, other] }))
    };
    assert_eq!(status(push(0)).await, 200);
    assert_eq!(status(push(0)).await, 200);
    let values = metrics(&world).await;
    assert_eq!(values["annals_appends_total"], 1.0);
    assert_eq!(values["annals_duplicate_appends_total"], 1.0);
    assert_eq!(values["annals_events_appended_total"], 1.0);
    assert_eq!(values["annals_bytes_appended_total"], 2.0);
    world.stop().await;
}

#[tokio::test]
async fn requests_appends_and_heads_are_counted_as_they_are() {
    let world = World::new(config()).await;
    let append = |body| {
        world
            .request(Method::POST, "/api/v1/topics/orders/events")
            .header("idempotency-key", "once")
            .json(&body)
    };
    for _ in 0..5 {
        assert_eq!(status(world.append()).await, 201);
    }
    let batch =
        json!([{ "type": "A", "data": 1 }, { "type": "A", "data": 2 }, { "type": "A", "data": 3 }]);
    assert_eq!(status(append(batch.clone())).await, 201);
    assert_eq!(status(append(batch)).await, 200);
    assert_eq!(status(world.append().body("{")).await, 400);
    assert_eq!(status(world.get("/api/v1/topics/none/events")).await, 404);
    assert_eq!(
        status(world.get("/api/v1/topics/orders/events?limit=4")).await,
        200
    );
    assert_eq!(status(world.get("/made/up/1")).await, 404);
    assert_eq!(status(world.get("/made/up/2")).await, 404);

    let values = metrics(&world).await;
    let requests = |method: &str, route: &str, status: u16| {
        values[&format!(
            "annals_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        )]
    };
    let events = "/api/v1/topics/{topic}/events";
    assert_eq!(requests("POST", events, 201), 6.0);
    assert_eq!(requests("POST", events, 200), 1.0);
    assert_eq!(requests("POST", events, 400), 1.0);
    assert_eq!(requests("GET", events, 404), 1.0);
    assert_eq!(requests("GET", events, 200), 1.0);
    assert_eq!(requests("GET", "unmatched", 404), 2.0);
    let posts = format!("{{method=\"POST\",route=\"{events}\"}}");
    assert_eq!(
        values[&format!("annals_http_request_duration_seconds_count{posts}")],
        8.0
    );
    assert!(values[&format!("annals_http_request_duration_seconds_sum{posts}")] > 0.0);
    assert_eq!(values["annals_topic_head{topic=\"orders\"}"], 8.0);
    assert_eq!(values["annals_appends_total"], 6.0);
    assert_eq!(values["annals_duplicate_appends_total"], 1.0);
    assert_eq!(values["annals_events_appended_total"], 8.0);
    assert_eq!(values["annals_bytes_appended_total"], 5.0 * 12.0 + 3.0);
    assert_eq!(values["annals_events_read_total"], 4.0);
    assert!(values["annals_connections"] >= 1.0);
    assert_eq!(values["annals_http_requests_in_flight"], 1.0);
    world.stop().await;
}

#[tokio::test]
async fn those_who_follow_a_topic_are_shown_with_their_lag_for_as_long_as_they_do() {
    let world = World::new(config()).await;
    assert_eq!(status(world.append()).await, 201);
    let series = "annals_followers{kind=\"live\",name=\"\",topic=\"orders\"}";
    assert!(!metrics(&world).await.contains_key(series));
    let mut stream = send(world.get("/api/v1/topics/orders/live")).await;
    assert!(within(stream.chunk()).await.unwrap().is_some());
    let lag = "annals_follower_lag_events{kind=\"live\",name=\"\",topic=\"orders\"}";
    within(async {
        loop {
            let values = metrics(&world).await;
            assert_eq!(values[series], 1.0);
            if values[lag] == 0.0 {
                return;
            }
        }
    })
    .await;
    drop(stream);
    within(async {
        while metrics(&world).await.contains_key(series) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn two_servers_of_one_process_count_for_themselves() {
    let one = World::new(config()).await;
    let two = World::new(config()).await;
    assert_eq!(status(one.append()).await, 201);
    assert_eq!(metrics(&one).await["annals_appends_total"], 1.0);
    assert_eq!(metrics(&two).await["annals_appends_total"], 0.0);
    one.stop().await;
    two.stop().await;
}
