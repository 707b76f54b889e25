//! What a million events in memory take: no more than twice their payload bytes plus 200 bytes
//! each, ids, indexes and all.

use annals::{Append, ConfigurationStream, EventStore, EventStoreConfig, NewEvent, TopicConfig};
use bytes::Bytes;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const EVENTS: usize = 1_000_000;

async fn bytes_for(topic: &str, payload: usize) -> usize {
    let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory()))
        .await
        .expect("a store");
    store
        .create_topic(TopicConfig::memory(topic))
        .await
        .expect("a topic");
    let payload = Bytes::from(vec![7; payload]);
    let before = ALLOCATOR.current_usage();
    for number in 0..EVENTS {
        let event = NewEvent::json_text("OrderPlaced", payload.clone());
        let append = Append::new([event]).stream(format!("order-{}", number / 10));
        store.append_events(topic, append).await.expect("an append");
    }
    ALLOCATOR.current_usage() - before
}

#[tokio::test]
async fn a_million_events_take_little_more_than_their_payloads() {
    for payload in [16, 256] {
        let used = bytes_for("t", payload).await;
        let each = used as f64 / EVENTS as f64;
        println!("payload {payload} B: {each:.0} B each");
        assert!(
            used <= EVENTS * (2 * payload + 200),
            "{each:.0} B each for a payload of {payload} B"
        );
    }
}
