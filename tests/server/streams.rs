//! Streams and types.

use annals::{Append, NewEvent};
use serde_json::{Value, json};

use crate::http::Site;

const PATH: &str = "/api/v1/topics/t/streams";

async fn append(site: &Site, stream: &str, kind: &str, tag: &str) {
    let event = NewEvent::json(kind, &1).unwrap().tag(tag);
    let append = Append::new([event]).stream(stream);
    site.store.append_events("t", append).await.unwrap();
}

/// The names that a list has, over all of its pages.
async fn names(site: &Site, query: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = Some(format!("{PATH}?{query}"));
    while let Some(path) = at {
        let page = site.get(&path).await.expect(200);
        let streams = page["streams"].as_array().unwrap().iter();
        found.extend(streams.map(|one| one["stream"].as_str().unwrap().to_owned()));
        at = page["links"]["next"].as_str().map(ToOwned::to_owned);
    }
    found
}

#[tokio::test]
async fn streams_are_listed_in_the_order_of_their_creation() {
    let site = Site::new().await;
    site.topic("t").await;
    for round in 0..3 {
        for nth in 0..20 {
            let kind = if round == 2 && nth % 5 == 0 {
                "Late"
            } else {
                "Early"
            };
            append(
                &site,
                &format!("order-{nth}"),
                kind,
                &format!("of:{}", nth % 2),
            )
            .await;
        }
        append(&site, "contact/é", "Early", "c").await;
        append(&site, "", "Early", "none").await;
    }
    let mut all: Vec<String> = (0..20).map(|nth| format!("order-{nth}")).collect();
    all.extend(["contact/é".to_owned(), String::new()]);
    assert_eq!(names(&site, "").await, all);
    assert_eq!(names(&site, "limit=3").await, all);
    assert_eq!(names(&site, "prefix=order-1&limit=4").await.len(), 11);
    assert_eq!(names(&site, "prefix=contact%2F").await, ["contact/é"]);
    let late = ["order-0", "order-5", "order-10", "order-15"];
    assert_eq!(names(&site, "type=Late").await, late);
    assert_eq!(names(&site, "type=Late&limit=1").await, late);
    assert_eq!(
        names(&site, "tag=of:1&prefix=order-1&limit=2").await.len(),
        6
    );
    assert_eq!(names(&site, "type=None").await, [""; 0]);

    let page = site.get(&format!("{PATH}?limit=3")).await.expect(200);
    assert_eq!(page["streams"].as_array().unwrap().len(), 3);
    let next = page["links"]["next"].as_str().unwrap();
    assert!(next.contains("limit=3"), "{next}");

    let page = site
        .get(&format!("{PATH}?type=Late&limit=1"))
        .await
        .expect(200);
    let first = &page["streams"][0];
    assert_eq!(
        (&first["version"], &first["createdPosition"]),
        (&json!(3), &json!(1))
    );
    let event = site.get("/api/v1/topics/t/events/1").await.expect(200);
    assert_eq!(first["createdAt"], event["recordedAt"]);
    site.delete(&format!("{PATH}/order-0")).await.expect(200);
    let page = site.get(&format!("{PATH}?limit=1")).await.expect(200);
    assert_eq!(page["streams"][0]["deleted"], true);
    site.get("/api/v1/topics/none/streams")
        .await
        .problem(404, "topic-not-found");
    site.close().await;
}

#[tokio::test]
async fn a_list_looks_at_so_many_events_and_leads_on() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    let events = || (0..10_000).map(|_| NewEvent::json_text("A", "1"));
    for _ in 0..10 {
        let append = Append::new(events()).stream("long");
        site.store.append_events("t", append).await.unwrap();
    }
    append(&site, "late", "A", "x").await;
    let page = site.get(PATH).await.expect(200);
    assert_eq!(page["streams"].as_array().unwrap().len(), 1);
    assert_eq!(page["lookedTo"], 100_000);
    assert_eq!(names(&site, "").await, ["long", "late"]);
    site.close().await;
}

#[tokio::test]
async fn a_stream_is_deleted_and_restored() {
    let site = Site::new().await;
    site.topic("t").await;
    for (name, path) in [("a/b", "a%2Fb"), ("", "")] {
        let path = format!("{PATH}/{path}");
        let never = site.get(&path).await.problem(404, "stream-not-found");
        assert_eq!(never["version"], 0);
        site.delete(&path).await.problem(404, "stream-not-found");
        append(&site, name, "A", "x").await;
        let state = site.get(&path).await;
        assert_eq!(state.header("etag"), "\"1\"");
        let wanted = |version: u64, deleted: bool| json!({ "stream": name, "version": version, "deleted": deleted });
        assert_eq!(state.expect(200), wanted(1, false));
        let deleted = site.delete(&path).await;
        assert_eq!(deleted.header("etag"), "\"2\"");
        assert_eq!(deleted.expect(200), wanted(2, true));
        assert_eq!(site.get(&path).await.expect(200), wanted(2, true));
        let restored = site.post(&format!("{path}/restore")).await.expect(200);
        assert_eq!(restored, wanted(3, false));
    }
    site.close().await;
}

#[tokio::test]
async fn types_are_counted_by_spans() {
    let site = Site::new().await;
    site.topic("t").await;
    for nth in 0..25 {
        append(&site, "s", if nth % 5 == 0 { "B" } else { "A" }, "x").await;
    }
    let path = "/api/v1/topics/t/types";
    let all = site.get(path).await.expect(200);
    assert_eq!(
        all["types"],
        json!([{ "type": "A", "count": 20 }, { "type": "B", "count": 5 }])
    );
    assert_eq!(
        (&all["lookedTo"], &all["links"]["next"]),
        (&json!(25), &Value::Null)
    );
    let mut counted = 0;
    let mut at = Some(format!("{path}?limit=10"));
    let mut pages = 0;
    while let Some(path) = at {
        let page = site.get(&path).await.expect(200);
        let types = page["types"].as_array().unwrap().iter();
        counted += types.map(|one| one["count"].as_u64().unwrap()).sum::<u64>();
        at = page["links"]["next"].as_str().map(ToOwned::to_owned);
        pages += 1;
    }
    assert_eq!((counted, pages), (25, 3));
    site.close().await;
}
