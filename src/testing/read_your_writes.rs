//! P7: what was acknowledged is seen by every read after it, through any handle.

use super::{
    case::case_table,
    draft::{Draft, stream_id},
    scene::{Scene, race},
};
use crate::{
    models::{Direction, EventFilter, Position},
    repository::ReadPlan,
};

case_table! { ReadYourWrites:
    every_read_after_an_append_sees_it,
    every_read_through_another_handle_sees_it,
    writers_see_their_own_appends_among_others,
    guards_see_what_was_acknowledged_through_another_handle,
    a_further_handle_sees_what_was_there_before_it,
}

/// Checks every way of reading for the event at `position`, which is the last of `stream`.
async fn assert_seen(scene: &Scene, stream: &str, tag: &str, position: Position) {
    assert!(scene.head().await >= position.get());
    assert!(scene.stream(stream).await.exists());
    let mut plans = vec![ReadPlan::all_after(position.previous())];
    let mut of_stream = ReadPlan::all_after(Position::START);
    of_stream.stream = Some(stream_id(stream));
    of_stream.direction = Direction::Backward;
    of_stream.limit = Some(1);
    plans.push(of_stream);
    for filter in [
        EventFilter::all().tags([tag]),
        EventFilter::all().streams([stream]),
        EventFilter::all().types(["Seen"]).stream_prefix(stream),
    ] {
        let mut filtered = ReadPlan::all_after(Position::START);
        filtered.filter = filter;
        plans.push(filtered);
    }
    for plan in plans {
        let events = scene.read(plan.clone()).await.unwrap();
        let seen = events.iter().any(|event| event.position == position);
        assert!(seen, "{plan:?} does not see {position}");
    }
    let beyond = scene
        .repository
        .wait_beyond(&scene.placement, position.previous());
    assert!(beyond.await.unwrap() >= position);
}

async fn every_read_after_an_append_sees_it(scene: Scene) {
    for number in 0..60 {
        let tag = format!("x:{number}");
        let receipt = scene
            .write(Draft::to("s").events(2, "Seen").tags(&[&tag]))
            .await;
        assert_seen(&scene, "s", &tag, receipt.last).await;
    }
}

async fn every_read_through_another_handle_sees_it(scene: Scene) {
    let handles = [
        scene.further_handle().await,
        scene.further_handle().await,
        scene,
    ];
    for number in 0..45 {
        let tag = format!("x:{number}");
        let draft = Draft::to("s").event("Seen").tags(&[&tag]);
        let receipt = handles[number % 3].write(draft).await;
        for handle in &handles {
            assert_seen(handle, "s", &tag, receipt.last).await;
        }
    }
}

async fn writers_see_their_own_appends_among_others(scene: Scene) {
    let further = scene.further_handle().await;
    race(8, |number| {
        let (own, other) = if number % 2 == 0 {
            (scene.clone(), further.clone())
        } else {
            (further.clone(), scene.clone())
        };
        async move {
            let stream = format!("s-{number}");
            for append in 0..12 {
                let tag = format!("{number}:{append}");
                let receipt = own
                    .write(Draft::to(&stream).event("Seen").tags(&[&tag]))
                    .await;
                assert_seen(&own, &stream, &tag, receipt.last).await;
                assert_seen(&other, &stream, &tag, receipt.last).await;
            }
        }
    })
    .await;
}

async fn guards_see_what_was_acknowledged_through_another_handle(scene: Scene) {
    let further = scene.further_handle().await;
    for version in 0..20 {
        let (one, other) = if version % 2 == 0 {
            (&scene, &further)
        } else {
            (&further, &scene)
        };
        let draft = Draft::to("s").event("Seen");
        one.write(
            draft
                .clone()
                .expected(crate::models::ExpectedVersion::exact(version)),
        )
        .await;
        let stale = Draft::to("s").event("Stale");
        let stale = stale.expected(crate::models::ExpectedVersion::exact(version));
        other.refuse(stale).await;
        let late = Draft::to("s")
            .event("Late")
            .unless(EventFilter::all(), version);
        other.refuse(late).await;
        other.repeat(draft).await;
    }
}

async fn a_further_handle_sees_what_was_there_before_it(scene: Scene) {
    scene
        .write(Draft::to("s").events(40, "Seen").tags(&["x"]))
        .await;
    let log = scene.log().await;
    let further = scene.further_handle().await;
    assert_eq!(further.log().await, log);
    assert_seen(&further, "s", "x", Position::new(40)).await;
}
