//! P12: what an operation holds and looks at does not grow with the topic. (Memory itself is
//! measured elsewhere; here it is the size of pages, and how the effort grows.)

use std::time::{Duration, Instant};

use futures_util::StreamExt;

use super::{
    case::case_table,
    draft::{Draft, stream_id},
    scene::{Scene, soon},
};
use crate::{
    models::{Direction, EventFilter, Limits, Position, Version},
    repository::ReadPlan,
};

case_table! { Bounded:
    an_append_of_the_most_events_is_one_append,
    an_append_of_the_most_bytes_is_one_append,
    pages_have_few_events,
    pages_have_few_bytes,
    a_short_read_of_a_long_topic_looks_at_little,
    a_question_about_a_long_topic_looks_at_little,
    a_reader_that_stops_in_the_middle_stops_nobody,
    many_small_appends_are_all_there,
}

/// The most events that a page may have.
const PAGE_EVENTS: usize = 4096;
/// The most bytes of payloads that a page may have ("some MiB"), one event aside.
const PAGE_BYTES: usize = 8 << 20;

async fn an_append_of_the_most_events_is_one_append(scene: Scene) {
    let most = Limits::MAX_APPEND_EVENTS;
    let draft = Draft::to("s").events(most, "Given");
    let receipt = scene.write(draft.clone()).await;
    assert_eq!(receipt.last.get(), most as u64);
    assert_eq!(scene.repeat(draft.clone()).await, receipt.duplicate());
    assert_eq!(scene.log().await.len(), most);
    let of_many_streams = (0..2000).fold(Draft::to("s"), |draft, number| {
        draft.event("Given").in_stream(&format!("s-{number}"))
    });
    scene.write(of_many_streams).await;
    let scene = scene.reopened().await;
    assert_eq!(scene.log().await.len(), most + 2000);
    assert_eq!(scene.repeat(draft).await, receipt.duplicate());
}

async fn an_append_of_the_most_bytes_is_one_append(scene: Scene) {
    let quarter = Limits::MAX_APPEND_BYTES / 4 - 1024;
    let draft = (0..4).fold(Draft::to("s"), |draft, number| {
        draft.event("Given").payload(vec![number; quarter])
    });
    let receipt = scene.write(draft.clone()).await;
    assert_eq!(scene.repeat(draft).await, receipt.duplicate());
    let scene = scene.reopened().await;
    let log = scene.log().await;
    assert!(
        log.iter()
            .zip(0..)
            .all(|(event, n)| event.payload == vec![n; quarter])
    );
}

async fn pages_have_few_events(scene: Scene) {
    scene
        .write(Draft::to("filled-1").events(6000, "Filled").tags(&["x"]))
        .await;
    scene.fill(9000).await;
    for direction in [Direction::Forward, Direction::Backward] {
        for stream in [None, Some(stream_id("filled-1"))] {
            for filter in [EventFilter::all(), EventFilter::all().types(["Filled"])] {
                let mut plan = ReadPlan::all_after(Position::START);
                plan.direction = direction;
                plan.stream = stream.clone();
                plan.filter = filter;
                for page in scene.pages(plan).await.unwrap() {
                    let count = page.events.len();
                    assert!(count <= PAGE_EVENTS, "a page of {count} events");
                }
            }
        }
    }
}

async fn pages_have_few_bytes(scene: Scene) {
    for number in 0..40 {
        scene
            .write(Draft::to("s").event("Given").payload(vec![number; 1 << 20]))
            .await;
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let all = ReadPlan {
            direction,
            ..ReadPlan::all_after(Position::START)
        };
        let of_type = ReadPlan {
            filter: EventFilter::all().types(["Given"]),
            ..all.clone()
        };
        let of_stream = ReadPlan {
            stream: Some(stream_id("s")),
            ..all.clone()
        };
        for plan in [all, of_type, of_stream] {
            let mut read = scene.repository.read(&scene.placement, plan);
            let mut count = 0;
            while let Some(page) = read.next().await {
                let page = page.unwrap();
                let bytes: usize = page.events.iter().map(|event| event.payload.len()).sum();
                assert!(bytes <= PAGE_BYTES + (1 << 20), "a page of {bytes} bytes");
                count += page.events.len();
            }
            assert_eq!(count, 40);
        }
    }
}

async fn a_short_read_of_a_long_topic_looks_at_little(scene: Scene) {
    scene.write(Draft::to("s").events(10_000, "Given")).await;
    scene.write(Draft::to("s").events(10_000, "Given")).await;
    let whole = time_of_a_whole_read(&scene).await;
    let mut plans = Vec::new();
    for direction in [Direction::Forward, Direction::Backward] {
        for stream in [None, Some(stream_id("s"))] {
            let mut plan = ReadPlan::all_after(Position::START);
            plan.direction = direction;
            plan.stream = stream;
            plan.limit = Some(3);
            plans.push(plan.clone());
            plan.after = Position::new(10_000);
            plans.push(plan.clone());
            plan.up_to = Position::new(10_002);
            plan.limit = None;
            plans.push(plan.clone());
            if plan.stream.is_some() {
                plan.after = Position::START;
                plan.up_to = Position::MAX;
                plan.after_version = Version::new(15_000);
                plan.up_to_version = Version::new(15_003);
                plans.push(plan);
            }
        }
    }
    let slack = time_of_questions(&scene, 40).await * 5 + Duration::from_millis(500);
    for plan in plans {
        let begun = Instant::now();
        for _ in 0..40 {
            let events = scene.read(plan.clone()).await.unwrap();
            assert!((2..=3).contains(&events.len()), "{plan:?}");
        }
        // Reads that looked at all of the topic would take forty times as long as the whole.
        // The slack is for machines that pause, and for servers, which take their time for anything.
        let allowed = whole * 10 + slack;
        let taken = begun.elapsed();
        assert!(
            taken < allowed,
            "{plan:?}: 40 took {taken:?}, reading all takes {whole:?}"
        );
    }
}

/// How long it takes to read everything and keep nothing.
async fn time_of_a_whole_read(scene: &Scene) -> Duration {
    let begun = Instant::now();
    let plan = ReadPlan::all_after(Position::START);
    let mut read = scene.repository.read(&scene.placement, plan);
    let mut count = 0;
    while let Some(page) = read.next().await {
        count += page.unwrap().events.len();
    }
    assert_eq!(count, 20_000);
    begun.elapsed()
}

/// How long it takes to ask for the head so many times.
async fn time_of_questions(scene: &Scene, count: usize) -> Duration {
    let begun = Instant::now();
    for _ in 0..count {
        assert_ne!(scene.head().await, 0);
    }
    begun.elapsed()
}

async fn a_question_about_a_long_topic_looks_at_little(scene: Scene) {
    let repeated = Draft::to("s").event("Given");
    scene.write(repeated.clone()).await;
    scene.write(Draft::to("s").events(10_000, "Given")).await;
    scene
        .write(Draft::to("t").events(9_999, "Given").tags(&["x"]))
        .await;
    let whole = time_of_a_whole_read(&scene).await;
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(scene.stream("s").await.version.get(), 10_001);
        assert_eq!(scene.stream("nobody").await.version.get(), 0);
        scene.repeat(repeated.clone()).await;
        let head = scene.head().await;
        let beyond = EventFilter::all().types(["Given"]);
        scene
            .write(Draft::to("u").event("Other").unless(beyond, head))
            .await;
    }
    let taken = begun.elapsed();
    let slack = time_of_questions(&scene, 100).await * 5 + Duration::from_secs(1);
    let allowed = whole * 10 + slack;
    assert!(
        taken < allowed,
        "20 rounds took {taken:?}, reading all takes {whole:?}"
    );
}

async fn a_reader_that_stops_in_the_middle_stops_nobody(scene: Scene) {
    scene.fill(3000).await;
    let mut halted = Vec::new();
    for _ in 0..20 {
        let plan = ReadPlan::all_after(Position::START);
        let mut read = scene.repository.read(&scene.placement, plan);
        let page = read.next().await.unwrap().unwrap();
        halted.push((read, page.events.len()));
    }
    soon("writing beside readers", scene.fill(3200)).await;
    soon("reading beside readers", scene.log()).await;
    for (read, first) in halted {
        let rest: Vec<_> = soon("going on", read.collect::<Vec<_>>()).await;
        let rest = rest.into_iter().map(|page| page.unwrap().events.len());
        assert_eq!(first + rest.sum::<usize>(), 3000);
    }
}

async fn many_small_appends_are_all_there(scene: Scene) {
    scene.fill(6000).await;
    let log = scene.log().await;
    assert_eq!(log.len(), 6000);
    let scene = scene.reopened().await;
    assert_eq!(scene.log().await, log);
    scene.fill(6500).await;
    scene.log().await;
}
