//! P2: no reader, ever, sees part of an append.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    case::case_table,
    draft::Draft,
    scene::{Scene, race},
};
use crate::{
    models::{Direction, EventFilter, ExpectedVersion, Position, RecordedEvent},
    repository::ReadPlan,
};

case_table! { Atomic:
    readers_beside_writers_see_whole_appends,
    backward_readers_begin_at_the_end_of_an_append,
    heads_are_ends_of_appends,
    waiting_returns_ends_of_appends,
    a_large_append_becomes_visible_at_once,
    an_append_to_several_streams_is_whole_in_each,
    a_refused_append_to_several_streams_is_in_none,
}

/// Every append in these cases has this many events.
const WHOLE: usize = 7;
const WRITERS: u64 = 4;
const APPENDS: u64 = 40;

fn whole_append(writer: u64, number: u64) -> Draft {
    let tag = format!("{writer}-{number}");
    (0..WHOLE).fold(Draft::to(&format!("s-{writer}")), |draft, _| {
        draft.event("Part").tags(&[&tag])
    })
}

/// Lets writers append while `look` is called over and over, by two tasks, until they have done.
async fn beside_writers<F>(scene: &Scene, look: fn(Scene) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let done = Arc::new(AtomicBool::new(false));
    race(WRITERS + 2, |number| {
        let (scene, done) = (scene.clone(), Arc::clone(&done));
        async move {
            if number < WRITERS {
                for append in 0..APPENDS {
                    scene.write(whole_append(number, append)).await;
                }
                done.store(true, Ordering::SeqCst);
            } else {
                while !done.load(Ordering::SeqCst) {
                    look(scene.clone()).await;
                    tokio::task::yield_now().await;
                }
                look(scene).await;
            }
        }
    })
    .await;
}

/// The events, in the order of the log, are whole appends one after the other.
fn assert_whole(events: &[RecordedEvent]) {
    assert_eq!(events.len() % WHOLE, 0, "{} events", events.len());
    for append in events.chunks(WHOLE) {
        let tags: HashSet<_> = append.iter().map(|event| event.tags.clone()).collect();
        assert_eq!(tags.len(), 1, "events of several appends: {tags:?}");
    }
}

async fn readers_beside_writers_see_whole_appends(scene: Scene) {
    beside_writers(&scene, |scene| async move {
        assert_whole(&scene.log().await);
        let mut plan = ReadPlan::all_after(Position::START);
        plan.filter = EventFilter::all().streams(["s-1"]);
        assert_whole(&scene.read(plan.clone()).await.unwrap());
        plan.stream = Some(super::draft::stream_id("s-2"));
        plan.filter = EventFilter::all();
        assert_whole(&scene.read(plan).await.unwrap());
    })
    .await;
    assert_eq!(scene.head().await, WRITERS * APPENDS * WHOLE as u64);
}

async fn backward_readers_begin_at_the_end_of_an_append(scene: Scene) {
    beside_writers(&scene, |scene| async move {
        let mut plan = ReadPlan::all_after(Position::START);
        plan.direction = Direction::Backward;
        plan.limit = Some(3 * WHOLE as u64);
        let mut events = scene.read(plan).await.unwrap();
        events.reverse();
        assert_whole(&events);
    })
    .await;
}

async fn heads_are_ends_of_appends(scene: Scene) {
    beside_writers(&scene, |scene| async move {
        assert_eq!(scene.head().await % WHOLE as u64, 0);
        assert_eq!(scene.stream("s-0").await.version.get() % WHOLE as u64, 0);
    })
    .await;
}

async fn waiting_returns_ends_of_appends(scene: Scene) {
    let all = WRITERS * APPENDS * WHOLE as u64;
    race(WRITERS + 2, |number| {
        let scene = scene.clone();
        async move {
            if number < WRITERS {
                for append in 0..APPENDS {
                    scene.write(whole_append(number, append)).await;
                }
                return;
            }
            let mut head = Position::START;
            while head.get() < all {
                head = scene
                    .repository
                    .wait_beyond(&scene.placement, head)
                    .await
                    .unwrap();
                assert_eq!(head.get() % WHOLE as u64, 0);
            }
        }
    })
    .await;
}

async fn a_large_append_becomes_visible_at_once(scene: Scene) {
    const LARGE: u64 = 3000;
    let done = Arc::new(AtomicBool::new(false));
    race(3, |number| {
        let (scene, done) = (scene.clone(), Arc::clone(&done));
        async move {
            if number == 0 {
                for _ in 0..4 {
                    scene.write(Draft::to("s").events(3000, "Part")).await;
                }
                done.store(true, Ordering::SeqCst);
            }
            while !done.load(Ordering::SeqCst) {
                assert_eq!(scene.head().await % LARGE, 0);
                assert_eq!(scene.log().await.len() as u64 % LARGE, 0);
                assert_eq!(scene.stream("s").await.version.get() % LARGE, 0);
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    assert_eq!(scene.head().await, 4 * LARGE);
}

async fn an_append_to_several_streams_is_whole_in_each(scene: Scene) {
    let draft = Draft::to("a")
        .event("One")
        .in_stream("b")
        .event("Two")
        .event("Three")
        .in_stream("b")
        .event("Four")
        .in_stream("");
    let ids = draft.ids();
    let receipt = scene.write(draft).await;
    assert_eq!(receipt.version, scene.stream("a").await.version);
    let log = scene.log().await;
    assert_eq!(log.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
    let versions = [("a", 1), ("b", 2), ("", 1)];
    for (stream, version) in versions {
        assert_eq!(
            scene.stream(stream).await.version.get(),
            version,
            "{stream}"
        );
        let mut plan = ReadPlan::all_after(Position::START);
        plan.stream = Some(super::draft::stream_id(stream));
        scene.check_read(&log, plan).await;
    }
}

async fn a_refused_append_to_several_streams_is_in_none(scene: Scene) {
    scene.write(Draft::to("a").event("One")).await;
    scene.write(Draft::to("gone").event("One")).await;
    let deleted = Draft::to("gone").event(crate::models::STREAM_DELETED);
    scene.write(deleted).await;
    let before = scene.log().await;
    let spread = Draft::to("a").event("Two").event("Three").in_stream("b");
    scene
        .refuse(spread.clone().expected(ExpectedVersion::NoStream))
        .await;
    scene
        .refuse(spread.clone().unless(EventFilter::all(), 0))
        .await;
    scene.refuse(spread.event("Four").in_stream("gone")).await;
    assert_eq!(scene.log().await, before);
    assert_eq!(scene.stream("b").await.version.get(), 0);
    let scene = scene.reopened().await;
    assert_eq!(scene.log().await, before);
}
