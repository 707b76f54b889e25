//! Updates and moves of topics.

use annals::{Append, NewEvent, TopicConfig};
use serde_json::{Value, json};

use crate::{http::Site, servers};

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
