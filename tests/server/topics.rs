//! The control plane.

use serde_json::{Value, json};

use crate::http::Site;

#[tokio::test]
async fn a_topic_is_created_listed_deleted_restored_and_purged() {
    let site = Site::new().await;
    let config = json!({
        "name": "orders", "adapter": "file", "connection": site.directory("here"),
        "options": { "sync": "never" },
    });
    let created = site.post_json("/api/v1/topics", &config).await;
    assert_eq!(created.header("location"), "/api/v1/topics/orders");
    let created = created.expect(201);
    assert_eq!(created["name"], "orders");
    assert_eq!(created["status"], "active");
    assert_eq!(created["adapter"], "file");
    assert_eq!(created["options"], json!({ "sync": "never" }));
    assert_eq!(created["head"], 0);
    assert_eq!(created["moving"], Value::Null);
    assert_eq!(created["former"], json!([]));
    assert_eq!(site.get("/api/v1/topics/orders").await.expect(200), created);
    let list = site.get("/api/v1/topics").await.expect(200);
    assert_eq!(list, json!({ "topics": [created] }));

    let again = site.post_json("/api/v1/topics", &config).await;
    again.problem(409, "topic-already-exists");
    site.post("/api/v1/topics/orders/purge")
        .await
        .problem(409, "topic-not-deleted");
    site.post("/api/v1/topics/orders/restore")
        .await
        .problem(409, "topic-already-exists");

    site.delete("/api/v1/topics/orders").await.expect(204);
    site.get("/api/v1/topics/orders")
        .await
        .problem(404, "topic-not-found");
    site.delete("/api/v1/topics/orders")
        .await
        .problem(404, "topic-not-found");
    assert_eq!(
        site.get("/api/v1/topics").await.expect(200)["topics"],
        json!([])
    );
    let deleted = site.get("/api/v1/topics?deleted=true").await.expect(200);
    assert_eq!(deleted["topics"][0]["status"], "deleted");
    assert_eq!(deleted["topics"][0]["head"], Value::Null);
    let restored = site.post("/api/v1/topics/orders/restore").await.expect(200);
    assert_eq!(restored, created);

    let verified = site.post("/api/v1/topics/orders/verify").await.expect(200);
    assert_eq!(verified["events"], 0);
    site.delete("/api/v1/topics/orders").await.expect(204);
    site.post("/api/v1/topics/orders/purge").await.expect(204);
    site.post("/api/v1/topics/orders/restore")
        .await
        .problem(404, "topic-not-found");
    site.close().await;
}
