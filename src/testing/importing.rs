//! P6 for imports: a topic that moves in is the topic that moved out.

use bytes::Bytes;
use uuid::Uuid;

use super::{
    case::case_table,
    draft::Draft,
    random::Random,
    scene::{Scene, race},
};
use crate::{
    models::{
        ContentType, Error, EventType, ExpectedVersion, Position, RecordedEvent, STREAM_DELETED,
        StreamId, Tags, Timestamp,
    },
    repository::ReadPlan,
};

case_table! { Exact:
    an_imported_topic_is_the_same,
    an_import_can_be_repeated_and_continued,
    an_import_with_a_gap_is_refused,
    appends_go_on_after_an_import,
    ids_of_imported_events_are_known,
    deleted_streams_are_deleted_after_an_import,
    an_import_is_there_after_a_reopening,
    an_import_of_nothing_changes_nothing,
    an_import_onto_other_events_is_refused,
    a_sealed_topic_takes_no_import,
}

/// A topic of some age, and an empty one beside it, to which the clock has come much later.
async fn old_and_new(scene: Scene) -> (Vec<RecordedEvent>, Scene) {
    let mut random = Random::new(41);
    scene.clock.advance(-900_000_000_000);
    for _ in 0..60 {
        scene.clock.advance(17);
        scene.write(random.draft()).await;
    }
    scene.clock.advance(900_000_000_000);
    let log = scene.log().await;
    let new = scene.other_topic("topic").await;
    (log, new)
}

async fn import(scene: &Scene, events: &[RecordedEvent]) -> u64 {
    let imported = scene
        .repository
        .import(&scene.placement, events.to_vec())
        .await;
    imported.expect("the events are imported").get()
}

async fn an_imported_topic_is_the_same(scene: Scene) {
    let (log, new) = old_and_new(scene).await;
    assert_eq!(import(&new, &log).await, log.len() as u64);
    assert_eq!(new.log().await, log);
    assert_eq!(new.head().await, log.len() as u64);
    let mut random = Random::new(42);
    for _ in 0..200 {
        let plan = random.plan(log.len() as u64, log[0].recorded_at, 1100);
        new.check_read(&log, plan).await;
    }
    let verified = new.repository.verify(&new.placement).await.unwrap();
    assert_eq!(verified.events, log.len() as u64);
}

async fn an_import_can_be_repeated_and_continued(scene: Scene) {
    let (log, new) = old_and_new(scene).await;
    let half = log.len() / 2;
    assert_eq!(import(&new, &log[..half]).await, half as u64);
    assert_eq!(import(&new, &log[..half]).await, half as u64);
    assert_eq!(import(&new, &log[..5]).await, half as u64);
    assert_eq!(new.log().await, log[..half]);
    assert_eq!(import(&new, &log[3..half + 2]).await, half as u64 + 2);
    assert_eq!(import(&new, &log).await, log.len() as u64);
    assert_eq!(new.log().await, log);
    let repeated = race(4, |_| {
        let (new, log) = (new.clone(), log.clone());
        async move { import(&new, &log).await }
    });
    assert!(
        repeated
            .await
            .into_iter()
            .all(|head| head == log.len() as u64)
    );
    assert_eq!(new.log().await, log);
}

async fn an_import_with_a_gap_is_refused(scene: Scene) {
    let (log, new) = old_and_new(scene).await;
    let refused = |events: Vec<RecordedEvent>| {
        let new = new.clone();
        async move {
            let head = new.head().await;
            let error = new
                .repository
                .import(&new.placement, events)
                .await
                .unwrap_err();
            assert!(matches!(error, Error::InvalidAppend { .. }), "{error:?}");
            assert_eq!(new.head().await, head, "a refused import wrote");
        }
    };
    refused(log[1..].to_vec()).await;
    import(&new, &log[..4]).await;
    refused(log[5..].to_vec()).await;
    let mut holed = log.clone();
    holed.remove(8);
    refused(holed).await;
    let mut disordered = log.clone();
    disordered.swap(8, 9);
    refused(disordered).await;
    // Where the first of them is the next, too.
    let mut following = log[4..].to_vec();
    following.remove(3);
    refused(following).await;
    assert_eq!(new.log().await, log[..4]);
    assert_eq!(import(&new, &log).await, log.len() as u64);
}

async fn appends_go_on_after_an_import(scene: Scene) {
    let (log, new) = old_and_new(scene).await;
    import(&new, &log).await;
    let version = new.stream("a-1").await.version;
    assert!(version.get() > 0, "the stream moved in");
    let draft = Draft::to("a-1").event("Later");
    new.refuse(draft.clone().expected(ExpectedVersion::NoStream))
        .await;
    let receipt = new.write(draft.expected(version.into())).await;
    assert_eq!(receipt.first.get(), log.len() as u64 + 1);
    assert_eq!(receipt.version, version.next());
    let whole = new.log().await;
    assert_eq!(whole[..log.len()], log);
    new.clock.advance(-1_000_000_000_000);
    new.write(Draft::to("a-1").event("Later")).await;
    new.log().await;
    let imported_again = new.repository.import(&new.placement, log).await.unwrap();
    assert_eq!(imported_again.get(), whole.len() as u64 + 1);
}

async fn ids_of_imported_events_are_known(scene: Scene) {
    let known = Draft::to("known").events(3, "Given");
    let first = scene.write(known.clone()).await;
    let (log, new) = old_and_new(scene).await;
    import(&new, &log).await;
    assert_eq!(new.repeat(known.clone()).await, first.duplicate());
    let error = new.refuse(known.pick(&[0]).payload("other")).await;
    assert!(
        matches!(error, Error::IdempotencyConflict { .. }),
        "{error:?}"
    );
    let new = new.reopened().await;
    assert_eq!(new.repeat(known).await, first.duplicate());
}

async fn deleted_streams_are_deleted_after_an_import(scene: Scene) {
    scene.write(Draft::to("gone").event("Given")).await;
    scene.write(Draft::to("gone").event(STREAM_DELETED)).await;
    let log = scene.log().await;
    let new = scene.other_topic("topic").await;
    import(&new, &log[..1]).await;
    assert!(!new.stream("gone").await.deleted);
    import(&new, &log).await;
    assert!(new.stream("gone").await.deleted);
    let error = new.refuse(Draft::to("gone").event("Asked")).await;
    assert!(matches!(error, Error::StreamDeleted { .. }), "{error:?}");
}

async fn an_import_is_there_after_a_reopening(scene: Scene) {
    let (log, new) = old_and_new(scene).await;
    import(&new, &log).await;
    let new = new.reopened().await;
    assert_eq!(new.log().await, log);
    new.write(Draft::to("a-1").event("Later")).await;
    new.check_read(&new.log().await, ReadPlan::all_after(Position::new(9)))
        .await;
}

async fn an_import_of_nothing_changes_nothing(scene: Scene) {
    assert_eq!(import(&scene, &[]).await, 0);
    scene.write(Draft::to("s").events(2, "Given")).await;
    assert_eq!(import(&scene, &[]).await, 2);
    let mut early = scene.log().await;
    for event in &mut early {
        event.recorded_at = Timestamp::from_micros(1);
    }
    let new = scene.other_topic("topic").await;
    assert_eq!(import(&new, &early).await, 2);
    assert_eq!(new.log().await, early, "times are imported as they are");
}

async fn an_import_onto_other_events_is_refused(scene: Scene) {
    let (log, new) = old_and_new(scene).await;
    // As if somebody had appended while the import was under way.
    import(&new, &log[..3]).await;
    new.write(Draft::to("other").event("Other")).await;
    let found = new.log().await;
    for events in [&log[..], &log[3..], &log[3..4]] {
        let imported = new.repository.import(&new.placement, events.to_vec());
        let error = imported.await.unwrap_err();
        assert!(
            matches!(error, Error::IdempotencyConflict { position, .. } if position.get() == 4),
            "{error:?}"
        );
        assert_eq!(new.log().await, found, "a refused import wrote");
    }
    assert_eq!(import(&new, &log[..3]).await, 4);
    // Everything of an event counts.
    let parts: [fn(&mut RecordedEvent); 9] = [
        |event| event.id = Uuid::from_u128(1),
        |event| event.version = event.version.next(),
        |event| event.stream = StreamId::new("elsewhere").unwrap(),
        |event| event.event_type = EventType::new("Elsewise").unwrap(),
        |event| event.payload = Bytes::from_static(b"another"),
        |event| event.content_type = ContentType::new("text/x-other").unwrap(),
        |event| event.metadata = Bytes::from_static(b"another"),
        |event| event.tags = Tags::new(&["another"]).unwrap(),
        |event| event.recorded_at = Timestamp::from_micros(1),
    ];
    for (part, change) in parts.into_iter().enumerate() {
        let mut changed = log[..3].to_vec();
        change(&mut changed[1]);
        let imported = new.repository.import(&new.placement, changed).await;
        assert!(
            matches!(&imported, Err(Error::IdempotencyConflict { position, .. }) if position.get() == 2),
            "{part}: {imported:?}"
        );
    }
}

async fn a_sealed_topic_takes_no_import(scene: Scene) {
    let (log, new) = old_and_new(scene).await;
    import(&new, &log[..3]).await;
    new.repository
        .seal(&new.placement, Position::new(1))
        .await
        .unwrap();
    let imported = new.repository.import(&new.placement, log.clone()).await;
    let error = imported.unwrap_err();
    assert!(matches!(error, Error::TopicSealed { .. }), "{error:?}");
    assert_eq!(new.head().await, 3, "what is sealed has grown");
    new.repository
        .unseal(&new.placement, Position::new(2))
        .await
        .unwrap();
    assert_eq!(import(&new, &log).await, log.len() as u64);
    assert_eq!(new.log().await, log);
}
