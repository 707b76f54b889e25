//! P4, deleted streams: a stream that was deleted takes nothing but its restoration.

use super::{
    case::case_table,
    draft::{Draft, stream_id},
    scene::{Scene, race},
};
use crate::{
    models::{
        Direction, Error, ExpectedVersion, Position, RecordedEvent, Result, STREAM_DELETED,
        STREAM_RESTORED, Version,
    },
    repository::ReadPlan,
};

case_table! { Guarded:
    a_deleted_stream_takes_nothing_whatever_is_expected,
    a_deleted_stream_is_guarded_within_an_append_to_others,
    a_restored_stream_goes_on_where_it_was,
    deleting_and_restoring_can_expect_a_version,
    of_an_append_and_a_deletion_the_first_wins,
    a_deleted_stream_is_not_read_unless_asked_for,
    a_deletion_is_there_after_a_reopening,
    the_default_stream_can_be_deleted,
}

async fn delete(scene: &Scene, stream: &str) {
    scene.write(Draft::to(stream).event(STREAM_DELETED)).await;
    assert!(scene.stream(stream).await.deleted);
}

async fn restore(scene: &Scene, stream: &str) {
    scene.write(Draft::to(stream).event(STREAM_RESTORED)).await;
    assert!(!scene.stream(stream).await.deleted);
}

fn assert_deleted(error: &Error, name: &str) {
    let named = matches!(error, Error::StreamDeleted { stream } if *stream == stream_id(name));
    assert!(named, "{error:?} instead of a deleted {name}");
}

async fn read(scene: &Scene, stream: &str, include_deleted: bool) -> Result<Vec<RecordedEvent>> {
    let mut plan = ReadPlan::all_after(Position::START);
    plan.stream = Some(stream_id(stream));
    plan.include_deleted = include_deleted;
    scene.read(plan).await
}

async fn a_deleted_stream_takes_nothing_whatever_is_expected(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Given")).await;
    delete(&scene, "s").await;
    let expectations = [
        ExpectedVersion::Any,
        ExpectedVersion::NoStream,
        ExpectedVersion::StreamExists,
        ExpectedVersion::exact(0),
        ExpectedVersion::exact(2),
        ExpectedVersion::exact(3),
    ];
    for expected in expectations {
        let draft = Draft::to("s").event("Asked").expected(expected);
        assert_deleted(&scene.refuse(draft).await, "s");
    }
    assert_deleted(
        &scene.refuse(Draft::to("s").event(STREAM_DELETED)).await,
        "s",
    );
    scene.write(Draft::to("t").event("Asked")).await;
}

async fn a_deleted_stream_is_guarded_within_an_append_to_others(scene: Scene) {
    scene.write(Draft::to("gone").event("Given")).await;
    delete(&scene, "gone").await;
    let last = Draft::to("s")
        .event("Asked")
        .event("Asked")
        .in_stream("gone");
    assert_deleted(&scene.refuse(last.clone()).await, "gone");
    let middle = last.event("Asked");
    assert_deleted(&scene.refuse(middle).await, "gone");
    let first = Draft::to("s")
        .event("Asked")
        .in_stream("gone")
        .event("Asked");
    assert_deleted(&scene.refuse(first).await, "gone");
    // Its own stream is deleted, but no event of it is in there.
    let elsewhere = Draft::to("gone").event("Asked").in_stream("s");
    scene.write(elsewhere).await;
}

async fn a_restored_stream_goes_on_where_it_was(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Given")).await;
    for round in 0..3 {
        let version = 2 + 3 * round;
        assert_eq!(scene.stream("s").await.version.get(), version);
        delete(&scene, "s").await;
        assert_eq!(scene.stream("s").await.version.get(), version + 1);
        restore(&scene, "s").await;
        let draft = Draft::to("s").event("Asked");
        let receipt = scene
            .write(draft.expected(ExpectedVersion::exact(version + 2)))
            .await;
        assert_eq!(receipt.version.get(), version + 3);
    }
    assert_eq!(read(&scene, "s", false).await.unwrap().len(), 11);
}

async fn deleting_and_restoring_can_expect_a_version(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Given")).await;
    let deletion = Draft::to("s").event(STREAM_DELETED);
    let error = scene
        .refuse(deletion.clone().expected(ExpectedVersion::exact(1)))
        .await;
    assert!(
        matches!(error, Error::WrongExpectedVersion { .. }),
        "{error:?}"
    );
    scene
        .write(deletion.clone().expected(ExpectedVersion::exact(2)))
        .await;
    assert!(scene.repeat(deletion).await.duplicate);
    let restoration = Draft::to("s").event(STREAM_RESTORED);
    let error = scene
        .refuse(restoration.clone().expected(ExpectedVersion::exact(2)))
        .await;
    assert!(
        matches!(error, Error::WrongExpectedVersion { .. }),
        "{error:?}"
    );
    scene
        .write(restoration.expected(ExpectedVersion::exact(3)))
        .await;
    assert!(!scene.stream("s").await.deleted);
}

async fn of_an_append_and_a_deletion_the_first_wins(scene: Scene) {
    for round in 0..20 {
        let name = format!("s-{round}");
        let given = scene.write(Draft::to(&name).event("Given")).await;
        let outcomes = race(2, |number| {
            let scene = scene.clone();
            let event_type = if number == 0 { STREAM_DELETED } else { "Asked" };
            let draft = Draft::to(&name)
                .event(event_type)
                .expected(given.version.into());
            async move { scene.append(draft).await }
        });
        let won: Vec<bool> = outcomes.await.iter().map(Result::is_ok).collect();
        assert_ne!(won[0], won[1], "round {round}");
        let state = scene.stream(&name).await;
        assert_eq!((state.version, state.deleted), (Version::new(2), won[0]));
    }
}

async fn a_deleted_stream_is_not_read_unless_asked_for(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Given")).await;
    scene.write(Draft::to("t").event("Given")).await;
    delete(&scene, "s").await;
    assert_deleted(&read(&scene, "s", false).await.unwrap_err(), "s");
    assert_eq!(read(&scene, "s", true).await.unwrap().len(), 3);
    assert_eq!(read(&scene, "t", false).await.unwrap().len(), 1);
    let mut plan = ReadPlan::all_after(Position::START);
    plan.stream = Some(stream_id("s"));
    plan.direction = Direction::Backward;
    plan.limit = Some(1);
    assert_deleted(&scene.read(plan.clone()).await.unwrap_err(), "s");
    plan.up_to = Position::new(2);
    plan.direction = Direction::Forward;
    assert_deleted(&scene.read(plan).await.unwrap_err(), "s");
    assert_eq!(scene.log().await.len(), 4, "the log as it is");
    restore(&scene, "s").await;
    assert_eq!(read(&scene, "s", false).await.unwrap().len(), 4);
}

async fn a_deletion_is_there_after_a_reopening(scene: Scene) {
    scene.write(Draft::to("gone").event("Given")).await;
    delete(&scene, "gone").await;
    scene.write(Draft::to("back").event("Given")).await;
    delete(&scene, "back").await;
    restore(&scene, "back").await;
    // Enough that what was said of the streams is old.
    scene.fill(200).await;
    let scene = scene.reopened().await;
    assert!(scene.stream("gone").await.deleted);
    assert!(!scene.stream("back").await.deleted);
    assert_deleted(
        &scene.refuse(Draft::to("gone").event("Asked")).await,
        "gone",
    );
    assert_deleted(&read(&scene, "gone", false).await.unwrap_err(), "gone");
    scene.write(Draft::to("back").event("Asked")).await;
    restore(&scene, "gone").await;
    let scene = scene.reopened().await;
    assert!(!scene.stream("gone").await.deleted);
}

async fn the_default_stream_can_be_deleted(scene: Scene) {
    scene.write(Draft::to("").event("Given")).await;
    scene.write(Draft::to("s").event("Given")).await;
    delete(&scene, "").await;
    assert_deleted(&scene.refuse(Draft::to("").event("Asked")).await, "");
    scene.write(Draft::to("s").event("Asked")).await;
    restore(&scene, "").await;
    scene.write(Draft::to("").event("Asked")).await;
}
