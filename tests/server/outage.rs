//! A repository that is down.

use annals::{NewEvent, TopicConfig};
use serde_json::{Value, json};

use crate::{http::Site, servers::Postgres};

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_down_is_503_with_a_time_to_try_again_and_heals() {
    let server = Postgres::start(&[]);
    let site = Site::new().await;
    let config = TopicConfig::postgres("far", server.fresh());
    site.store.create_topic(config).await.unwrap();
    site.topic("near").await;
    let event = json!({ "type": "A", "id": "01989f3e-7a54-7d2b-9d54-3a6c6a1b2c3d" });
    let far = "/api/v1/topics/far/events";
    site.store
        .append_events("far", NewEvent::json("A", &1).unwrap())
        .await
        .unwrap();
    server.stop();

    for answer in [
        site.post_json(far, &event).await,
        site.get(far).await,
        site.get("/api/v1/topics/far/changes").await,
        site.get_as(far, "application/x-ndjson").await,
        site.get("/api/v1/topics/far/streams").await,
    ] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    // The others work, and the list says which does not.
    site.post_json("/api/v1/topics/near/events", &event)
        .await
        .expect(201);
    let topics = site.get("/api/v1/topics").await.expect(200);
    assert_eq!(
        (&topics["topics"][0]["name"], &topics["topics"][0]["head"]),
        (&json!("far"), &Value::Null)
    );
    assert_eq!(
        (&topics["topics"][1]["name"], &topics["topics"][1]["head"]),
        (&json!("near"), &json!(1))
    );

    server.start_again();
    loop {
        let answer = site.post_json(far, &event).await;
        if answer.status != 503 {
            assert!(
                [200, 201].contains(&answer.status.as_u16()),
                "{}",
                answer.text()
            );
            break;
        }
    }
    let page = site.get(far).await.expect(200);
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
    site.close().await;
}
