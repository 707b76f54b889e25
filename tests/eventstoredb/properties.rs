//! What holds whatever is done: the two APIs agree on every stream, and no event is lost to readers when
//! a topic is created for its category.

use std::collections::BTreeMap;

use annals::{Read, TopicConfig};
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::server::{Answer, Served};

const STREAMS: [&str; 4] = ["order-1", "late-1", "late-2", "plain"];

#[derive(Clone, Debug)]
enum Step {
    Append {
        stream: usize,
        events: usize,
        expected: Expected,
        server: usize,
    },
    Delete {
        stream: usize,
        hard: bool,
        server: usize,
    },
    KeepOnly {
        stream: usize,
        events: u64,
    },
    CreateTopic,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Any,
    None,
    Exists,
    Right,
    Wrong,
}

/// What a stream should be like.
#[derive(Clone, Debug, Default)]
struct Model {
    ids: Vec<Uuid>,
    hidden: usize,
    kept: Option<u64>,
    deleted: bool,
    /// In the default topic; none where it has not begun.
    in_default: Option<bool>,
}

impl Model {
    fn lowest(&self) -> usize {
        let kept = self.kept.map_or(0, |kept| {
            self.ids
                .len()
                .saturating_sub(usize::try_from(kept).unwrap())
        });
        self.hidden.max(kept)
    }

    /// Whether there is something that may be called the stream.
    fn shows(&self) -> bool {
        self.hidden < self.ids.len()
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let expected = prop_oneof![
        4 => Just(Expected::Any),
        1 => Just(Expected::None),
        1 => Just(Expected::Exists),
        2 => Just(Expected::Right),
        1 => Just(Expected::Wrong),
    ];
    let stream = 0..STREAMS.len();
    let step = prop_oneof![
        8 => (stream.clone(), 1..4_usize, expected, 0..2_usize).prop_map(
            |(stream, events, expected, server)| Step::Append { stream, events, expected, server }
        ),
        2 => (stream.clone(), prop::bool::weighted(0.2), 0..2_usize)
            .prop_map(|(stream, hard, server)| Step::Delete { stream, hard, server }),
        1 => (stream, 1..5_u64).prop_map(|(stream, events)| Step::KeepOnly { stream, events }),
        1 => Just(Step::CreateTopic),
    ];
    prop::collection::vec(step, 1..25)
}

struct World {
    servers: [Served; 2],
    models: [Model; STREAMS.len()],
    topics: BTreeMap<&'static str, bool>,
}

impl World {
    async fn start() -> Self {
        let first = Served::start().await;
        let order = TopicConfig::memory("order");
        first.store.create_topic(order).await.unwrap();
        let second = Served::of(first.store.clone()).await;
        Self {
            servers: [first, second],
            models: Default::default(),
            topics: BTreeMap::from([("order", true), ("late", false)]),
        }
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Append {
                stream,
                events,
                expected,
                server,
            } => self.append(stream, events, expected, server).await,
            Step::Delete {
                stream,
                hard,
                server,
            } => self.delete(stream, hard, server).await,
            Step::KeepOnly { stream, events } => self.keep_only(stream, events).await,
            Step::CreateTopic => {
                if !self.topics["late"] {
                    let late = TopicConfig::new("late", "memory", "elsewhere");
                    self.servers[0].store.create_topic(late).await.unwrap();
                    self.topics.insert("late", true);
                }
            }
        }
    }

    /// Whether a stream that begins now begins in the default topic.
    fn begins_in_default(&self, stream: usize) -> bool {
        let category = STREAMS[stream]
            .split_once('-')
            .map(|(category, _)| category);
        !category.is_some_and(|category| self.topics[category])
    }

    async fn append(&mut self, stream: usize, events: usize, expected: Expected, server: usize) {
        let home = self.begins_in_default(stream);
        let model = &mut self.models[stream];
        let ids: Vec<_> = (0..events).map(|_| Uuid::new_v4()).collect();
        let items = ids.iter().enumerate().map(|(nr, id)| {
            format!(r#"{{"eventId":"{id}","eventType":"$T{nr}","data":{{"nr": {nr}.0}}}}"#)
        });
        let body = format!("[{}]", items.collect::<Vec<_>>().join(","));
        let count = i64::try_from(model.ids.len()).unwrap();
        let (version, fits) = match expected {
            Expected::Any => (-2, true),
            Expected::None => (-1, !model.shows()),
            Expected::Exists => (-4, model.shows()),
            Expected::Right => (count - 1, true),
            Expected::Wrong => (count + 3, false),
        };
        let headers = format!(
            "Content-Type: application/vnd.eventstore.events+json\nES-ExpectedVersion: {version}"
        );
        let request = format!("POST /streams/{}", STREAMS[stream]);
        let answer = self.servers[server].ask(&request, &headers, &body).await;
        let was_deleted = matches!(expected, Expected::Exists) && count > 0;
        let code = match (model.deleted, fits) {
            (true, _) => 410,
            (false, true) => 201,
            (false, false) if was_deleted => 410,
            (false, false) => 400,
        };
        assert_eq!(answer.code, code, "{answer:?}");
        if code == 201 {
            let first = format!("/{count}");
            assert!(answer.headers["location"].ends_with(&first), "{answer:?}");
            model.ids.extend(ids);
            model.in_default.get_or_insert(home);
        }
    }

    async fn delete(&mut self, stream: usize, hard: bool, server: usize) {
        let model = &mut self.models[stream];
        let request = format!("DELETE /streams/{}", STREAMS[stream]);
        let headers = format!("ES-HardDelete: {hard}");
        let answer = self.servers[server].ask(&request, &headers, "").await;
        let code = match (model.deleted, model.ids.is_empty()) {
            (true, _) => 410,
            (false, true) => 400,
            (false, false) => 204,
        };
        assert_eq!(answer.code, code, "{answer:?}");
        if code == 204 && hard {
            model.deleted = true;
        } else if code == 204 {
            model.hidden = model.ids.len();
        }
    }

    async fn keep_only(&mut self, stream: usize, events: u64) {
        let home = self.begins_in_default(stream);
        let model = &mut self.models[stream];
        let hidden = model.hidden;
        let id = Uuid::new_v4();
        let headers = format!("Content-Type: application/json\nES-EventId: {id}");
        let body = format!(r#"{{"$maxCount":{events},"$tb":{hidden}}}"#);
        let request = format!("POST /streams/{}/metadata", STREAMS[stream]);
        let answer = self.servers[1].ask(&request, &headers, &body).await;
        assert_eq!(answer.code, 201, "{answer:?}");
        model.kept = Some(events);
        model.in_default.get_or_insert(home);
    }

    /// Compares what both APIs show with what should be there.
    async fn check(&self) {
        for (nr, stream) in STREAMS.iter().enumerate() {
            let model = &self.models[nr];
            let Some(in_default) = model.in_default else {
                continue;
            };
            let category = stream.split('-').next().unwrap();
            let topic = if in_default { "streams" } else { category };
            let read = Read::stream(*stream).include_deleted();
            let recorded = self.servers[0].store.get_events(topic, read).await.unwrap();
            let users = recorded
                .iter()
                .filter(|event| !event.event_type.is_reserved());
            let ids: Vec<_> = users.map(|event| event.id).collect();
            assert_eq!(ids, model.ids, "{stream} in {topic}");
            for server in &self.servers {
                let request = format!("GET /streams/{stream}/0/forward/4096?embed=body");
                let answer = server.ask(&request, "", "").await;
                check_feed(model, &answer);
            }
        }
    }
}

fn check_feed(model: &Model, answer: &Answer) {
    let code = match (model.deleted, model.shows()) {
        (true, _) => 410,
        (false, false) => 404,
        (false, true) => 200,
    };
    assert_eq!(answer.code, code, "{answer:?}");
    if code != 200 {
        return;
    }
    let page: Value = serde_json::from_str(&answer.body).unwrap();
    let entries = page["entries"].as_array().unwrap().iter().rev();
    let shown: Vec<_> = entries
        .map(|entry| {
            let number = entry["eventNumber"].as_u64().unwrap();
            assert!(entry["data"].as_str().unwrap().ends_with(".0}"), "{entry}");
            assert!(
                entry["eventType"].as_str().unwrap().starts_with("$T"),
                "{entry}"
            );
            (number, entry["eventId"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = model.ids.iter().enumerate().skip(model.lowest());
    let expected: Vec<_> = expected
        .map(|(number, id)| (number as u64, id.to_string()))
        .collect();
    assert_eq!(shown, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_apis_agree_after_any_sequence_of_writes_and_deletions(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::start().await;
            for step in &steps {
                world.take(step).await;
            }
            world.check().await;
            for server in world.servers {
                server.stop().await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_where_a_topic_is_created_while_its_streams_begin() {
    let first = Served::start().await;
    let second = Served::of(first.store.clone()).await;
    for round in 0..60 {
        let topic = format!("c{round}");
        let appends = (0..6_usize).map(|nr| {
            let server = if nr % 2 == 0 { &first } else { &second };
            let id = Uuid::new_v4();
            let body = format!(r#"[{{"eventId":"{id}","eventType":"T","data":{{}}}}]"#);
            let request = format!("POST /streams/{topic}-1");
            async move {
                let content = "Content-Type: application/vnd.eventstore.events+json";
                let answer = server.ask(&request, content, &body).await;
                assert_eq!(answer.code, 201, "{answer:?}");
                id.to_string()
            }
        });
        let creating = first.store.create_topic(TopicConfig::memory(&topic));
        let (mut ids, created) =
            futures_util::future::join(futures_util::future::join_all(appends), creating).await;
        created.unwrap();
        let page = second
            .page(&format!("/streams/{topic}-1/0/forward/20?embed=rich"))
            .await;
        let entries = page["entries"].as_array().unwrap().iter();
        let mut shown: Vec<_> = entries
            .map(|entry| entry["eventId"].as_str().unwrap().to_owned())
            .collect();
        shown.sort();
        ids.sort();
        assert_eq!(shown, ids, "round {round}");
    }
    first.stop().await;
    second.stop().await;
}
