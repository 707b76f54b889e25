//! Subscribers that poll: they follow `previous` until an empty page has none, and then ask again.

use std::{collections::BTreeSet, sync::Arc};

use annals::TopicConfig;
use serde_json::Value;
use uuid::Uuid;

use super::server::{Served, ask};

const WRITERS: u64 = 4;
const EVENTS: u64 = 60;

fn link<'a>(page: &'a Value, relation: &str) -> Option<&'a str> {
    let links = page["links"].as_array().unwrap();
    let link = links.iter().find(|link| link["relation"] == relation)?;
    link["uri"].as_str()
}

/// Follows a feed from a path until so many events were seen, and tells their ids in the order in which
/// they came.
async fn follow(served: &Served, path: &str, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut uri = format!("{}{path}", served.base());
    while seen.len() < count {
        let path = uri.strip_prefix(&served.base()).unwrap();
        let joined = if path.contains('?') { '&' } else { '?' };
        let answer = ask(
            served.address,
            &format!("GET {path}{joined}embed=rich"),
            "Accept: application/vnd.eventstore.atom+json\nES-LongPoll: 10",
            "",
        )
        .await;
        if answer.code == 404 {
            continue;
        }
        assert_eq!(answer.code, 200, "{answer:?}");
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        let entries = page["entries"].as_array().unwrap();
        let ids = entries.iter().rev().map(|entry| entry["eventId"].as_str());
        seen.extend(ids.map(|id| id.unwrap().to_owned()));
        match link(&page, "previous") {
            Some(previous) => uri = previous.to_owned(),
            None => assert!(entries.is_empty(), "a page with events has newer ones"),
        }
    }
    seen
}

/// Appends from several writers at once, to the streams that `stream` names, and tells the ids.
async fn write(served: &Served, stream: fn(u64, u64) -> String) -> BTreeSet<String> {
    let address = served.address;
    let writers = (0..WRITERS).map(|writer| {
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for nr in 0..EVENTS {
                let id = Uuid::new_v4().to_string();
                let body = format!(r#"[{{"eventId":"{id}","eventType":"W{writer}","data":{{}}}}]"#);
                let answer = ask(
                    address,
                    &format!("POST /streams/{}", stream(writer, nr)),
                    "Content-Type: application/vnd.eventstore.events+json",
                    &body,
                )
                .await;
                assert_eq!(answer.code, 201, "{answer:?}");
                ids.push(id);
            }
            ids
        })
    });
    let mut all = BTreeSet::new();
    for writer in writers.collect::<Vec<_>>() {
        all.extend(writer.await.unwrap());
    }
    all
}

async fn follows_while_others_write(topics: &[&str], path: &str, stream: fn(u64, u64) -> String) {
    let served = Arc::new(Served::start().await);
    for topic in topics {
        let config = TopicConfig::new(*topic, "memory", *topic);
        served.store.create_topic(config).await.unwrap();
    }
    let reader = Arc::clone(&served);
    let path = path.to_owned();
    let count = usize::try_from(WRITERS * EVENTS).unwrap();
    let following = tokio::spawn(async move { follow(&reader, &path, count).await });
    let written = write(&served, stream).await;
    let seen = following.await.unwrap();
    assert_eq!(seen.len(), count, "nothing is seen twice");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), written);
    Arc::into_inner(served).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_a_stream_sees_every_event_once_while_others_append() {
    let one = |_, _| "order-1".to_owned();
    follows_while_others_write(&["order"], "/streams/order-1/0/forward/7", one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_all_events_of_several_topics_sees_every_event_once_while_others_append() {
    let several = |writer, nr| match writer {
        0 => format!("order-{nr}"),
        1 => format!("customer-{nr}"),
        _ => format!("product-{nr}"),
    };
    let start = format!(
        "/streams/%24all/filtered/{}/forward/9?context=eventtype&type=prefix&data=W",
        "0".repeat(32)
    );
    follows_while_others_write(&["order", "customer", "product"], &start, several).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_is_answered_with_the_event_that_it_waits_for() {
    let served = Served::start().await;
    let send = |id: u8| {
        let body = format!(
            r#"[{{"eventId":"00000000-0000-4000-8000-0000000000{id:02}","eventType":"T","data":{{}}}}]"#
        );
        let address = served.address;
        async move {
            let content = "Content-Type: application/vnd.eventstore.events+json";
            ask(address, "POST /streams/waited", content, &body).await
        }
    };
    send(1).await;
    let address = served.address;
    let waiting = tokio::spawn(async move {
        let request = "GET /streams/waited/1/forward/20";
        ask(address, request, "ES-LongPoll: 30", "").await
    });
    // The poll is under way by then, as far as one can tell from outside.
    for _ in 0..5 {
        served.ask("GET /ping", "", "").await;
    }
    send(2).await;
    let page: Value = serde_json::from_str(&waiting.await.unwrap().body).unwrap();
    assert_eq!(page["entries"].as_array().unwrap().len(), 1, "{page}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_ends_when_the_server_stops() {
    let served = Served::start().await;
    let content = "Content-Type: application/vnd.eventstore.events+json";
    let body = r#"[{"eventId":"00000000-0000-4000-8000-000000000001","eventType":"T","data":{}}]"#;
    served.ask("POST /streams/waited", content, body).await;
    let address = served.address;
    let waiting = tokio::spawn(async move {
        let request = "GET /streams/waited/1/forward/20";
        ask(address, request, "Kurrent-LongPoll: 60", "").await
    });
    for _ in 0..5 {
        served.ask("GET /ping", "", "").await;
    }
    served.stop().await;
    assert_eq!(waiting.await.unwrap().code, 200);
}
