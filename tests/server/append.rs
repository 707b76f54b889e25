//! Appends.

use serde_json::json;

use crate::http::Site;

#[tokio::test]
async fn an_append_is_one_event_an_array_or_an_envelope() {
    let site = Site::new().await;
    site.topic("orders").await;
    let path = "/api/v1/topics/orders/streams/order-1/events";
    let one = json!({ "type": "Placed", "data": { "total": 1 } });
    let appended = site.post_json(path, &one).await;
    assert_eq!(appended.header("etag"), "\"1\"");
    assert_eq!(
        appended.header("location"),
        "/api/v1/topics/orders/events/1"
    );
    let receipt = json!({ "first": 1, "last": 1, "version": 1, "duplicate": false });
    assert_eq!(appended.expect(201), receipt);

    let receipt = site.post_json(path, json!([one, one])).await.expect(201);
    assert_eq!(
        (&receipt["first"], &receipt["last"]),
        (&json!(2), &json!(3))
    );
    let envelope = json!({ "expectedVersion": 3, "events": [one] });
    let receipt = site.post_json(path, &envelope).await.expect(201);
    assert_eq!(receipt["version"], 4);
    let conflict = site.post_json(path, &envelope).await;
    let conflict = conflict.problem(409, "wrong-expected-version");
    assert_eq!(
        (&conflict["actual"], &conflict["expected"]),
        (&json!(4), &json!(3))
    );
    let page = site
        .get("/api/v1/topics/orders/events?limit=3")
        .await
        .expect(200);
    assert_eq!(page["events"].as_array().unwrap().len(), 3);
    assert_eq!(page["lookedTo"], 3);
    assert_eq!(
        page["links"]["next"],
        "/api/v1/topics/orders/events?after=3&limit=3"
    );
    site.close().await;
}
