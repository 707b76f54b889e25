//! Reads of pages.

use std::collections::BTreeSet;

use annals::{Append, NewEvent, json::RecordedEventDocument};
use reqwest::Method;
use serde_json::{Value, json};

use crate::http::{Answer, Site};

const PATH: &str = "/api/v1/topics/t/events";

fn places(page: &Value, member: &str) -> Vec<u64> {
    let events = page["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event[member].as_u64().unwrap())
        .collect()
}

/// Follows a link of a page as long as there is one.
async fn walk(site: &Site, from: &str, link: &str, member: &str) -> Vec<u64> {
    let mut found = Vec::new();
    let mut at = Some(from.to_owned());
    while let Some(path) = at {
        let page = site.get(&path).await.expect(200);
        found.extend(places(&page, member));
        at = page["links"][link].as_str().map(ToOwned::to_owned);
    }
    found
}

async fn append(site: &Site, count: usize) {
    for nth in 0..count {
        let kind = if nth % 3 == 0 { "A b&c" } else { "B" };
        let event = NewEvent::json(kind, &nth)
            .unwrap()
            .tag(format!("n:{}", nth % 2));
        let append = Append::new([event]).stream(if nth % 2 == 0 { "even/é #" } else { "odd" });
        site.store.append_events("t", append).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_through_all_events_while_others_are_appended() {
    let site = Site::new().await;
    site.topic("t").await;
    append(&site, 100).await;
    let first = format!("{PATH}?limit=7");
    let newest = format!("{first}&direction=backward");
    let (forward, backward, ()) = tokio::join!(
        walk(&site, &first, "next", "position"),
        walk(&site, &newest, "next", "position"),
        append(&site, 100),
    );
    assert!(forward.len() >= 100);
    assert_eq!(forward, (1..=forward.len() as u64).collect::<Vec<_>>());
    let newest = backward[0];
    assert!(newest >= 100);
    assert_eq!(backward, (1..=newest).rev().collect::<Vec<_>>());

    // With a filter, and names that have to be encoded.
    for query in [
        "type=A%20b%26c",
        "tag=n:1&type=B",
        "stream=even%2F%C3%A9%20%23",
        "streamPrefix=o",
    ] {
        let whole = site
            .get(&format!("{PATH}?limit=10000&{query}"))
            .await
            .expect(200);
        let wanted = places(&whole, "position");
        assert!((20..200).contains(&wanted.len()), "{query}");
        let walked = walk(
            &site,
            &format!("{PATH}?limit=9&{query}"),
            "next",
            "position",
        )
        .await;
        assert_eq!(walked, wanted, "{query}");
        let from = format!("{PATH}?limit=9&direction=backward&{query}");
        let mut walked = walk(&site, &from, "next", "position").await;
        walked.reverse();
        assert_eq!(walked, wanted, "{query}");
    }
    site.close().await;
}

#[tokio::test]
async fn filters_choose_events_and_stay_in_the_links() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    let events = (1..=9).map(|nth| {
        let odd = if nth % 2 == 1 { "odd" } else { "even" };
        let third = if nth % 3 == 0 { "third" } else { "other" };
        let event = json!({
            "topic": "t", "position": nth, "stream": format!("s-{nth}"), "version": 1,
            "id": uuid::Uuid::from_u128(nth), "type": if nth < 5 { "Low one" } else { "High" },
            "recordedAt": format!("2026-01-01T00:00:0{nth}Z"), "tags": [odd, third],
            "contentType": "application/json", "data": nth,
        });
        let document = event.to_string();
        let document: RecordedEventDocument<'_> = serde_json::from_str(&document).unwrap();
        document.into_event().unwrap()
    });
    site.store
        .import_events("t", events.collect::<Vec<_>>())
        .await
        .unwrap();
    for (query, wanted) in [
        ("tag=odd", vec![1, 3, 5, 7, 9]),
        ("tag=odd&tag=third", vec![3, 9]),
        ("since=2026-01-01T00:00:04Z", vec![4, 5, 6, 7, 8, 9]),
        ("until=2026-01-01T00:00:03Z", vec![1, 2, 3]),
        (
            "since=2026-01-01T01:00:03%2B01:00&until=2026-01-01T00:00:06Z",
            vec![3, 4, 5, 6],
        ),
        ("type=Low+one&tag=even", vec![2, 4]),
        ("type=Low%20one&type=High&tag=third", vec![3, 6, 9]),
        ("stream=s-2&stream=s-7", vec![2, 7]),
        ("streamPrefix=s-&until=2026-01-01T00:00:02Z", vec![1, 2]),
    ] {
        let first = format!("{PATH}?limit=1&{query}");
        assert_eq!(
            walk(&site, &first, "next", "position").await,
            wanted,
            "{query}"
        );
    }
    site.close().await;
}

#[tokio::test]
async fn a_page_has_a_hundred_events_unless_another_limit_is_given() {
    let site = Site::new().await;
    site.memory_topic("t").await;
    append(&site, 150).await;
    for (query, count) in [("", 100), ("?direction=backward", 100), ("?limit=150", 150)] {
        let page = site.get(&format!("{PATH}{query}")).await;
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("vary"), "accept");
        let links = page.header("link").to_owned();
        let page = page.expect(200);
        assert_eq!(places(&page, "position").len(), count, "{query}");
        match page["links"]["next"].as_str() {
            Some(next) => assert!(
                links.contains(&format!("<{next}>; rel=\"next\"")),
                "{links}"
            ),
            None => assert_eq!(count, 150),
        }
    }
    let changes = site.get("/api/v1/topics/t/changes").await.expect(200);
    assert_eq!(places(&changes, "position").len(), 100);
    site.close().await;
}

#[tokio::test]
async fn previous_leads_to_what_is_before_a_page() {
    let site = Site::new().await;
    site.topic("t").await;
    append(&site, 50).await;
    let first = site.get(&format!("{PATH}?limit=10")).await.expect(200);
    assert_eq!(first["links"]["previous"], Value::Null);
    assert_eq!(first["lookedTo"], 10);
    let second = first["links"]["next"].as_str().unwrap();
    let second = site.get(second).await.expect(200);
    assert_eq!(places(&second, "position"), (11..=20).collect::<Vec<_>>());
    let before = second["links"]["previous"].as_str().unwrap();
    let before = site.get(before).await.expect(200);
    assert_eq!(
        places(&before, "position"),
        (1..=10).rev().collect::<Vec<_>>()
    );
    assert_eq!(before["links"]["next"], Value::Null);
    let back = before["links"]["previous"].as_str().unwrap();
    assert_eq!(site.get(back).await.expect(200)["events"], second["events"]);
    let own = second["links"]["self"].as_str().unwrap();
    assert_eq!(site.get(own).await.expect(200), second);
    // Bounds stay.
    let bounded = walk(
        &site,
        &format!("{PATH}?after=5&upTo=40&limit=4"),
        "next",
        "position",
    )
    .await;
    assert_eq!(bounded, (6..=40).collect::<Vec<_>>());
    let path = format!("{PATH}?after=5&upTo=40&limit=4&direction=backward");
    let bounded = walk(&site, &path, "next", "position").await;
    assert_eq!(bounded, (6..=40).rev().collect::<Vec<_>>());
    let last = site.get(&format!("{PATH}?after=50")).await.expect(200);
    assert_eq!(
        (&last["events"], &last["lookedTo"]),
        (&json!([]), &json!(50))
    );
    assert_eq!(last["links"]["next"], Value::Null);
    site.get(&format!("{PATH}?after={}", u64::MAX))
        .await
        .expect(200);
    site.close().await;
}

#[tokio::test]
async fn a_stream_is_read_by_versions_whatever_its_name() {
    let site = Site::new().await;
    site.topic("t").await;
    for name in [
        "a/b",
        "a%2Fb",
        "日本",
        "a b+c",
        "?x=1&y",
        "#",
        "...",
        "'\"\\",
        "streams/s/events",
        "",
    ] {
        let events = [0; 5].map(|_| NewEvent::json("A", name).unwrap());
        let append = Append::new(events).stream(name);
        site.store.append_events("t", append).await.unwrap();
        let path = format!("/api/v1/topics/t/streams/{}/events", encoded(name));
        let first = site.get(&format!("{path}?limit=2")).await.expect(200);
        assert_eq!(places(&first, "version"), [1, 2], "{name}");
        assert_eq!(first["events"][0]["stream"], name);
        assert_eq!(
            walk(&site, &format!("{path}?limit=2"), "next", "version").await,
            [1, 2, 3, 4, 5]
        );
        let back = format!("{path}?limit=2&direction=backward&upTo=4");
        assert_eq!(walk(&site, &back, "next", "version").await, [4, 3, 2, 1]);
        site.post_json(&path, json!({ "type": "B" }))
            .await
            .expect(201);
        let state = site
            .get(path.strip_suffix("/events").unwrap())
            .await
            .expect(200);
        let wanted = json!({ "stream": name, "version": 6, "deleted": false });
        assert_eq!(state, wanted);
    }
    // A client that follows the rules of URLs takes these for steps upwards.
    for name in [".", ".."] {
        let event = NewEvent::json("A", &1).unwrap();
        let append = Append::new([event]).stream(name);
        site.store.append_events("t", append).await.unwrap();
        let raw = format!(
            "GET /api/v1/topics/t/streams/{name}/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        let answer = site.raw(raw.as_bytes()).await;
        assert!(
            answer.contains(&format!("\"stream\":\"{name}\"")),
            "{answer}"
        );
        let page = site.get(&format!("{PATH}?stream={name}")).await.expect(200);
        assert_eq!(page["events"].as_array().unwrap().len(), 1);
    }
    let never = site
        .get("/api/v1/topics/t/streams/never/events")
        .await
        .expect(200);
    assert_eq!(never["events"], json!([]));
    site.close().await;
}

/// As browsers encode a part of a path.
pub(crate) fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte: u8| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

#[tokio::test]
async fn a_page_of_large_events_ends_early() {
    let site = Site::new().await;
    site.topic("t").await;
    let large = "x".repeat(1_000_000);
    for _ in 0..20 {
        let event = NewEvent::json("A", &large).unwrap();
        site.store.append_events("t", event).await.unwrap();
    }
    let page = site.get(&format!("{PATH}?limit=1000")).await;
    assert!(page.body.len() < 11_000_000, "{}", page.body.len());
    let page = page.expect(200);
    assert!(page["links"]["next"].is_string());
    assert_eq!(page["lookedTo"], page["events"].as_array().unwrap().len());
    let walked = walk(&site, &format!("{PATH}?limit=1000"), "next", "position").await;
    assert_eq!(walked, (1..=20).collect::<Vec<_>>());
    site.close().await;
}

#[tokio::test]
async fn one_event_has_a_tag_and_is_not_sent_to_who_has_it() {
    let site = Site::new().await;
    site.topic("t").await;
    append(&site, 2).await;
    let path = format!("{PATH}/2");
    let event = site.get(&path).await;
    let tag = event.header("etag").to_owned();
    assert_eq!(event.header("cache-control"), "private, no-cache");
    let event = event.expect(200);
    assert_eq!(tag, format!("\"{}\"", event["id"].as_str().unwrap()));
    let again = site
        .request(Method::GET, &path)
        .header("if-none-match", format!("\"x\", W/{tag}"));
    let again = Answer::of(again).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let other = site
        .request(Method::GET, &path)
        .header("if-none-match", "\"x\"");
    assert_eq!(Answer::of(other).await.expect(200), event);
    let cloud = site.get_as(&path, "application/cloudevents+json").await;
    assert_ne!(cloud.header("etag"), tag);
    for missing in ["0", "3", "18446744073709551615"] {
        let answer = site.get(&format!("{PATH}/{missing}")).await;
        answer.problem(404, "event-not-found");
    }
    for wrong in ["x", "-1", "18446744073709551616"] {
        site.get(&format!("{PATH}/{wrong}"))
            .await
            .problem(400, "bad-request");
    }
    // Another topic of the name has other events.
    site.delete("/api/v1/topics/t").await.expect(204);
    site.topic("t").await;
    append(&site, 2).await;
    let anew = site
        .request(Method::GET, &path)
        .header("if-none-match", &tag);
    assert_ne!(Answer::of(anew).await.expect(200)["id"], event["id"]);
    site.close().await;
}

#[tokio::test]
async fn a_deleted_stream_is_read_where_that_is_said() {
    let site = Site::new().await;
    site.topic("t").await;
    append(&site, 4).await;
    site.delete("/api/v1/topics/t/streams/odd")
        .await
        .expect(200);
    let path = "/api/v1/topics/t/streams/odd/events";
    site.get(path).await.problem(410, "stream-deleted");
    site.get_as(path, "application/x-ndjson")
        .await
        .problem(410, "stream-deleted");
    let page = site
        .get(&format!("{path}?includeDeleted=true&limit=2"))
        .await
        .expect(200);
    assert_eq!(places(&page, "version"), [1, 2]);
    let next = page["links"]["next"].as_str().unwrap();
    let last = site.get(next).await.expect(200);
    assert_eq!(last["events"][0]["type"], "$stream-deleted");
    let all = site.get(PATH).await.expect(200);
    let streams: BTreeSet<&str> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["stream"].as_str().unwrap())
        .collect();
    assert_eq!(streams.len(), 2);
    site.close().await;
}
