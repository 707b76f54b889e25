//! Read models in memory.

use std::{collections::BTreeMap, time::Duration};

use annals::{
    ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Position, RecordedEvent,
    TopicConfig,
    cqrs::{Live, LiveModel, ProjectionState, ReadModel, Schema, Unknown},
};

use super::{Event, give};
use crate::kinds::{Kind, soon};

/// Every event, by topic, in the order in which it came.
#[derive(Debug, Default)]
struct Seen(BTreeMap<String, Vec<(u64, u64)>>);

impl ReadModel for Seen {
    type Event = Event;

    fn apply(&mut self, event: Event, recorded: &RecordedEvent) {
        let Event::Given(number) = event;
        let topic = self.0.entry(recorded.topic.to_string()).or_default();
        topic.push((recorded.position.get(), number));
    }
}

impl Seen {
    fn count(&self, topic: &str) -> usize {
        self.0.get(topic).map_or(0, Vec::len)
    }

    /// That it has the events of a topic up to here, each once and in order.
    fn check(&self, topic: &str, up_to: u64) {
        let expected: Vec<_> = (1..=up_to).map(|one| (one, one)).collect();
        assert_eq!(self.0.get(topic).unwrap(), &expected);
    }
}

fn skipping() -> Schema<Event> {
    Schema::new().unknown(Unknown::Skip)
}

async fn memory(topics: &[&str]) -> EventStore {
    let config = EventStoreConfig::new(ConfigurationStream::memory());
    let store = EventStore::open(config).await.unwrap();
    for topic in topics {
        store
            .create_topic(TopicConfig::memory(*topic))
            .await
            .unwrap();
    }
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_every_topic_is_seen_once_and_in_order() {
    for kind in Kind::all() {
        let store = kind.open().await;
        for topic in ["a", "b"] {
            store.create_topic(kind.topic(topic)).await.unwrap();
            give(&store, topic, 1..301).await;
        }
        let live = Live::topics(["b", "a", "b"]);
        let seen = LiveModel::<Seen>::open(&store, live).await.unwrap();
        soon("to catch up", seen.caught_up()).await.unwrap();
        seen.read(|seen| seen.check("a", 300));
        let writers = ["a", "b"].map(|topic| {
            let store = store.clone();
            tokio::spawn(async move { give(&store, topic, 301..501).await })
        });
        for writer in writers {
            writer.await.unwrap();
        }
        soon("to catch up", seen.caught_up()).await.unwrap();
        seen.read(|seen| {
            seen.check("a", 500);
            seen.check("b", 500);
        });
        let status = seen.status().await;
        assert!(matches!(status.state, ProjectionState::Running));
        for topic in &status.topics {
            assert_eq!((topic.applied, topic.lag()), (500, Some(0)), "{topic:?}");
            assert!(topic.rate > 0.0);
        }
        seen.close().await;
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_written_sees_it_after_waiting() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let live = Live::topics(["t"]).schema(skipping());
        let seen = LiveModel::<Seen>::open(&store, live).await.unwrap();
        for number in 1..50 {
            let last = give(&store, "t", number..number + 1).await;
            soon("it", seen.wait_for("t", last)).await.unwrap();
            assert_eq!(seen.read(|seen| seen.count("t")) as u64, number);
        }
        // Also what it passes by.
        let other = NewEvent::json("Other", &1).unwrap();
        let last = store.append_events("t", other).await.unwrap().last;
        soon("it", seen.wait_for("t", last)).await.unwrap();
        let unknown = seen.wait_for("u", last).await;
        assert!(matches!(unknown, Err(Error::InvalidConfig { .. })));
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_stops_it_behind_what_comes_before() {
    let store = memory(&["t"]).await;
    give(&store, "t", 1..8).await;
    let seen = LiveModel::<Seen>::open(&store, Live::topics(["t"])).await;
    let seen = seen.unwrap();
    let waiting = tokio::spawn({
        let seen = seen.clone();
        async move { seen.wait_for("t", Position::new(9)).await }
    });
    let other = NewEvent::json("Other", &1).unwrap();
    store.append_events("t", other).await.unwrap();
    give(&store, "t", 8..20).await;
    let waited = soon("it", waiting).await.unwrap();
    assert!(
        matches!(
            &waited,
            Err(Error::ProjectionStopped {
                source: Some(_),
                ..
            })
        ),
        "{waited:?}"
    );
    seen.read(|seen| seen.check("t", 7));
    let status = seen.status().await;
    let ProjectionState::Stopped(Some(cause)) = status.state else {
        panic!("{status:?}");
    };
    assert!(cause.to_string().contains("\"Other\""), "{cause}");
    assert_eq!(status.topics[0].position.get(), 7);
    // What comes before it is there, so that who waits for that is served.
    seen.wait_for("t", Position::new(7)).await.unwrap();
    // A rebuild stops at the same place, and the model stays.
    let rebuilt = soon("it", seen.rebuild().finished()).await;
    assert!(
        matches!(rebuilt, Err(Error::ProjectionStopped { .. })),
        "{rebuilt:?}"
    );
    seen.read(|seen| seen.check("t", 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_beside_appends_and_readers_is_never_seen() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        give(&store, "t", 1..3001).await;
        let live = Live::topics(["t"]);
        let seen = LiveModel::<Seen>::open(&store, live).await.unwrap();
        soon("to catch up", seen.caught_up()).await.unwrap();
        let reader = tokio::spawn({
            let seen = seen.clone();
            async move {
                let mut before = 0;
                while before < 3300 {
                    let now = seen.read(|seen| seen.count("t"));
                    assert!(now >= before, "{now} after {before}");
                    before = now;
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
            }
        });
        let writer = tokio::spawn({
            let (store, seen) = (store.clone(), seen.clone());
            async move {
                for number in 3001..3301 {
                    let last = give(&store, "t", number..number + 1).await;
                    seen.wait_for("t", last).await.unwrap();
                    assert!(seen.read(|seen| seen.count("t")) as u64 >= number);
                    if number % 4 == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        });
        let mut rebuilt = 0;
        while !writer.is_finished() {
            let rebuild = seen.rebuild();
            let progress = rebuild.progress().await;
            assert!(progress[0].position <= progress[0].head.unwrap());
            soon("to rebuild", rebuild.finished()).await.unwrap();
            rebuilt += 1;
        }
        soon("the writer", writer).await.unwrap();
        soon("the reader", reader).await.unwrap();
        assert!(rebuilt > 1);
        seen.read(|seen| seen.check("t", 3300));
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_last_handle_when_closed_and_with_its_store() {
    let store = memory(&["t"]).await;
    let live = || Live::topics(["t"]);
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let gone = |what: &'static str, before: usize| async move {
        let going = async {
            while tasks() > before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon(what, going).await;
    };
    let before = tasks();
    let seen = LiveModel::<Seen>::open(&store, live()).await.unwrap();
    seen.caught_up().await.unwrap();
    assert!(tasks() > before);
    let other = seen.clone();
    drop(seen);
    give(&store, "t", 1..2).await;
    other.wait_for("t", Position::new(1)).await.unwrap();
    drop(other.rebuild());
    drop(other);
    gone("its tasks to end", before).await;

    let seen = LiveModel::<Seen>::open(&store, live()).await.unwrap();
    seen.caught_up().await.unwrap();
    seen.close().await;
    gone("its tasks to end", before).await;
    assert_eq!(seen.read(|seen| seen.count("t")), 1);
    let waited = seen.wait_for("t", Position::new(2)).await;
    assert!(matches!(
        waited,
        Err(Error::ProjectionStopped { source: None, .. })
    ));

    let seen = LiveModel::<Seen>::open(&store, live()).await.unwrap();
    store.close().await.unwrap();
    let waited = soon("it", seen.wait_for("t", Position::new(2))).await;
    assert!(matches!(
        waited,
        Err(Error::ProjectionStopped {
            source: Some(_),
            ..
        })
    ));
    let refused = LiveModel::<Seen>::open(&store, live()).await;
    assert!(matches!(refused, Err(Error::Closed)));
}
