//! Changes and push.

use annals::{Append, NewEvent};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::Site;

const CHANGES: &str = "/api/v1/topics/t/changes";
const PUSH: &str = "/api/v1/topics/t/push";

/// A client that keeps what it has heard.
struct Client {
    token: Option<String>,
    events: Vec<Value>,
}

impl Client {
    const fn new() -> Self {
        Self {
            token: None,
            events: Vec::new(),
        }
    }

    async fn pull(&mut self, site: &Site) {
        loop {
            let since = self.token.as_deref().unwrap_or("");
            let path = format!("{CHANGES}?limit=3&since={since}");
            let changes = site.get(&path).await.expect(200);
            self.events
                .extend(changes["events"].as_array().unwrap().iter().cloned());
            self.token = Some(changes["next"].as_str().unwrap().to_owned());
            if changes["more"] == false {
                return;
            }
        }
    }

    fn version(&self, stream: &str) -> usize {
        self.events
            .iter()
            .filter(|event| event["stream"] == stream)
            .count()
    }
}

fn event(id: Uuid, stream: &str, expected: usize) -> Value {
    json!({
        "expectedVersion": expected, "id": id, "type": "Changed", "stream": stream,
        "data": { "at" : expected },
    })
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x7000_8000 << 64 | number)
}

#[tokio::test]
async fn two_clients_push_and_pull_until_they_are_equal() {
    let site = Site::new().await;
    site.topic("t").await;
    let (mut one, mut other) = (Client::new(), Client::new());
    one.pull(&site).await;
    other.pull(&site).await;
    let pushed =
        json!({ "events": [event(id(1), "a", 0), event(id(2), "a", 1), event(id(3), "b", 0)] });
    let outcomes = site.post_json(PUSH, &pushed).await.expect(200)["outcomes"].clone();
    for (nth, outcome) in outcomes.as_array().unwrap().iter().enumerate() {
        assert_eq!(outcome["outcome"], "accepted");
        assert_eq!(outcome["position"], nth + 1);
        assert_eq!(outcome["id"], pushed["events"][nth]["id"]);
    }
    assert_eq!(outcomes[1]["version"], 2);
    // Its answer was lost.
    let again = site.post_json(PUSH, &pushed).await.expect(200)["outcomes"].clone();
    for outcome in again.as_array().unwrap() {
        assert_eq!(outcome["outcome"], "duplicate");
    }

    // The other has worked on `a` and `c` meanwhile, and knows nothing of that.
    let late = json!({ "events": [
        event(id(4), "a", 0), event(id(5), "c", 0), event(id(6), "a", 1), event(id(7), "c", 1),
    ] });
    let outcomes = site.post_json(PUSH, &late).await.expect(200)["outcomes"].clone();
    assert_eq!(
        (&outcomes[0]["outcome"], &outcomes[0]["version"]),
        (&json!("conflict"), &json!(2))
    );
    let shown = outcomes[0]["events"].as_array().unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["id"], json!(id(1)));
    assert_eq!(outcomes[1]["outcome"], "accepted");
    assert_eq!(
        (&outcomes[2]["outcome"], &outcomes[2]["refused"]),
        (&json!("follows"), &json!(id(4)))
    );
    assert_eq!(outcomes[3]["outcome"], "accepted");
    // It pulls, decides again, and pushes.
    other.pull(&site).await;
    let known = other.version("a");
    let anew = json!({ "events": [event(id(8), "a", known)] });
    let outcomes = site.post_json(PUSH, &anew).await.expect(200)["outcomes"].clone();
    assert_eq!(outcomes[0]["outcome"], "accepted");
    one.pull(&site).await;
    other.pull(&site).await;
    assert_eq!(one.events, other.events);
    assert_eq!(one.events.len(), 6);
    site.close().await;
}

#[tokio::test]
async fn a_push_that_is_long_follows_what_was_refused_early() {
    let site = Site::new().await;
    site.topic("t").await;
    site.post_json(PUSH, json!({ "events": [event(id(1), "a", 0)] }))
        .await
        .expect(200);
    let events: Vec<Value> = (0..100)
        .map(|nth| event(id(10 + nth as u128), "a", nth))
        .collect();
    let outcomes = site
        .post_json(PUSH, json!({ "events": events }))
        .await
        .expect(200);
    let outcomes = outcomes["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), 100);
    assert_eq!(outcomes[0]["outcome"], "conflict");
    for outcome in &outcomes[1..] {
        assert_eq!(outcome["refused"], json!(id(10)), "{outcome}");
    }
    assert_eq!(site.store.get_latest_version("t").await.unwrap().get(), 1);
    site.close().await;
}

#[tokio::test]
async fn what_happens_to_streams_is_among_the_changes() {
    let site = Site::new().await;
    site.topic("t").await;
    let stream = "/api/v1/topics/t/streams/a";
    let mut client = Client::new();
    site.post_json(&format!("{stream}/events"), json!({ "type": "A" }))
        .await
        .expect(201);
    client.pull(&site).await;
    site.delete(stream).await.expect(200);
    site.post(&format!("{stream}/restore")).await.expect(200);
    client.pull(&site).await;
    let types: Vec<_> = client.events.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["A", "$stream-deleted", "$stream-restored"]);
    for (limit, more) in [(2, true), (3, false)] {
        let path = format!("{CHANGES}?limit={limit}");
        let changes = site.get(&path).await.expect(200);
        assert_eq!(changes["events"].as_array().unwrap().len(), limit);
        assert_eq!(changes["more"], more);
    }
    site.close().await;
}

#[tokio::test]
async fn an_answer_that_is_large_shows_no_more_events() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    let large = "x".repeat(100_000);
    for stream in ["a", "b"] {
        let events = (0..100).map(|_| NewEvent::json("A", &large).unwrap());
        let append = Append::new(events).stream(stream);
        site.store.append_events("t", append).await.unwrap();
    }
    let pushed = json!({ "events": [event(id(1), "a", 0), event(id(2), "b", 0)] });
    let outcomes = site.post_json(PUSH, &pushed).await.expect(200)["outcomes"].clone();
    let shown = |nth: usize| outcomes[nth]["events"].as_array().unwrap().len();
    assert_eq!((shown(0), shown(1)), (100, 0));
    assert_eq!(outcomes[1]["version"], 100);
    site.close().await;
}

#[tokio::test]
async fn what_cannot_be_pushed_is_said() {
    let site = Site::new().await;
    site.topic("t").await;
    let odd = json!({ "events": [
        { "id": id(1), "type": "$odd", "stream": "a" },
        { "id": id(2), "type": "A", "stream": "a" },
        { "id": id(3), "type": "A", "stream": "b", "expectedVersion": "noStream" },
    ] });
    let outcomes = site.post_json(PUSH, &odd).await.expect(200)["outcomes"].clone();
    assert_eq!(outcomes[0]["outcome"], "refused");
    assert_eq!(outcomes[0]["problem"]["status"], 422);
    assert_eq!(
        outcomes[0]["problem"]["type"],
        "urn:annals:problem:invalid-event"
    );
    assert_eq!(outcomes[1]["outcome"], "follows");
    assert_eq!(outcomes[2]["outcome"], "accepted");
    let without = json!({ "events": [{ "type": "A" }] });
    site.post_json(PUSH, &without)
        .await
        .problem(422, "invalid-event");
    let misspelt = json!({ "events": [{ "type": "A", "id": id(9), "expected": 1 }] });
    let problem = site
        .post_json(PUSH, &misspelt)
        .await
        .problem(400, "invalid-json");
    assert!(
        problem["path"].as_str().unwrap().starts_with("events[0]"),
        "{problem}"
    );
    let many: Vec<Value> = (0..1_001).map(|nth| event(id(100 + nth), "m", 0)).collect();
    site.post_json(PUSH, json!({ "events": many }))
        .await
        .problem(413, "too-large");
    let none = "/api/v1/topics/none/push";
    site.post_json(none, &odd)
        .await
        .problem(404, "topic-not-found");
    site.close().await;
}

#[tokio::test]
async fn a_token_of_another_topic_is_gone_and_filters_move_it_on() {
    let site = Site::new().await;
    site.topic("t").await;
    let event = |kind: &str| json!({ "type": kind, "stream": kind });
    for _ in 0..5 {
        site.post_json("/api/v1/topics/t/events", event("A"))
            .await
            .expect(201);
    }
    let none = site
        .get(&format!("{CHANGES}?type=B&streamPrefix=x"))
        .await
        .expect(200);
    assert_eq!(
        (&none["events"], &none["more"]),
        (&json!([]), &json!(false))
    );
    let token = none["next"].as_str().unwrap();
    site.post_json("/api/v1/topics/t/events", event("B"))
        .await
        .expect(201);
    let one = site
        .get(&format!("{CHANGES}?since={token}"))
        .await
        .expect(200);
    assert_eq!(one["events"][0]["position"], 6);
    for bad in ["x", "1.2.3", &format!("{token}0")] {
        let answer = site.get(&format!("{CHANGES}?since={bad}")).await;
        answer.problem(410, "token-expired");
    }
    site.delete("/api/v1/topics/t").await.expect(204);
    site.topic("t").await;
    let gone = site.get(&format!("{CHANGES}?since={token}")).await;
    gone.problem(410, "token-expired");
    site.close().await;
}
