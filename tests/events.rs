//! Events, through the public API: appended, guarded, repeated and read, in memory and in files.

#![cfg(feature = "file")]
#![cfg(test)]

use std::time::Duration;

use annals::{
    Append, AppendReceipt, ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig,
    EventStream, ExpectedVersion, HealthStatus, Limits, NewEvent, Position, Read, RecordedEvent,
    Result, STREAM_DELETED, STREAM_RESTORED, TopicConfig, Version,
};
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use serde_json::json;
use tempfile::TempDir;

/// A store with one topic of each adapter.
struct Fixture {
    store: EventStore,
    directory: TempDir,
}

const TOPICS: [&str; 2] = ["memory", "file"];

impl Fixture {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(settings: impl FnOnce(EventStoreConfig) -> EventStoreConfig) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().to_str().unwrap();
        let config = EventStoreConfig::new(ConfigurationStream::file(path));
        let store = EventStore::open(settings(config)).await.unwrap();
        store
            .create_topic(TopicConfig::memory("memory"))
            .await
            .unwrap();
        store
            .create_topic(TopicConfig::file("file", path).option("segment_bytes", "65536"))
            .await
            .unwrap();
        Self { store, directory }
    }

    async fn append(&self, topic: &str, append: impl Into<Append> + Send) -> AppendReceipt {
        self.store.append_events(topic, append).await.unwrap()
    }

    async fn head(&self, topic: &str) -> u64 {
        self.store.get_latest_version(topic).await.unwrap().get()
    }

    async fn read(&self, topic: &str, read: Read) -> Vec<RecordedEvent> {
        self.store.get_events(topic, read).await.unwrap()
    }

    /// The append is refused, and nothing of it is written.
    async fn refused(&self, topic: &str, append: Append) -> Error {
        let before = self.head(topic).await;
        let error = self.store.append_events(topic, append).await.unwrap_err();
        assert_eq!(self.head(topic).await, before, "{error}");
        error
    }
}

fn event(event_type: &str) -> NewEvent {
    NewEvent::json(event_type, &json!({ "of": event_type })).unwrap()
}

fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position.get()).collect()
}

fn receipt(first: u64, last: u64, version: u64) -> AppendReceipt {
    AppendReceipt::new(
        Position::new(first),
        Position::new(last),
        Version::new(version),
    )
}

#[tokio::test]
async fn a_receipt_tells_positions_and_version() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        assert_eq!(at.head(topic).await, 0);
        let two = Append::new([event("A"), event("B")]).stream("one");
        assert_eq!(at.append(topic, two).await, receipt(1, 2, 2));
        assert_eq!(at.append(topic, event("C")).await, receipt(3, 3, 1));
        let more = Append::new([event("D")]).stream("one");
        assert_eq!(at.append(topic, more).await, receipt(4, 4, 3));
        assert_eq!(at.head(topic).await, 4);
        let one = at.store.get_stream(topic, "one").await.unwrap();
        assert_eq!((one.version, one.deleted), (Version::new(3), false));
        let default = at.store.get_stream(topic, "").await.unwrap();
        assert_eq!(default.version, Version::new(1));
        let never = at.store.get_stream(topic, "never").await.unwrap();
        assert_eq!((never.version, never.exists()), (Version::NONE, false));
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn one_append_may_span_streams_and_tells_the_version_of_its_own() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        let spanning = Append::new([
            event("A"),
            event("B").stream("other"),
            event("C"),
            event("D").stream(""),
        ])
        .stream("own");
        assert_eq!(at.append(topic, spanning.clone()).await, receipt(1, 4, 2));
        let all = at.read(topic, Read::all()).await;
        let found: Vec<_> = all
            .iter()
            .map(|event| (event.stream.as_str(), event.version.get()))
            .collect();
        assert_eq!(found, [("own", 1), ("other", 1), ("own", 2), ("", 1)]);
        let again = at.append(topic, spanning).await;
        assert_eq!(again, receipt(1, 4, 2).duplicate());
        // None of the events is in the append's own stream.
        let aside = Append::new([event("E").stream("other")])
            .stream("own")
            .expected(ExpectedVersion::exact(2));
        assert_eq!(at.append(topic, aside).await, receipt(5, 5, 2));
        let conflict = Append::new([event("F").stream("other")])
            .stream("own")
            .expected(ExpectedVersion::NoStream);
        let error = at.refused(topic, conflict).await;
        assert!(
            matches!(&error, Error::WrongExpectedVersion { stream, actual, .. }
                if *stream == "own" && actual.get() == 2),
            "{error}"
        );
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn a_conflict_tells_what_was_expected_and_what_is() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        let first = Append::new([event("A"), event("B")])
            .stream("one")
            .expected(ExpectedVersion::NoStream);
        at.append(topic, first).await;
        let wrong = [
            ("one", ExpectedVersion::NoStream, 2),
            ("one", ExpectedVersion::exact(0), 2),
            ("one", ExpectedVersion::exact(1), 2),
            ("one", ExpectedVersion::exact(3), 2),
            ("none", ExpectedVersion::StreamExists, 0),
            ("none", ExpectedVersion::exact(1), 0),
        ];
        for (stream, expected, actual) in wrong {
            let append = Append::new([event("C")]).stream(stream).expected(expected);
            let error = at.refused(topic, append).await;
            assert!(!error.is_retryable());
            let Error::WrongExpectedVersion {
                stream: named,
                expected: asked,
                actual: found,
            } = error
            else {
                panic!("{error}")
            };
            assert_eq!(named, stream);
            assert_eq!((asked, found), (expected, Version::new(actual)));
        }
        for (expected, version) in [
            (ExpectedVersion::exact(2), 3),
            (ExpectedVersion::StreamExists, 4),
            (ExpectedVersion::Any, 5),
        ] {
            let append = Append::new([event("D")]).stream("one").expected(expected);
            assert_eq!(at.append(topic, append).await.version.get(), version);
        }
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn an_append_repeated_by_id_is_recorded_once_whatever_it_expects() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        let append = Append::new([event("A"), event("B")])
            .stream("one")
            .expected(ExpectedVersion::NoStream);
        assert_eq!(at.append(topic, append.clone()).await, receipt(1, 2, 2));
        let later = Append::new([event("C")]).stream("one");
        at.append(topic, later).await;
        for _ in 0..2 {
            let again = at.append(topic, append.clone()).await;
            assert_eq!(again, receipt(1, 2, 2).duplicate());
        }
        let ruled_out = append.unless(EventFilter::all(), Position::START);
        assert!(at.append(topic, ruled_out).await.duplicate);
        assert_eq!(at.head(topic).await, 3);
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn ids_with_other_content_are_a_conflict() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        let (a, b) = (event("A").tag("t"), event("B"));
        let (id, fresh) = (a.event_id(), event("C"));
        at.append(topic, Append::new([a.clone(), b.clone()]).stream("one"))
            .await;
        let same = || NewEvent::json("A", &json!({ "of": "A" })).unwrap().id(id);
        let others = [
            Append::new([same().tag("t"), fresh.clone()]).stream("one"),
            Append::new([fresh, same().tag("t")]).stream("one"),
            Append::new([b.clone(), a.clone()]).stream("one"),
            Append::new([same().tag("t")]).stream("two"),
            Append::new([same()]).stream("one"),
            Append::new([same().tag("t").metadata_bytes("{}")]).stream("one"),
            Append::new([event("Z").id(id).tag("t")]).stream("one"),
            Append::new([NewEvent::json("A", &1).unwrap().id(id).tag("t")]).stream("one"),
            Append::new([NewEvent::binary("A", "text/plain", r#"{"of":"A"}"#)
                .id(id)
                .tag("t")])
            .stream("one"),
        ];
        for (other, number) in others.into_iter().zip(0..) {
            let error = at.refused(topic, other).await;
            assert!(
                matches!(error, Error::IdempotencyConflict { .. }),
                "{topic}, {number}: {error}"
            );
        }
        // The same ids in another topic are other events.
        let elsewhere = if topic == "file" { "memory" } else { "file" };
        let there = at.append(elsewhere, Append::new([a, b])).await;
        assert!(!there.duplicate);
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn a_key_makes_events_that_are_made_anew_the_same_append() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        // Every call makes events with ids of their own; the key replaces them.
        let append = || {
            Append::new([event("A"), event("B"), event("C")])
                .stream("one")
                .expected(ExpectedVersion::NoStream)
                .idempotency_key("request-1")
        };
        assert_eq!(at.append(topic, append()).await, receipt(1, 3, 3));
        assert_eq!(
            at.append(topic, append()).await,
            receipt(1, 3, 3).duplicate()
        );
        let other_key = Append::new([event("A")]).idempotency_key("request-2");
        assert_eq!(at.append(topic, other_key).await, receipt(4, 4, 1));
        assert_eq!(
            at.append(topic, append()).await,
            receipt(1, 3, 3).duplicate()
        );

        let wrong = [
            vec![event("A")],
            vec![event("A"), event("B")],
            vec![event("A"), event("B"), event("C"), event("D")],
            vec![event("A"), event("B"), event("D")],
            vec![event("X"), event("B"), event("C")],
            vec![event("A"), event("C"), event("B")],
        ];
        for events in wrong {
            let append = Append::new(events)
                .stream("one")
                .idempotency_key("request-1");
            let error = at.refused(topic, append).await;
            assert!(
                matches!(error, Error::IdempotencyConflict { .. }),
                "{error}"
            );
        }
        let elsewhere = append().stream("two");
        let error = at.refused(topic, elsewhere).await;
        assert!(
            matches!(error, Error::IdempotencyConflict { .. }),
            "{error}"
        );
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn a_decision_is_guarded_by_what_its_read_has_looked_to() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        at.append(topic, event("Seat").tag("seat:1")).await;
        at.append(topic, event("Other")).await;
        at.append(topic, event("Other")).await;
        let filter = EventFilter::all().types(["Seat"]).tags(["seat:1"]);
        let mut seen = at
            .store
            .read_events(topic, Read::all().filter(filter.clone()));
        assert_eq!(seen.looked_to(), Position::START);
        assert_eq!(
            seen.by_ref().try_collect::<Vec<_>>().await.unwrap().len(),
            1
        );
        let looked_to = seen.looked_to();
        assert_eq!(looked_to, Position::new(3));

        let guarded =
            |name: &str| Append::new([event(name).tag("seat:1")]).unless(filter.clone(), looked_to);
        at.append(topic, event("Other").tag("seat:1")).await;
        at.append(topic, event("Seat").tag("seat:2")).await;
        assert_eq!(at.append(topic, guarded("Seat")).await.first.get(), 6);
        let error = at.refused(topic, guarded("Seat")).await;
        assert!(
            matches!(error, Error::ConditionFailed { position } if position.get() == 6),
            "{error}"
        );
        let from_start =
            Append::new([event("X")]).unless(EventFilter::all().types(["Other"]), Position::START);
        let error = at.refused(topic, from_start).await;
        assert!(
            matches!(error, Error::ConditionFailed { position } if position.get() == 2),
            "{error}"
        );
        // A read that matches nothing has looked all the same.
        let nothing = EventFilter::all().types(["Nothing"]);
        let mut none = at
            .store
            .read_events(topic, Read::all().filter(nothing.clone()));
        assert!(none.next().await.is_none());
        assert_eq!(none.looked_to().get(), 6);
        let append = Append::new([event("Nothing")]).unless(nothing, none.looked_to());
        at.append(topic, append).await;
    }
    at.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_decide_on_the_same_read_one_is_recorded() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        let mut versions = Vec::new();
        let mut conditions = Vec::new();
        for _ in 0..32 {
            let (store, topic) = (at.store.clone(), topic.to_owned());
            let append = Append::new([event("A")])
                .stream("raced")
                .expected(ExpectedVersion::NoStream);
            versions.push(tokio::spawn({
                let (store, topic) = (store.clone(), topic.clone());
                async move { store.append_events(&topic, append).await }
            }));
            let filter = EventFilter::all().tags(["seat:1"]);
            let append = Append::new([event("B").tag("seat:1")]).unless(filter, Position::START);
            conditions.push(tokio::spawn(async move {
                store.append_events(&topic, append).await
            }));
        }
        let (mut won, mut seated) = (0, 0);
        for task in versions {
            match task.await.unwrap() {
                Ok(_) => won += 1,
                Err(Error::WrongExpectedVersion { actual, .. }) => assert_eq!(actual.get(), 1),
                Err(error) => panic!("{error}"),
            }
        }
        for task in conditions {
            match task.await.unwrap() {
                Ok(_) => seated += 1,
                Err(Error::ConditionFailed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((won, seated), (1, 1));
        assert_eq!(at.head(topic).await, 2);
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn payloads_metadata_and_tags_come_back_exactly() {
    let at = Fixture::new().await;
    let text = r#" { "b" : 1.50, "a": 1e2, "a": 12345678901234567890, "ü": "\u00fc" } "#;
    let every_byte: Vec<u8> = (0..=255).collect();
    for topic in TOPICS {
        let events = [
            NewEvent::json_text("Text", text)
                .metadata_bytes(r#"{ "by":  "x"}"#)
                .tags(["b:2", "a", "b:2"]),
            NewEvent::binary("Bytes", "application/octet-stream", every_byte.clone()),
            NewEvent::binary("Empty", "text/plain", ""),
            NewEvent::binary("Wrong", "application/json", vec![0xff, 0xfe]),
            NewEvent::json("Large", &"x".repeat(200_000)).unwrap(),
        ];
        let ids: Vec<_> = events.iter().map(NewEvent::event_id).collect();
        at.append(topic, Append::new(events).stream("日本/../x"))
            .await;
        let read = at.read(topic, Read::all()).await;
        assert_eq!(read[0].payload, text);
        assert_eq!(read[0].metadata, r#"{ "by":  "x"}"#);
        assert_eq!(read[0].tags.iter().collect::<Vec<_>>(), ["b:2", "a", "b:2"]);
        assert!(read[0].content_type.is_json());
        assert_eq!(read[1].payload, every_byte);
        assert_eq!(read[1].content_type.as_str(), "application/octet-stream");
        assert!(read[2].payload.is_empty());
        assert_eq!(read[3].payload[..], [0xff, 0xfe]);
        assert!(matches!(
            read[3].json::<u8>(),
            Err(Error::Serialization { .. })
        ));
        assert_eq!(read[4].json::<String>().unwrap().len(), 200_000);
        let found: Vec<_> = read.iter().map(|event| event.id).collect();
        assert_eq!(found, ids);
        assert!(read.iter().all(|event| event.stream == "日本/../x"));
        assert!(read.is_sorted_by_key(|event| event.recorded_at));
        assert!(read.iter().all(|event| event.topic.as_str() == topic));
    }
    let kept = at.read("file", Read::all()).await;
    at.store.close().await.unwrap();
    let path = at.directory.path().to_str().unwrap();
    let config = EventStoreConfig::new(ConfigurationStream::file(path));
    let store = EventStore::open(config).await.unwrap();
    assert_eq!(store.get_events("file", Read::all()).await.unwrap(), kept);
    assert_eq!(store.verify_topic("file").await.unwrap().events, 5);
    store.close().await.unwrap();
}

/// Ten events: streams `a` and `b` in turn, types `Odd` and `Even`, every third one tagged.
async fn ten(at: &Fixture, topic: &str) {
    for number in 1..=10 {
        let event_type = if number % 2 == 0 { "Even" } else { "Odd" };
        let mut event = event(event_type);
        if number % 3 == 0 {
            event = event.tag("third");
        }
        let stream = if number % 2 == 0 { "a" } else { "b" };
        at.append(topic, Append::new([event]).stream(stream)).await;
    }
}

#[tokio::test]
async fn reads_keep_bounds_direction_filter_and_limit() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        ten(&at, topic).await;
        let third = || EventFilter::all().tags(["third"]);
        let cases = [
            (Read::all(), vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
            (Read::all().after(Position::new(8)), vec![9, 10]),
            (Read::all().after(Position::new(10)), vec![]),
            (Read::all().after(Position::new(99)), vec![]),
            (Read::all().up_to(Position::new(2)), vec![1, 2]),
            (Read::all().backward().limit(3), vec![10, 9, 8]),
            (
                Read::all().after(Position::new(3)).backward().limit(2),
                vec![10, 9],
            ),
            (
                Read::all().up_to(Position::new(3)).backward(),
                vec![3, 2, 1],
            ),
            (Read::all().limit(0), vec![]),
            (Read::all().filter(third()).limit(2), vec![3, 6]),
            (Read::all().filter(third()).backward().limit(2), vec![9, 6]),
            (Read::stream("a"), vec![2, 4, 6, 8, 10]),
            (
                Read::stream("a").after_version(Version::new(3)),
                vec![8, 10],
            ),
            (Read::stream("a").up_to_version(Version::new(2)), vec![2, 4]),
            (Read::stream("a").after(Position::new(5)), vec![6, 8, 10]),
            (Read::stream("a").backward().limit(1), vec![10]),
            (Read::stream("b").filter(third()), vec![3, 9]),
            (Read::stream("never"), vec![]),
            (Read::stream(""), vec![]),
            (
                Read::all().filter(third().or(EventFilter::all().streams(["a"]))),
                vec![2, 3, 4, 6, 8, 9, 10],
            ),
            (
                Read::all().filter(EventFilter::all().stream_prefix("b").types(["Even"])),
                vec![],
            ),
        ];
        for (read, expected) in cases {
            let shown = format!("{topic}: {read:?}");
            assert_eq!(positions(&at.read(topic, read).await), expected, "{shown}");
        }
        let even = at
            .store
            .get_events_by_type(topic, "Even", Position::new(4))
            .await
            .unwrap();
        assert_eq!(positions(&even), [6, 8, 10]);
        let answer = at
            .store
            .get_events(topic, Read::all().after_version(Version::new(1)))
            .await;
        assert!(matches!(answer, Err(Error::InvalidConfig { .. })));
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn reading_at_once_is_bounded_and_a_limit_given_wins() {
    let limits = Limits {
        get_events: 9,
        ..Limits::default()
    };
    let at = Fixture::with(|config| config.limits(limits)).await;
    for topic in TOPICS {
        ten(&at, topic).await;
        let answer = at.store.get_events(topic, Read::all()).await;
        let Err(error @ Error::TooLarge { limit, actual, .. }) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!((limit, actual), (9, 10));
        assert!(error.to_string().contains("read_events"), "{error}");
        assert_eq!(at.read(topic, Read::all().limit(10)).await.len(), 10);
        let nine = Read::all().after(Position::new(1));
        assert_eq!(at.read(topic, nine).await.len(), 9);
        let streamed = at.store.read_events(topic, Read::all());
        assert_eq!(streamed.try_collect::<Vec<_>>().await.unwrap().len(), 10);
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn a_read_ends_where_the_topic_ended_when_it_began() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        ten(&at, topic).await;
        let mut read = at.store.read_events(topic, Read::all());
        assert_eq!(read.next().await.unwrap().unwrap().position.get(), 1);
        at.append(topic, event("Late")).await;
        assert_eq!(
            read.by_ref().try_collect::<Vec<_>>().await.unwrap().len(),
            9
        );
        assert_eq!(read.looked_to().get(), 10);
        let mut unknown = at.store.read_events("unknown", Read::all());
        let first = unknown.next().await;
        assert!(
            matches!(first, Some(Err(Error::TopicNotFound { .. }))),
            "{first:?}"
        );
        assert!(unknown.next().await.is_none());
    }
    at.store.close().await.unwrap();
}

#[test]
fn handles_and_streams_can_be_sent_kept_and_polled_anywhere() {
    fn stream<T: Stream<Item = Result<RecordedEvent>> + Send + Unpin + 'static>() {}
    fn handle<T: Clone + Send + Sync + 'static>() {}
    fn value<T: Send + Sync + 'static>() {}
    fn future<T: Send>(_: &T) {}
    stream::<EventStream>();
    handle::<EventStore>();
    handle::<Append>();
    handle::<RecordedEvent>();
    value::<Error>();
    let _ = |store: &EventStore| {
        future(&store.append_events("a", event("A")));
        future(&store.get_events("a", Read::all()));
        future(&store.create_topic(TopicConfig::memory("a")));
        future(&store.delete_stream("a", "b"));
        future(&store.sweep());
        future(&store.health());
        future(&store.close());
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_nobody_waits_for_is_whole_or_not_there() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        let mut appends = Vec::new();
        for number in 0..60_u64 {
            let append = Append::new([event("A"), event("B"), event("C")])
                .stream(format!("dropped-{number}"))
                .idempotency_key(format!("key-{number}"));
            let appending = at.store.append_events(topic, append.clone());
            match number % 3 {
                0 => drop(appending.now_or_never()),
                1 => {
                    let short = Duration::from_micros(number * 7);
                    drop(tokio::time::timeout(short, appending).await);
                }
                _ => drop(appending),
            }
            appends.push(append);
        }
        // The store works on, and each append is recorded once when it is repeated.
        for (append, number) in appends.into_iter().zip(0..) {
            let found = at
                .store
                .get_stream(topic, &format!("dropped-{number}"))
                .await
                .unwrap();
            assert!([0, 3].contains(&found.version.get()), "{found:?}");
            let receipt = at.append(topic, append).await;
            assert_eq!(receipt.version.get(), 3);
            assert_eq!(receipt.last.get() - receipt.first.get(), 2);
        }
        let all = at.read(topic, Read::all()).await;
        assert_eq!(positions(&all), (1..=180).collect::<Vec<_>>());
        for three in all.chunks(3) {
            assert!(three.iter().all(|event| event.stream == three[0].stream));
        }
    }
    at.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appends_at_once_leave_no_gap_and_readers_see_whole_ones() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (store, topic) = (at.store.clone(), topic.to_owned());
                tokio::spawn(async move {
                    for number in 0..25 {
                        let pair = Append::new([event("First"), event("Second")])
                            .stream(format!("task-{task}"))
                            .expected(ExpectedVersion::exact(2 * number));
                        let receipt = store.append_events(&topic, pair).await.unwrap();
                        assert_eq!(receipt.version.get(), 2 * number + 2);
                        let seen = store.get_latest_version(&topic).await.unwrap();
                        assert!(seen >= receipt.last);
                    }
                })
            })
            .collect();
        for _ in 0..20 {
            let seen = at.read(topic, Read::all()).await;
            let whole = (1..=seen.len() as u64).collect::<Vec<_>>();
            assert_eq!(positions(&seen), whole);
            assert_eq!(seen.len() % 2, 0, "half an append was seen");
            tokio::task::yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        let all = at.read(topic, Read::all()).await;
        assert_eq!(positions(&all), (1..=400).collect::<Vec<_>>());
        assert!(all.is_sorted_by_key(|event| event.recorded_at));
        assert_eq!(at.store.verify_topic(topic).await.unwrap().events, 400);
    }
    at.store.close().await.unwrap();
}

#[tokio::test]
async fn a_deleted_stream_takes_nothing_and_keeps_its_history() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        let one = || Append::new([event("A")]).stream("one");
        let never = at.store.delete_stream(topic, "one").await;
        assert!(
            matches!(never, Err(Error::StreamNotFound { .. })),
            "{never:?}"
        );
        let never = at.store.restore_stream(topic, "one").await;
        assert!(
            matches!(never, Err(Error::StreamNotFound { .. })),
            "{never:?}"
        );
        let recorded = one();
        at.append(topic, recorded.clone()).await;
        at.append(topic, Append::new([event("B")]).stream("two"))
            .await;
        let restored = at.store.restore_stream(topic, "one").await.unwrap();
        assert_eq!((restored.version.get(), restored.deleted), (1, false));

        for _ in 0..2 {
            let state = at.store.delete_stream(topic, "one").await.unwrap();
            assert_eq!((state.version.get(), state.deleted), (2, true));
            let state = at.store.get_stream(topic, "one").await.unwrap();
            assert_eq!((state.version.get(), state.deleted), (2, true));
        }
        assert_eq!(at.head(topic).await, 3);
        for append in [
            one(),
            one().expected(ExpectedVersion::NoStream),
            one().expected(ExpectedVersion::exact(2)),
            Append::new([event("A"), event("B").stream("one")]).stream("two"),
        ] {
            let error = at.refused(topic, append).await;
            assert!(
                matches!(&error, Error::StreamDeleted { stream } if *stream == "one"),
                "{error}"
            );
        }
        assert!(at.append(topic, recorded).await.duplicate);
        let read = at.store.get_events(topic, Read::stream("one")).await;
        assert!(matches!(read, Err(Error::StreamDeleted { .. })), "{read:?}");
        let history = at.read(topic, Read::stream("one").include_deleted()).await;
        let types: Vec<_> = history
            .iter()
            .map(|event| event.event_type.as_str())
            .collect();
        assert_eq!(types, ["A", STREAM_DELETED]);
        assert_eq!(at.read(topic, Read::all()).await.len(), 3);

        let state = at.store.restore_stream(topic, "one").await.unwrap();
        assert_eq!((state.version.get(), state.deleted), (3, false));
        let next = one().expected(ExpectedVersion::exact(3));
        assert_eq!(at.append(topic, next).await.version.get(), 4);
        let history = at.read(topic, Read::stream("one")).await;
        assert_eq!(history[2].event_type, STREAM_RESTORED);
    }
    at.store.delete_stream("file", "two").await.unwrap();
    at.store.close().await.unwrap();
    let path = at.directory.path().to_str().unwrap();
    let config = EventStoreConfig::new(ConfigurationStream::file(path));
    let store = EventStore::open(config).await.unwrap();
    assert!(store.get_stream("file", "two").await.unwrap().deleted);
    assert!(!store.get_stream("file", "one").await.unwrap().deleted);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_answers_closed_to_everything() {
    let at = Fixture::new().await;
    let store = at.store.clone();
    let report = store.health().await;
    assert_eq!(report.status, HealthStatus::Up);
    assert_eq!(report.repositories.len(), 2);
    at.append("file", event("A")).await;
    let mut begun = store.read_events("file", Read::all());
    begun.next().await.unwrap().unwrap();
    let (one, two) = tokio::join!(store.close(), at.store.close());
    one.unwrap();
    two.unwrap();
    store.close().await.unwrap();

    fn closed<T: std::fmt::Debug>(answer: Result<T>) {
        assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
    }
    for topic in TOPICS {
        closed(store.append_events(topic, event("A")).await);
        closed(store.get_events(topic, Read::all()).await);
        closed(store.get_events_by_type(topic, "A", Position::START).await);
        closed(store.get_latest_version(topic).await);
        closed(store.get_stream(topic, "one").await);
        closed(store.delete_stream(topic, "one").await);
        closed(store.restore_stream(topic, "one").await);
        closed(store.verify_topic(topic).await);
        closed(store.get_topic(topic).await);
        closed(store.delete_topic(topic).await);
        closed(store.restore_topic(topic).await);
        closed(store.purge_topic(topic).await);
        closed(store.create_topic(TopicConfig::memory(topic)).await);
        closed(store.update_topic(TopicConfig::memory(topic)).await);
        let mut read = store.read_events(topic, Read::all());
        assert!(matches!(read.next().await, Some(Err(Error::Closed))));
        assert!(read.next().await.is_none());
    }
    closed(store.list_topics().await);
    closed(store.list_deleted_topics().await);
    closed(store.sweep().await);
    assert_eq!(store.health().await.status, HealthStatus::Down);
    let rest: Vec<_> = begun.collect().await;
    assert!(rest.iter().all(|event| matches!(event, Err(Error::Closed))));
}

#[tokio::test]
async fn a_read_that_ends_at_its_limit_has_looked_no_further() {
    let at = Fixture::new().await;
    for topic in TOPICS {
        ten(&at, topic).await;
        let third = EventFilter::all().tags(["third"]);
        for (read, looked_to) in [
            (Read::all().limit(2), 2),
            (Read::all().filter(third.clone()).limit(2), 6),
            (Read::all().up_to(Position::new(4)), 4),
            (Read::all().filter(third).up_to(Position::new(4)), 4),
            (Read::stream("a").limit(1), 2),
        ] {
            let shown = format!("{topic}: {read:?}");
            let mut events = at.store.read_events(topic, read);
            while events.try_next().await.unwrap().is_some() {}
            assert_eq!(events.looked_to().get(), looked_to, "{shown}");
        }
    }
    at.store.close().await.unwrap();
}
