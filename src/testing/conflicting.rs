//! P5, conflicts: another append under ids that are recorded is refused, and names where they are.

use bytes::Bytes;

use super::{
    case::case_table,
    draft::{Draft, fresh_id, stream_id},
    scene::Scene,
};
use crate::{
    models::{ContentType, Error, EventFilter, EventType, ExpectedVersion, Position, Tags},
    repository::BatchEvent,
};

case_table! { Idempotent:
    other_content_under_the_same_id_is_refused,
    other_content_in_a_later_event_is_refused,
    some_ids_that_are_recorded_are_refused,
    the_same_ids_in_another_order_are_refused,
    a_part_of_an_append_that_hangs_together_is_recognised,
    a_key_that_was_used_for_more_events_is_refused,
    a_refused_append_has_left_no_id_behind,
}

/// Checks that an append is refused over the id that is recorded at a position.
pub(super) async fn conflict(scene: &Scene, draft: Draft, at: u64) -> String {
    let error = scene.refuse(draft.clone()).await;
    let Error::IdempotencyConflict { reason, position } = error else {
        panic!("{error:?} instead of a conflict of ids for {draft:?}");
    };
    assert_eq!(position, Position::new(at), "{reason}");
    reason
}

/// What can be changed in an event but its id, and what the conflict says of it.
type Change = (&'static str, fn(&mut BatchEvent));

const CHANGES: [Change; 9] = [
    ("stream", |event| event.stream = stream_id("other")),
    ("type", |event| {
        event.event_type = EventType::new("given").expect("it is valid")
    }),
    ("payload", |event| {
        event.payload = Bytes::from_static(b"{ \"a\":1}")
    }),
    ("payload", |event| event.payload = Bytes::new()),
    ("content type", |event| {
        event.content_type = ContentType::new("application/json; x").expect("it is valid");
    }),
    ("metadata", |event| {
        event.metadata = Bytes::from_static(b"{}")
    }),
    ("metadata", |event| event.metadata = Bytes::new()),
    ("tags", |event| event.tags = Tags::default()),
    ("tags", |event| {
        event.tags = Tags::new(&["y", "x"]).expect("they are valid")
    }),
];

async fn other_content_under_the_same_id_is_refused(scene: Scene) {
    scene.write(Draft::to("s").event("Before")).await;
    let draft = Draft::to("s")
        .event("Given")
        .payload("{\"a\":1}")
        .metadata("{\"b\":2}")
        .tags(&["x", "y"]);
    scene.write(draft.clone()).await;
    for (part, change) in CHANGES {
        let reason = conflict(&scene, draft.clone().edit(change), 2).await;
        assert!(reason.contains(part), "{reason:?} does not name the {part}");
    }
    scene.repeat(draft).await;
}

async fn other_content_in_a_later_event_is_refused(scene: Scene) {
    let draft = Draft::to("s")
        .events(3, "Given")
        .metadata("{\"b\":2}")
        .tags(&["x", "y"]);
    scene.write(draft.clone()).await;
    for (_, change) in CHANGES {
        conflict(&scene, draft.clone().edit(change), 3).await;
    }
    let scene = scene.reopened().await;
    for (_, change) in CHANGES {
        conflict(&scene, draft.clone().edit(change), 3).await;
    }
}

async fn some_ids_that_are_recorded_are_refused(scene: Scene) {
    scene.write(Draft::to("s").event("Before")).await;
    let known = Draft::to("s").events(2, "Given");
    scene.write(known.clone()).await;
    let new = Draft::to("s").event("Given");
    conflict(&scene, known.clone().and(&new), 2).await;
    conflict(&scene, new.clone().and(&known), 2).await;
    conflict(&scene, known.pick(&[0]).and(&new), 2).await;
    conflict(&scene, known.pick(&[1]).and(&new), 3).await;
    let between = known.pick(&[0]).and(&new).and(&known.pick(&[1]));
    let error = scene.refuse(between).await;
    assert!(
        matches!(error, Error::IdempotencyConflict { .. }),
        "{error:?}"
    );
    let receipt = scene.write(new).await;
    assert_eq!(receipt.first.get(), 4);
}

async fn the_same_ids_in_another_order_are_refused(scene: Scene) {
    let draft = Draft::to("s").events(3, "Given");
    scene.write(draft.clone()).await;
    for order in [
        &[1, 0, 2][..],
        &[0, 2, 1],
        &[2, 1, 0],
        &[1, 0],
        &[0, 2],
        &[2, 0],
    ] {
        let error = scene.refuse(draft.pick(order)).await;
        assert!(
            matches!(error, Error::IdempotencyConflict { .. }),
            "{order:?}: {error:?}"
        );
    }
    scene.repeat(draft).await;
}

async fn a_part_of_an_append_that_hangs_together_is_recognised(scene: Scene) {
    let draft = Draft::to("s").events(4, "Given");
    scene.write(draft.clone()).await;
    for (part, first, last) in [(&[0, 1][..], 1, 2), (&[1, 2], 2, 3), (&[3], 4, 4)] {
        let receipt = scene.repeat(draft.pick(part)).await;
        let place = (
            receipt.first.get(),
            receipt.last.get(),
            receipt.version.get(),
        );
        assert_eq!(place, (first, last, last));
    }
    let next = Draft::to("t").events(2, "Given");
    scene.write(next.clone()).await;
    let receipt = scene.repeat(draft.pick(&[3]).and(&next.pick(&[0]))).await;
    let place = (
        receipt.first.get(),
        receipt.last.get(),
        receipt.version.get(),
    );
    assert_eq!(place, (4, 5, 4), "two appends that lie side by side");
}

async fn a_key_that_was_used_for_more_events_is_refused(scene: Scene) {
    let draft = Draft::to("s").events(3, "Given");
    let ids = draft.ids();
    scene.write(draft.clone().beyond(fresh_id())).await;
    scene.repeat(draft.clone().beyond(fresh_id())).await;
    let fewer = draft.pick(&[0, 1]).beyond(ids[2]);
    conflict(&scene, fewer, 3).await;
    let other = Draft::to("s").event("Other").beyond(ids[1]);
    conflict(&scene, other, 2).await;
    let more = draft.and(&Draft::to("s").event("More")).beyond(fresh_id());
    conflict(&scene, more, 1).await;
    let scene = scene.reopened().await;
    conflict(&scene, Draft::to("s").event("Other").beyond(ids[2]), 3).await;
}

async fn a_refused_append_has_left_no_id_behind(scene: Scene) {
    scene.write(Draft::to("s").event("Before")).await;
    let draft = Draft::to("s").events(2, "Given");
    scene
        .refuse(draft.clone().expected(ExpectedVersion::NoStream))
        .await;
    scene
        .refuse(draft.clone().unless(EventFilter::all(), 0))
        .await;
    let other_ids = draft.clone().event("Given");
    let receipt = scene.write(other_ids).await;
    assert_eq!((receipt.first.get(), receipt.last.get()), (2, 4));
    let reused = Draft::to("s").event("Third").id(fresh_id());
    scene
        .refuse(reused.clone().expected(ExpectedVersion::NoStream))
        .await;
    scene
        .write(reused.payload("other than what was refused"))
        .await;
}
