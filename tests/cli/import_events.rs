//! `EventStore::import_events` over every adapter: what it takes, and what it refuses.

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, ExpectedVersion, Limits,
    NewEvent, Position, Read, RecordedEvent, STREAM_DELETED, Timestamp, TopicConfig, Version,
};

use crate::kinds::{Kind, append, log, soon};

/// A log of some streams, one of which is deleted.
async fn some_log(store: &EventStore, kind: &Kind) -> Vec<RecordedEvent> {
    store.create_topic(kind.topic("source")).await.unwrap();
    for (stream, count) in [("a", 3), ("", 2), ("b", 5), ("a", 1)] {
        append(store, "source", stream, count).await;
    }
    store.delete_stream("source", "b").await.unwrap();
    log(store, "source").await
}

/// The same events in a topic of another name.
fn renamed(events: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let name = annals::TopicName::new("t").unwrap();
    let rename = |event: &RecordedEvent| {
        let mut event = event.clone();
        event.topic = name.clone();
        event
    };
    events.iter().map(rename).collect()
}

async fn refuse(store: &EventStore, events: &[RecordedEvent]) -> Error {
    let head = store.get_latest_version("t").await.unwrap();
    let error = store.import_events("t", events.to_vec()).await.unwrap_err();
    let now = store.get_latest_version("t").await.unwrap();
    assert_eq!(now, head, "a refused import wrote: {error}");
    error
}

#[tokio::test]
async fn what_was_recorded_elsewhere_is_recorded_as_it_is() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let events = some_log(&store, &kind).await;
        let first = store
            .import_events("t", events[..5].to_vec())
            .await
            .unwrap();
        assert_eq!(
            (first.imported, first.known, first.head),
            (5, 0, Position::new(5))
        );
        let rest = store
            .import_events("t", events[3..].to_vec())
            .await
            .unwrap();
        assert_eq!((rest.imported, rest.known), (7, 2));
        assert_eq!(log(&store, "t").await, renamed(&events), "{}", kind.adapter);
        assert!(
            events
                .iter()
                .any(|event| event.event_type == STREAM_DELETED)
        );
        assert!(store.get_stream("t", "b").await.unwrap().deleted);
        // It goes on from there.
        let more = Append::new([NewEvent::json("More", &1).unwrap()]).stream("a");
        let receipt = store
            .append_events("t", more.expected(ExpectedVersion::exact(4)))
            .await
            .unwrap();
        assert_eq!(receipt.first, Position::new(13));
        let again = store.import_events("t", events).await.unwrap();
        assert_eq!(
            (again.imported, again.known, again.head),
            (0, 12, Position::new(13))
        );
        let nothing = store.import_events("t", []).await.unwrap();
        assert_eq!(nothing.head, Position::new(13));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_does_not_go_on_with_the_topic_is_refused() {
    type Change = fn(&mut Vec<RecordedEvent>);
    let invalid: [(&str, Change); 7] = [
        ("a gap", |events| drop(events.remove(3))),
        ("a gap in front", |events| drop(events.remove(0))),
        ("another order", |events| events.swap(2, 3)),
        ("a version too high", |events| {
            events[0].version = Version::new(4)
        }),
        ("a version that does not follow", |events| {
            events[1].version = Version::new(7)
        }),
        ("a time that runs backwards", |events| {
            events[4].recorded_at = Timestamp::from_micros(1)
        }),
        ("an id twice", |events| events[4].id = events[3].id),
    ];
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let events = some_log(&store, &kind).await;
        for known in [0, 4] {
            let known = &events[..known];
            store.import_events("t", known.to_vec()).await.unwrap();
            for (what, change) in invalid {
                let mut changed = events[known.len()..].to_vec();
                change(&mut changed);
                let error = refuse(&store, &changed).await;
                assert!(
                    matches!(error, Error::InvalidAppend { .. }),
                    "{}, {what}: {error:?}",
                    kind.adapter
                );
            }
        }
        // No event is at the start.
        let mut start = events[..1].to_vec();
        start[0].position = Position::START;
        assert!(matches!(
            refuse(&store, &start).await,
            Error::InvalidAppend { .. }
        ));
        // What the topic has at that position is something else.
        let mut other = events.clone();
        other[2].payload = "other".into();
        let error = refuse(&store, &other).await;
        assert!(
            matches!(error, Error::IdempotencyConflict { position, .. } if position.get() == 3),
            "{error:?}"
        );
        // The id is recorded elsewhere.
        let mut moved = events[4..].to_vec();
        moved[5].id = events[1].id;
        let error = refuse(&store, &moved).await;
        assert!(
            matches!(error, Error::IdempotencyConflict { position, .. } if position.get() == 2),
            "{error:?}"
        );
        // Earlier than what the topic has.
        let mut early = events[4..5].to_vec();
        early[0].recorded_at = Timestamp::from_micros(1);
        assert!(matches!(
            refuse(&store, &early).await,
            Error::InvalidAppend { .. }
        ));
        assert_eq!(log(&store, "t").await, renamed(&events[..4]));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_import_never_goes_on_behind_what_others_have_appended() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let events = some_log(&store, &kind).await;
        let expected = renamed(&events);
        for _ in 0..8 {
            let appending = append(&store, "t", "mine", 1);
            let importing = async {
                for chunk in events.chunks(2) {
                    store.import_events("t", chunk.to_vec()).await?;
                }
                Ok::<_, Error>(())
            };
            let (imported, ()) = soon("both", async { tokio::join!(importing, appending) }).await;
            let found = log(&store, "t").await;
            let own = found
                .iter()
                .position(|event| event.stream.as_str() == "mine")
                .unwrap();
            // Up to there it is the import; behind that, nothing of it.
            assert_eq!(found[..own], expected[..own], "{}", kind.adapter);
            assert_eq!(found.len(), own + 1);
            assert_eq!(imported.is_ok(), own == expected.len());
            store.delete_topic("t").await.unwrap();
            store.create_topic(kind.topic("t")).await.unwrap();
        }
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn several_imports_of_the_same_events_become_one() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let events = some_log(&store, &kind).await;
        let import = || async {
            for chunk in events.chunks(3) {
                store.import_events("t", chunk.to_vec()).await.unwrap();
            }
        };
        soon("the imports", async {
            tokio::join!(import(), import(), import())
        })
        .await;
        assert_eq!(log(&store, "t").await, renamed(&events), "{}", kind.adapter);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_import_goes_on_where_its_topic_moves() {
    let kind = Kind::file();
    let store = kind.open_with_topic().await;
    let events = some_log(&store, &kind).await;
    let moving = store.update_topic(TopicConfig::memory("t"));
    let importing = async {
        for event in &events {
            store.import_events("t", [event.clone()]).await.unwrap();
        }
    };
    let (moved, ()) = soon("both", async { tokio::join!(moving, importing) }).await;
    moved.unwrap();
    assert_eq!(log(&store, "t").await, renamed(&events));
    assert_eq!(
        store.get_topic("t").await.unwrap().placement.adapter,
        "memory"
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_import_has_limits_and_needs_a_topic_and_a_store_that_can_be_written() {
    let kind = Kind::file();
    let store = kind.open_with_topic().await;
    append(&store, "t", "a", 1).await;
    let event = log(&store, "t").await.remove(0);
    let many = (1..).map(|number| {
        let mut event = event.clone();
        event.position = Position::new(number);
        event
    });
    let error = store.import_events("t", many.clone()).await.unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { limit: 10_000, .. }),
        "{error:?}"
    );
    let large = many.take(3).map(|mut event| {
        event.payload = vec![b'1'; 6 << 20].into();
        event
    });
    let error = store.import_events("t", large).await.unwrap_err();
    let limit = Limits::MAX_APPEND_BYTES as u64;
    assert!(
        matches!(error, Error::TooLarge { limit: l, .. } if l == limit),
        "{error:?}"
    );
    let error = store
        .import_events("none", [event.clone()])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TopicNotFound { .. }), "{error:?}");
    let stream = ConfigurationStream::file(kind.connection.clone());
    let reader = EventStore::open(EventStoreConfig::new(stream).read_only())
        .await
        .unwrap();
    let error = reader.import_events("t", [event]).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    reader.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn deleted_topics_can_be_read_and_purged_ones_cannot() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        append(&store, "t", "a", 3).await;
        let events = log(&store, "t").await;
        let storage = store.get_topic("t").await.unwrap().placement.storage;
        let read = || async {
            let read = store.read_deleted_topic(storage, Read::all());
            futures_util::TryStreamExt::try_collect::<Vec<_>>(read).await
        };
        assert!(
            matches!(read().await, Err(Error::TopicNotFound { .. })),
            "it is in use"
        );
        store.delete_topic("t").await.unwrap();
        assert_eq!(read().await.unwrap(), events);
        store.purge_topic("t").await.unwrap();
        assert!(matches!(read().await, Err(Error::TopicNotFound { .. })));
        store.close().await.unwrap();
    }
}
