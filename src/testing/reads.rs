//! P6 for reads: a read gives what its plan means, all of it and nothing else, and tells how far
//! it has looked.

use futures_util::StreamExt;

use super::{
    case::case_table,
    draft::{Draft, stream_id},
    oracle::stream_state,
    random::Random,
    scene::Scene,
};
use crate::{
    models::{Direction, EventFilter, Position, RecordedEvent, Timestamp, Version},
    repository::ReadPlan,
};

case_table! { Exact:
    random_reads_give_what_their_plan_means,
    random_reads_of_a_long_topic_give_what_their_plan_means,
    reads_of_small_and_large_events_give_what_their_plan_means,
    bounds_are_what_they_say,
    versions_bound_reads_of_a_stream,
    a_filtered_read_moves_on_though_nothing_matches,
    reads_of_nothing_tell_their_end,
    a_read_continued_from_where_it_looked_misses_nothing,
    the_limit_counts_events_that_match,
    a_read_of_several_pages_tells_no_more_than_it_has_looked_at,
}

/// A topic of random events, with some streams deleted and some restored.
async fn random_topic(scene: &Scene, random: &mut Random, appends: u64) -> Vec<RecordedEvent> {
    for number in 0..appends {
        scene.clock.advance(i64::try_from(number % 4).unwrap());
        if number == appends / 2 {
            scene
                .write(Draft::to("b-1").event(crate::models::STREAM_DELETED))
                .await;
            scene
                .write(Draft::to("b-1").event(crate::models::STREAM_RESTORED))
                .await;
        }
        scene.write(random.draft()).await;
    }
    let log = scene.log().await;
    for stream in ["", "a-1", "a-2", "b-1", "B-1", "nobody"] {
        let expected = stream_state(&log, &stream_id(stream));
        assert_eq!(scene.stream(stream).await, expected, "{stream:?}");
    }
    log
}

/// Compares `count` random reads with what they have to give.
async fn check_random_reads(scene: &Scene, log: &[RecordedEvent], random: &mut Random, count: u32) {
    let begin = log[0].recorded_at;
    let span = begin.until(log[log.len() - 1].recorded_at).as_micros();
    for _ in 0..count {
        let span = u64::try_from(span).unwrap() + 2;
        let plan = random.plan(log.len() as u64, begin, span);
        scene.check_read(log, plan).await;
    }
}

async fn random_reads_give_what_their_plan_means(scene: Scene) {
    let mut random = Random::new(31);
    let log = random_topic(&scene, &mut random, 120).await;
    check_random_reads(&scene, &log, &mut random, 1500).await;
    let scene = scene.reopened().await;
    check_random_reads(&scene, &log, &mut random, 500).await;
}

async fn random_reads_of_a_long_topic_give_what_their_plan_means(scene: Scene) {
    let mut random = Random::new(32);
    random_topic(&scene, &mut random, 60).await;
    scene.fill(4000).await;
    let log = random_topic(&scene, &mut random, 60).await;
    check_random_reads(&scene, &log, &mut random, 150).await;
    let scene = scene.reopened().await;
    check_random_reads(&scene, &log, &mut random, 50).await;
}

/// Pages end by their events here and by their bytes there, and one event is more than a page.
async fn reads_of_small_and_large_events_give_what_their_plan_means(scene: Scene) {
    let mut random = Random::new(33);
    random_topic(&scene, &mut random, 20).await;
    scene.fill(4000).await;
    let large = |draft: Draft, size: usize| draft.event("Large").payload(vec![b'1'; size]);
    for (stream, head) in [("a-1", 4020), ("b-1", 4040)] {
        let several = (0..5).fold(Draft::to(stream), |draft, _| large(draft, 400_000));
        scene.write(several).await;
        scene.fill(head).await;
    }
    scene.write(large(Draft::to("a-1"), 2_000_000)).await;
    scene.fill(6500).await;
    let log = random_topic(&scene, &mut random, 20).await;
    check_random_reads(&scene, &log, &mut random, 40).await;
    for direction in [Direction::Forward, Direction::Backward] {
        for limit in [None, Some(4100), Some(log.len() as u64)] {
            let mut plan = ReadPlan::all_after(Position::START);
            plan.direction = direction;
            plan.limit = limit;
            scene.check_read(&log, plan.clone()).await;
            plan.stream = Some(stream_id("a-1"));
            plan.include_deleted = true;
            scene.check_read(&log, plan).await;
        }
    }
}

async fn bounds_are_what_they_say(scene: Scene) {
    scene.write(Draft::to("s").events(6, "Given")).await;
    let log = scene.log().await;
    for direction in [Direction::Forward, Direction::Backward] {
        for after in (0..8).chain([u64::MAX]) {
            for up_to in (0..8).chain([u64::MAX]) {
                for limit in [None, Some(1), Some(2), Some(6), Some(7)] {
                    let mut plan = ReadPlan::all_after(Position::new(after));
                    plan.up_to = Position::new(up_to);
                    plan.direction = direction;
                    plan.limit = limit;
                    scene.check_read(&log, plan.clone()).await;
                    plan.stream = Some(stream_id("s"));
                    scene.check_read(&log, plan).await;
                }
            }
        }
    }
}

async fn versions_bound_reads_of_a_stream(scene: Scene) {
    for round in 0..6 {
        let other = Draft::to("other").events(round, "Given").event("Given");
        scene.write(other).await;
        scene.write(Draft::to("s").event("Given")).await;
    }
    let log = scene.log().await;
    for direction in [Direction::Forward, Direction::Backward] {
        for after in (0..8).chain([u64::MAX]) {
            for up_to in (0..8).chain([u64::MAX]) {
                let mut plan = ReadPlan::all_after(Position::START);
                plan.stream = Some(stream_id("s"));
                plan.after_version = Version::new(after);
                plan.up_to_version = Version::new(up_to);
                plan.direction = direction;
                scene.check_read(&log, plan.clone()).await;
                plan.limit = Some(2);
                scene.check_read(&log, plan.clone()).await;
                plan.after = Position::new(8);
                scene.check_read(&log, plan).await;
            }
        }
    }
}

async fn a_filtered_read_moves_on_though_nothing_matches(scene: Scene) {
    scene.fill(2500).await;
    let filters = [
        EventFilter::all().types(["Nothing"]),
        EventFilter::all().tags(["nothing"]),
        EventFilter::all().streams(["nothing"]),
        EventFilter::all().stream_prefix("nothing"),
        EventFilter::all().types(["Filled"]).tags(["nothing"]),
        EventFilter::all().recorded_since(Timestamp::from_micros(i64::MAX)),
        EventFilter::all().recorded_until(Timestamp::from_micros(0)),
    ];
    for filter in filters {
        for after in [0, 1000, 2500] {
            let mut plan = ReadPlan::all_after(Position::new(after));
            plan.filter = filter.clone();
            let pages = scene.pages(plan).await.unwrap();
            assert!(pages.iter().all(|page| page.events.is_empty()));
            let last = pages.last().expect("a page tells the end");
            assert_eq!(last.looked_to.get(), 2500, "{filter:?}");
        }
    }
}

async fn reads_of_nothing_tell_their_end(scene: Scene) {
    let mut plans = vec![ReadPlan::all_after(Position::START)];
    plans.push(ReadPlan::all_after(Position::new(5)));
    let mut of_nobody = ReadPlan::all_after(Position::START);
    of_nobody.stream = Some(stream_id("nobody"));
    plans.push(of_nobody.clone());
    of_nobody.direction = Direction::Backward;
    plans.push(of_nobody);
    for plan in &plans {
        scene.check_read(&[], plan.clone()).await;
    }
    scene.write(Draft::to("s").events(3, "Given")).await;
    let log = scene.log().await;
    for plan in plans {
        scene.check_read(&log, plan.clone()).await;
        let none = ReadPlan {
            limit: Some(0),
            ..plan
        };
        assert!(
            scene.read(none).await.unwrap().is_empty(),
            "a limit of none"
        );
    }
}

async fn a_read_continued_from_where_it_looked_misses_nothing(scene: Scene) {
    let mut random = Random::new(33);
    random_topic(&scene, &mut random, 150).await;
    scene.fill(1200).await;
    let log = random_topic(&scene, &mut random, 50).await;
    let begin = log[0].recorded_at;
    for _ in 0..60 {
        let mut plan = ReadPlan::all_after(Position::START);
        plan.filter = random.filter(begin, 300);
        let wanted = super::expected_events(&log, &plan);
        plan.limit = Some(1 + random.below(40));
        let mut found = Vec::new();
        while plan.after.get() < log.len() as u64 {
            // Stops after some page, as a reader does that goes away and comes back.
            let pages = 1 + usize::try_from(random.below(2)).unwrap();
            let read = scene.repository.read(&scene.placement, plan.clone());
            let pages: Vec<_> = read.take(pages).collect().await;
            let before = plan.after;
            for page in pages {
                let page = page.unwrap();
                found.extend(page.events);
                plan.after = page.looked_to;
            }
            assert!(plan.after > before, "{plan:?} does not move on");
        }
        assert_eq!(found, wanted, "{:?}", plan.filter);
    }
}

async fn the_limit_counts_events_that_match(scene: Scene) {
    for number in 0..60 {
        let event_type = if number % 6 == 0 { "Rare" } else { "Common" };
        scene.write(Draft::to("s").event(event_type)).await;
    }
    for (direction, expected) in [
        (Direction::Forward, [1, 7, 13]),
        (Direction::Backward, [55, 49, 43]),
    ] {
        let mut plan = ReadPlan::all_after(Position::START);
        plan.filter = EventFilter::all().types(["Rare"]);
        plan.direction = direction;
        plan.limit = Some(3);
        let events = scene.read(plan).await.unwrap();
        let positions: Vec<u64> = events.iter().map(|event| event.position.get()).collect();
        assert_eq!(positions, expected);
    }
}

/// Who is told that a read has looked further than it has would pass by events, and guard a decision
/// by what he has not seen.
async fn a_read_of_several_pages_tells_no_more_than_it_has_looked_at(scene: Scene) {
    scene.fill(1).await;
    scene.write(Draft::to("s").events(5999, "Given")).await;
    let filters = [
        EventFilter::all(),
        EventFilter::all().types(["Given"]),
        EventFilter::all().stream_prefix("s"),
    ];
    for filter in filters {
        let head = scene.head().await;
        let plan = ReadPlan {
            filter,
            ..ReadPlan::all_after(Position::START)
        };
        let mut read = scene.repository.read(&scene.placement, plan);
        let mut pages = 0;
        let mut last = None;
        while let Some(page) = read.next().await {
            let page = page.unwrap();
            let beyond = page.events.iter().any(|event| event.position.get() > head);
            assert!(!beyond, "it gave what came later");
            last = Some(page.looked_to.get());
            pages += 1;
            scene.write(Draft::to("s").events(3, "Given")).await;
        }
        assert!(pages > 1, "it needs several pages");
        assert_eq!(last, Some(head));
    }
}
