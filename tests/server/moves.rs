//! Updates and moves of topics.

use annals::{
    Append, MoveOptions, NewEvent, TopicConfig,
    repository::postgres::sqlx::{self, AssertSqlSafe, Connection as _, PgConnection},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    http::{Answer, Site},
    servers,
};

const MOVE: &str = "/api/v1/topics/t/move";

async fn fill(site: &Site, thousands: usize) {
    for _ in 0..thousands {
        let events = (0..1_000).map(|nth| NewEvent::json("A", &nth).unwrap());
        site.store
            .append_events("t", Append::new(events))
            .await
            .unwrap();
    }
}

/// Asks until the move is not under way any more.
async fn ended(site: &Site) -> Value {
    loop {
        let state = site.get("/api/v1/topics/t/move").await.expect(200);
        assert!(
            ["moving", "done", "failed"].contains(&state["state"].as_str().unwrap()),
            "{state}"
        );
        if state["state"] != "moving" {
            return state;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_moves_in_the_background_and_tells_how_it_gets_on() {
    let site = Site::new().await;
    site.topic("t").await;
    fill(&site, 20).await;
    site.get("/api/v1/topics/t/move")
        .await
        .problem(404, "move-not-found");
    let before = site
        .get("/api/v1/topics/t/events?limit=10000")
        .await
        .expect(200);

    let target = json!({ "adapter": "memory", "connection": "there" });
    let begun = site.put_json("/api/v1/topics/t", &target).await;
    let appended = site
        .post_json("/api/v1/topics/t/events", json!({ "type": "B" }))
        .await;
    assert_eq!(appended.expect(201)["first"], 20_001);
    // A small topic may be there before anybody looks.
    if begun.status == 202 {
        assert_eq!(begun.header("location"), "/api/v1/topics/t/move");
        assert_eq!(begun.expect(202)["state"], "moving");
    } else {
        begun.expect(200);
    }
    let done = ended(&site).await;
    assert_eq!((&done["state"], &done["target"]), (&json!("done"), &target));
    assert_eq!(done["problem"], Value::Null);
    assert!(done["copied"].as_u64().unwrap() >= 20_000, "{done}");
    assert!(done["eventsPerSecond"].as_f64().unwrap() > 0.0, "{done}");

    let topic = site.get("/api/v1/topics/t").await.expect(200);
    assert_eq!(
        (&topic["adapter"], &topic["connection"]),
        (&json!("memory"), &json!("there"))
    );
    assert_eq!(
        (&topic["head"], &topic["moving"]),
        (&json!(20_001), &Value::Null)
    );
    assert_eq!(topic["former"][0]["adapter"], "file");
    let after = site
        .get("/api/v1/topics/t/events?limit=10000")
        .await
        .expect(200);
    assert_eq!(before["events"], after["events"]);
    let removed = site.delete("/api/v1/topics/t/former").await.expect(200);
    assert_eq!(removed["removed"], topic["former"]);
    site.delete("/api/v1/topics/t/move")
        .await
        .problem(409, "not-moving");
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_moves_to_postgres_and_back_while_the_client_waits() {
    let site = Site::new().await;
    site.topic("t").await;
    fill(&site, 3).await;
    let there = json!({
        "adapter": "postgres", "connection": servers::postgres().fresh(), "former": "remove",
    });
    let moved = site
        .put_json("/api/v1/topics/t?wait=true", &there)
        .await
        .expect(200);
    assert_eq!(
        (&moved["adapter"], &moved["former"]),
        (&json!("postgres"), &json!([]))
    );
    assert_eq!(moved["head"], 3_000);
    let back = json!({ "adapter": "file", "connection": site.directory("back") });
    let moved = site
        .put_json("/api/v1/topics/t?wait=true", &back)
        .await
        .expect(200);
    assert_eq!(
        (&moved["adapter"], &moved["head"]),
        (&json!("file"), &json!(3_000))
    );
    assert_eq!(ended(&site).await["state"], "done");
    let verified = site.post("/api/v1/topics/t/verify").await.expect(200);
    assert_eq!(verified["events"], 3_000);
    site.close().await;
}

#[tokio::test]
async fn options_are_changed_at_once_and_what_is_wrong_is_refused() {
    let site = Site::new().await;
    let here = site.directory("here");
    site.store
        .create_topic(TopicConfig::file("t", &here))
        .await
        .unwrap();
    let update = json!({ "adapter": "file", "connection": here, "options": { "sync": "never" } });
    let updated = site.put_json("/api/v1/topics/t", &update).await.expect(200);
    assert_eq!(updated["options"], json!({ "sync": "never" }));
    assert_eq!(updated["former"], json!([]));
    site.get("/api/v1/topics/t/move")
        .await
        .problem(404, "move-not-found");
    for wrong in [
        json!({ "adapter": "file", "connection": here, "options": { "snyc": "never" } }),
        json!({ "adapter": "nothing", "connection": "" }),
        json!({ "adapter": "postgres", "connection": "postgres://eve:hunter2@localhost/x" }),
        json!({ "adapter": "postgres", "connection": "${ANNALS_NOT_SET}" }),
    ] {
        for path in ["/api/v1/topics/t", "/api/v1/topics/t?wait=true"] {
            let problem = site
                .put_json(path, &wrong)
                .await
                .problem(422, "invalid-config");
            assert!(!problem.to_string().contains("hunter2"));
        }
        let mut new = wrong.clone();
        new["name"] = json!("new");
        let problem = site
            .post_json("/api/v1/topics", &new)
            .await
            .problem(422, "invalid-config");
        assert!(!problem.to_string().contains("hunter2"));
    }
    let misspelt = json!({ "adapter": "memory", "connectoin": "x" });
    let problem = site
        .put_json("/api/v1/topics/t", &misspelt)
        .await
        .problem(400, "invalid-json");
    assert_eq!(problem["path"], "connectoin");
    site.put_json("/api/v1/topics/none", &update)
        .await
        .problem(404, "topic-not-found");
    site.close().await;
}

/// A place in a database to which nothing can be moved before this is let go of.
struct Held {
    url: String,
    connection: PgConnection,
}

impl Held {
    async fn new(site: &Site) -> Self {
        let server = servers::postgres();
        let url = server.fresh();
        let (_, schema) = url.split_once("annals.schema=").unwrap();
        // The first topic makes the tables that all share.
        let first = TopicConfig::postgres(schema, &url);
        site.store.create_topic(first).await.unwrap();
        let mut connection = PgConnection::connect(server.url()).await.unwrap();
        let lock = format!("BEGIN; LOCK TABLE {schema}.topics IN ACCESS EXCLUSIVE MODE");
        let locked = sqlx::raw_sql(AssertSqlSafe(lock));
        locked.execute(&mut connection).await.unwrap();
        Self { url, connection }
    }

    async fn release(self) {
        self.connection.close().await.unwrap();
    }
}

/// Asks until a move is told of.
async fn told(site: &Site) -> Value {
    loop {
        let answer = site.get(MOVE).await;
        if answer.status == 200 {
            let state = answer.expect(200);
            if state["state"] == "moving" {
                return state;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_cancelled_has_failed_and_says_why() {
    let site = Site::new().await;
    site.topic("t").await;
    fill(&site, 1).await;
    let before = site.get("/api/v1/topics/t").await.expect(200);
    let held = Held::new(&site).await;
    let there = json!({ "adapter": "postgres", "connection": held.url });
    let begun = site.put_json("/api/v1/topics/t", &there).await;
    assert_eq!(begun.header("location"), MOVE);
    assert_eq!(begun.expect(202)["state"], "moving");
    let state = told(&site).await;
    assert_eq!(
        (&state["target"], &state["problem"]),
        (&there, &Value::Null)
    );
    let topic = site.get("/api/v1/topics/t").await.expect(200);
    assert_eq!(topic["moving"]["target"], there);

    // What would come in its way is refused, and changes nothing of what is told.
    let elsewhere = json!({ "adapter": "memory", "connection": "elsewhere" });
    for answer in [
        site.put_json("/api/v1/topics/t", &elsewhere).await,
        site.put_json("/api/v1/topics/t?wait=true", &elsewhere)
            .await,
        site.delete("/api/v1/topics/t").await,
    ] {
        answer.problem(409, "topic-moving");
    }
    assert_eq!(told(&site).await["target"], there);
    site.post_json("/api/v1/topics/t/events", json!({ "type": "B" }))
        .await
        .expect(201);

    let cancel = site.request(Method::DELETE, MOVE);
    let cancelling = tokio::spawn(Answer::of(cancel));
    let state = ended(&site).await;
    assert_eq!(
        (&state["state"], &state["target"]),
        (&json!("failed"), &there)
    );
    let problem = state["problem"].as_str().unwrap();
    assert!(problem.contains("cancelled"), "{problem}");
    held.release().await;
    cancelling.await.unwrap().expect(204);
    let mut after = site.get("/api/v1/topics/t").await.expect(200);
    assert_eq!(after["head"], 1_001);
    after["head"] = before["head"].clone();
    assert_eq!(after, before);
    site.delete(MOVE).await.problem(409, "not-moving");

    // Who waits for the end of one hears why it was none.
    let held = Held::new(&site).await;
    let there = json!({ "adapter": "postgres", "connection": held.url });
    let waits = site.request(Method::PUT, "/api/v1/topics/t?wait=true");
    let waiting = tokio::spawn(Answer::of(waits.json(&there)));
    assert_eq!(told(&site).await["target"], there);
    let cancel = site.request(Method::DELETE, MOVE);
    let cancelling = tokio::spawn(Answer::of(cancel));
    waiting.await.unwrap().problem(409, "move-failed");
    held.release().await;
    cancelling.await.unwrap().expect(204);

    // The next one is told of instead.
    site.put_json("/api/v1/topics/t?wait=true", &elsewhere)
        .await
        .expect(200);
    let state = ended(&site).await;
    assert_eq!(
        (&state["state"], &state["target"]),
        (&json!("done"), &elsewhere)
    );
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_others_have_begun_is_told_and_those_of_a_former_topic_are_not() {
    let site = Site::new().await;
    site.topic("t").await;
    fill(&site, 1).await;
    let here = json!({ "adapter": "memory", "connection": "here" });
    site.put_json("/api/v1/topics/t?wait=true", &here)
        .await
        .expect(200);
    assert_eq!(ended(&site).await["target"], here);

    let held = Held::new(&site).await;
    let (store, to) = (site.store.clone(), TopicConfig::postgres("t", &held.url));
    let moving = tokio::spawn(async move { store.move_topic(to, MoveOptions::default()).await });
    let there = json!({ "adapter": "postgres", "connection": held.url });
    let told = told(&site).await;
    let of_it = json!({
        "state": "moving", "phase": "copying", "copied": 0, "head": 1_000,
        "eventsPerSecond": null, "target": there, "problem": null,
    });
    assert_eq!(told, of_it);
    held.release().await;
    moving.await.unwrap().unwrap();
    // It has ended, and what was begun here is the last that is known.
    assert_eq!(ended(&site).await["target"], here);

    site.delete("/api/v1/topics/t").await.expect(204);
    site.get(MOVE).await.problem(404, "topic-not-found");
    site.post("/api/v1/topics/t/restore").await.expect(200);
    site.get(MOVE).await.expect(200);
    site.delete("/api/v1/topics/t").await.expect(204);
    site.post("/api/v1/topics/t/purge").await.expect(204);
    site.topic("t").await;
    site.get(MOVE).await.problem(404, "move-not-found");
    site.close().await;
}
