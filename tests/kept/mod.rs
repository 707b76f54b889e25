//! Stores that are kept beside the tests: what is written to them, and what they have to answer ever after.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "no test program uses all of it"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use annals::{Append, EventFilter, EventStore, NewEvent, Read, RecordedEvent, TopicStatus};
use serde_json::{Value, json};

/// The topics that a store has before it is filled.
pub(crate) const TOPICS: [&str; 3] = ["old", "empty", "orders"];

/// Where they are.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Those that have this part, by their names.
pub(crate) fn fixtures_with(part: &str) -> Vec<PathBuf> {
    let found = fs::read_dir(fixtures()).unwrap();
    let mut found: Vec<_> = found
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join(part).exists())
        .collect();
    found.sort();
    found
}

/// What a store has to contain, by a file of its fixture.
pub(crate) fn expected(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Bytes as text that shows every one of them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    str::from_utf8(bytes).map_or_else(|_| format!("{bytes:02x?}"), str::to_owned)
}

pub(crate) fn describe(event: &RecordedEvent) -> Value {
    let tags: Vec<_> = event.tags.iter().map(|tag| tag.to_string()).collect();
    json!({
        "position": event.position.get(),
        "stream": event.stream.as_str(),
        "version": event.version.get(),
        "id": event.id,
        "type": event.event_type.as_str(),
        "payload": shown(&event.payload),
        "content_type": event.content_type.as_str(),
        "metadata": shown(&event.metadata),
        "tags": tags,
        "recorded_at": event.recorded_at,
    })
}

/// All that a store answers.
pub(crate) async fn contents(store: &EventStore) -> Value {
    let mut topics = Vec::new();
    let mut infos = store.list_topics().await.unwrap();
    infos.extend(store.list_deleted_topics().await.unwrap());
    for info in infos {
        let placement = &info.placement;
        let deleted = info.status != TopicStatus::Active;
        let mut topic = json!({
            "topic": info.name.as_str(),
            "deleted": deleted,
            "adapter": placement.adapter,
            "connection": placement.connection,
            "options": placement.options,
            "storage": placement.storage.to_string(),
            "created_at": info.created_at,
        });
        if !deleted {
            let name = info.name.as_str();
            let read = Read::all().include_deleted();
            let events = store.get_events(name, read).await.unwrap();
            let mut streams = serde_json::Map::new();
            for event in &events {
                let stream = event.stream.as_str();
                let state = store.get_stream(name, stream).await.unwrap();
                let state = json!([state.version.get(), state.deleted]);
                streams.insert(stream.to_owned(), state);
            }
            topic["streams"] = Value::Object(streams);
            topic["events"] = events.iter().map(describe).collect();
        }
        topics.push(topic);
    }
    json!({ "store": store.id().to_string(), "topics": topics })
}

/// Asks for each event by its stream, tags and type, and for all backward.
pub(crate) async fn check_indexes(store: &EventStore, topic: &str) {
    let all = store.get_events(topic, Read::all().include_deleted());
    let all = all.await.unwrap();
    let mut backward = store
        .get_events(topic, Read::all().include_deleted().backward())
        .await
        .unwrap();
    backward.reverse();
    assert!(backward == all);
    for event in &all {
        let mut filters = vec![EventFilter::all().types([event.event_type.as_str()])];
        filters.push(EventFilter::all().streams([event.stream.as_str()]));
        filters.extend(event.tags.iter().map(|tag| EventFilter::all().tags([tag])));
        for filter in filters {
            let read = Read::all().include_deleted().filter(filter.clone());
            let found = store.get_events(topic, read).await.unwrap();
            let same: Vec<_> = all.iter().filter(|one| filter.matches(one)).collect();
            assert!(found.iter().eq(same), "{filter:?}");
        }
    }
    store.verify_topic(topic).await.unwrap();
}

/// What was recorded is recognised, and what is new comes behind it.
pub(crate) async fn check_appends(store: &EventStore) {
    let all = store.get_events("orders", Read::all().include_deleted());
    let head = all.await.unwrap().len() as u64;
    let again = store.append_events("orders", keyed()).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.first.get(), 3);
    let new = NewEvent::json("Next", &json!({})).unwrap().tag("new");
    let receipt = store.append_events("orders", new).await.unwrap();
    assert_eq!(receipt.first.get(), head + 1);
    assert!(
        store
            .append_events("orders", Append::new([event(1)]).stream("gone"))
            .await
            .is_err()
    );
    assert!(store.restore_topic("old").await.is_ok());
    let old = store.get_events("old", Read::all()).await.unwrap();
    assert_eq!(old.len(), 1);
}

pub(crate) fn event(number: u64) -> NewEvent {
    NewEvent::json(
        "OrderPlaced",
        &json!({ "number": number, "what": "ünïcode ☂" }),
    )
    .unwrap()
    .metadata(&json!({ "by": number }))
    .unwrap()
    .tags([format!("customer:{}", number % 3), "all".to_owned()])
}

pub(crate) fn keyed() -> Append {
    let paid = NewEvent::json("OrderPaid", &json!({ "by": "card" })).unwrap();
    Append::new([paid])
        .stream("order-1")
        .idempotency_key("payment-9")
}

/// Writes events of many kinds into the topics.
pub(crate) async fn fill(store: &EventStore) {
    store.append_events("old", event(0)).await.unwrap();
    store.delete_topic("old").await.unwrap();
    let batch = Append::new([event(1), event(2).stream("order-2")]).stream("order-1");
    store.append_events("orders", batch).await.unwrap();
    store.append_events("orders", keyed()).await.unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let binary = NewEvent::binary("Scanned", "application/octet-stream", bytes);
    store.append_events("orders", binary).await.unwrap();
    let gone = Append::new([event(3)]).stream("gone");
    store.append_events("orders", gone).await.unwrap();
    store.delete_stream("orders", "gone").await.unwrap();
    let back = Append::new([event(4)]).stream("back");
    store.append_events("orders", back).await.unwrap();
    store.delete_stream("orders", "back").await.unwrap();
    store.restore_stream("orders", "back").await.unwrap();
    for number in 0..30 {
        let append = Append::new([event(number), event(number)]);
        let append = append.stream(format!("order-{}", number % 5));
        store.append_events("orders", append).await.unwrap();
    }
}
