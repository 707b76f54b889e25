//! P5: the same append again is recognised, and another one under its ids is refused.

use super::{case::case_table, conflicting::conflict, draft::Draft, scene::Scene};
use crate::models::{AppendReceipt, EventFilter, ExpectedVersion, STREAM_DELETED};

case_table! { Idempotent:
    the_same_append_again_gives_the_first_receipt,
    a_duplicate_is_recognised_whatever_it_expects,
    a_duplicate_is_recognised_whatever_was_recorded_since,
    a_duplicate_is_recognised_after_a_reopening,
    a_duplicate_is_recognised_in_a_stream_that_was_deleted,
    a_duplicate_over_several_streams_is_recognised,
    ids_of_other_topics_do_not_matter,
}

fn assert_same(first: AppendReceipt, again: AppendReceipt) {
    assert_eq!(again, first.duplicate());
}

async fn the_same_append_again_gives_the_first_receipt(scene: Scene) {
    for count in [1, 2, 50] {
        let draft = Draft::to("s").events(count, "Given");
        let first = scene.write(draft.clone()).await;
        for _ in 0..3 {
            assert_same(first, scene.repeat(draft.clone()).await);
        }
    }
    assert_eq!(scene.log().await.len(), 53);
}

async fn a_duplicate_is_recognised_whatever_it_expects(scene: Scene) {
    scene.write(Draft::to("s").event("Before")).await;
    let draft = Draft::to("s")
        .events(2, "Given")
        .expected(ExpectedVersion::exact(1));
    let first = scene.write(draft.clone()).await;
    for expected in [
        ExpectedVersion::Any,
        ExpectedVersion::NoStream,
        ExpectedVersion::StreamExists,
        ExpectedVersion::exact(0),
        ExpectedVersion::exact(1),
        ExpectedVersion::exact(3),
        ExpectedVersion::exact(99),
    ] {
        let again = draft.clone().expected(expected);
        assert_same(first, scene.repeat(again.clone()).await);
        let ruled_out = again.unless(EventFilter::all(), 0);
        assert_same(first, scene.repeat(ruled_out).await);
    }
}

async fn a_duplicate_is_recognised_whatever_was_recorded_since(scene: Scene) {
    let drafts: Vec<Draft> = (0..10)
        .map(|number| Draft::to(&format!("s-{}", number % 3)).events(1 + number, "Given"))
        .collect();
    let mut firsts = Vec::new();
    for draft in &drafts {
        firsts.push(scene.write(draft.clone()).await);
    }
    scene.fill(3000).await;
    for (draft, first) in drafts.iter().zip(firsts) {
        assert_same(first, scene.repeat(draft.clone()).await);
    }
}

async fn a_duplicate_is_recognised_after_a_reopening(scene: Scene) {
    let old = Draft::to("s").events(3, "Given");
    let first_of_old = scene.write(old.clone()).await;
    scene.fill(1000).await;
    let new = Draft::to("s").events(3, "Given");
    let first_of_new = scene.write(new.clone()).await;
    let scene = scene.reopened().await;
    assert_same(first_of_old, scene.repeat(old.clone()).await);
    assert_same(first_of_new, scene.repeat(new.clone()).await);
    conflict(&scene, old.pick(&[1]).payload("other"), 2).await;
    let scene = scene.reopened().await;
    assert_same(first_of_new, scene.repeat(new).await);
    assert_same(first_of_old, scene.repeat(old).await);
}

async fn a_duplicate_is_recognised_in_a_stream_that_was_deleted(scene: Scene) {
    let draft = Draft::to("s").events(2, "Given");
    let first = scene.write(draft.clone()).await;
    let deletion = Draft::to("s").event(STREAM_DELETED);
    let deleted = scene.write(deletion.clone()).await;
    assert_same(first, scene.repeat(draft.clone()).await);
    assert_same(deleted, scene.repeat(deletion.clone()).await);
    let scene = scene.reopened().await;
    assert_same(first, scene.repeat(draft).await);
    assert_same(deleted, scene.repeat(deletion).await);
}

async fn a_duplicate_over_several_streams_is_recognised(scene: Scene) {
    scene.write(Draft::to("a").event("Before")).await;
    let draft = Draft::to("a")
        .event("Given")
        .event("Given")
        .in_stream("b")
        .event("Given")
        .event("Given")
        .in_stream("c");
    let first = scene.write(draft.clone()).await;
    assert_eq!(first.version.get(), 3);
    scene.write(Draft::to("a").events(4, "After")).await;
    assert_same(first, scene.repeat(draft.clone()).await);
    conflict(&scene, draft.in_stream("b"), 5).await;
}

async fn ids_of_other_topics_do_not_matter(scene: Scene) {
    let draft = Draft::to("s").events(2, "Given");
    scene.write(draft.clone()).await;
    let other = scene.other_topic("other").await;
    assert_eq!(other.write(draft.clone()).await.first.get(), 1);
    let same_name = scene.other_topic("topic").await;
    same_name.write(Draft::to("s").event("Before")).await;
    assert_eq!(same_name.write(draft.clone()).await.first.get(), 2);
    assert_eq!(scene.repeat(draft.clone()).await.first.get(), 1);
    assert_eq!(same_name.repeat(draft).await.first.get(), 2);
}
