//! P3: positions and versions have no holes, never change, and become visible in order.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::StreamExt;

use super::{
    case::case_table,
    draft::Draft,
    scene::{Scene, race},
};
use crate::{
    models::{Direction, Position, Timestamp},
    repository::ReadPlan,
};

case_table! { Ordered:
    the_first_event_has_position_and_version_one,
    many_writers_leave_no_gap,
    every_read_beside_writers_is_a_beginning_of_the_log,
    heads_never_go_back,
    an_append_begun_after_another_ended_comes_after_it,
    a_read_ends_where_the_topic_ended_when_it_began,
    a_read_that_was_not_polled_has_not_begun,
    a_refused_append_leaves_no_gap,
    times_never_run_backwards,
    times_are_those_of_the_clock,
    a_clock_that_is_set_back_before_the_first_event_is_followed,
}

async fn the_first_event_has_position_and_version_one(scene: Scene) {
    assert_eq!(scene.head().await, 0);
    assert_eq!(scene.stream("s").await.version.get(), 0);
    assert!(scene.log().await.is_empty());
    let receipt = scene.write(Draft::to("s").event("One")).await;
    let place = (
        receipt.first.get(),
        receipt.last.get(),
        receipt.version.get(),
    );
    assert_eq!(place, (1, 1, 1));
    let receipt = scene.write(Draft::to("t").events(3, "Two")).await;
    let place = (
        receipt.first.get(),
        receipt.last.get(),
        receipt.version.get(),
    );
    assert_eq!(place, (2, 4, 3));
    assert_eq!((scene.head().await, scene.log().await.len()), (4, 4));
}

async fn many_writers_leave_no_gap(scene: Scene) {
    let receipts = race(16, |number| {
        let scene = scene.clone();
        async move {
            let mut receipts = Vec::new();
            for append in 0..20 {
                let draft = Draft::to(&format!("s-{}", (number + append) % 5))
                    .events(1 + usize::try_from(append % 3).unwrap(), "Part");
                receipts.push(scene.write(draft).await);
            }
            receipts
        }
    });
    let mut receipts: Vec<_> = receipts.await.into_iter().flatten().collect();
    receipts.sort_by_key(|receipt| receipt.first);
    let mut next = Position::START.next();
    for receipt in receipts {
        assert_eq!(receipt.first, next, "receipts tile the topic");
        next = receipt.last.next();
    }
    let log = scene.log().await;
    assert_eq!(log.len() as u64, next.get() - 1);
}

async fn every_read_beside_writers_is_a_beginning_of_the_log(scene: Scene) {
    let reads = race(8, |number| {
        let scene = scene.clone();
        async move {
            let mut reads = Vec::new();
            for _ in 0..40 {
                if number < 6 {
                    scene
                        .write(Draft::to(&format!("s-{number}")).event("Part"))
                        .await;
                } else {
                    reads.push(scene.log().await);
                    tokio::task::yield_now().await;
                }
            }
            reads
        }
    });
    let reads = reads.await;
    let log = scene.log().await;
    for of_one_reader in reads {
        let mut longest = 0;
        for read in of_one_reader {
            assert_eq!(read[..], log[..read.len()], "what was seen has changed");
            assert!(read.len() >= longest, "what was seen has gone");
            longest = read.len();
        }
    }
}

async fn heads_never_go_back(scene: Scene) {
    race(6, |number| {
        let scene = scene.clone();
        async move {
            let mut last = (0, 0);
            for _ in 0..80 {
                if number < 3 {
                    scene.write(Draft::to("s").event("Part")).await;
                }
                let seen = (scene.head().await, scene.stream("s").await.version.get());
                assert!(
                    seen.0 >= last.0 && seen.1 >= last.1,
                    "{last:?}, then {seen:?}"
                );
                last = seen;
            }
        }
    })
    .await;
}

async fn an_append_begun_after_another_ended_comes_after_it(scene: Scene) {
    let acknowledged = Arc::new(AtomicU64::new(0));
    race(8, |number| {
        let (scene, acknowledged) = (scene.clone(), Arc::clone(&acknowledged));
        async move {
            for _ in 0..40 {
                let before = acknowledged.load(Ordering::SeqCst);
                let receipt = scene
                    .write(Draft::to(&format!("s-{number}")).event("Part"))
                    .await;
                assert!(
                    receipt.first.get() > before,
                    "{receipt:?} came before {before}, which was acknowledged when it began"
                );
                acknowledged.fetch_max(receipt.last.get(), Ordering::SeqCst);
            }
        }
    })
    .await;
}

async fn a_read_ends_where_the_topic_ended_when_it_began(scene: Scene) {
    scene.fill(3000).await;
    for direction in [Direction::Forward, Direction::Backward] {
        let end = scene.head().await;
        let mut plan = ReadPlan::all_after(Position::START);
        plan.direction = direction;
        let mut read = scene.repository.read(&scene.placement, plan);
        let mut events = read.next().await.unwrap().unwrap().events;
        scene.write(Draft::to("s").events(5, "Later")).await;
        while let Some(page) = read.next().await {
            events.extend(page.unwrap().events);
        }
        assert_eq!(events.len() as u64, end, "{direction:?}");
        assert!(events.iter().all(|event| event.position.get() <= end));
    }
}

async fn a_read_that_was_not_polled_has_not_begun(scene: Scene) {
    scene.write(Draft::to("s").event("Before")).await;
    let plan = ReadPlan::all_after(Position::START);
    let read = scene.repository.read(&scene.placement, plan);
    scene.write(Draft::to("s").event("After")).await;
    let pages = super::scene::collect(read).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.events.len()).sum::<usize>(), 2);
}

async fn a_refused_append_leaves_no_gap(scene: Scene) {
    for round in 1..=10 {
        let written = scene.write(Draft::to("s").event("Part")).await;
        assert_eq!(written.first.get(), round);
        let expected = crate::models::ExpectedVersion::NoStream;
        scene
            .refuse(Draft::to("s").events(3, "Refused").expected(expected))
            .await;
    }
    let receipts = race(12, |_| {
        let scene = scene.clone();
        let expected = crate::models::ExpectedVersion::exact(10);
        async move {
            scene
                .append(Draft::to("s").event("Raced").expected(expected))
                .await
        }
    });
    let won = receipts.await.into_iter().filter(Result::is_ok).count();
    assert_eq!((won, scene.log().await.len()), (1, 11));
}

async fn times_never_run_backwards(scene: Scene) {
    let mut scene = scene;
    let mut latest = Timestamp::from_micros(i64::MIN);
    for (step, by) in [5, -10, 3_600_000_000, -7_200_000_000, 0, 1]
        .into_iter()
        .enumerate()
    {
        let now = scene.clock.advance(by);
        scene.write(Draft::to("s").events(2, "Part")).await;
        let recorded_at = scene.log().await.last().unwrap().recorded_at;
        assert_eq!(recorded_at, latest.max(now), "step {step}");
        latest = recorded_at;
        if step % 2 == 1 {
            scene = scene.reopened().await;
        } else {
            scene = scene.further_handle().await;
        }
    }
    let racing = race(6, |number| {
        let scene = scene.clone();
        async move {
            for step in 0..20 {
                scene
                    .clock
                    .advance(if (number + step) % 2 == 0 { -40 } else { 50 });
                scene.write(Draft::to("s").event("Part")).await;
            }
        }
    });
    racing.await;
    scene.log().await;
}

async fn times_are_those_of_the_clock(scene: Scene) {
    for step in 1..20 {
        let now = scene.clock.advance(step * 7);
        scene.write(Draft::to("s").events(3, "Part")).await;
        let log = scene.log().await;
        assert!(
            log.iter()
                .rev()
                .take(3)
                .all(|event| event.recorded_at == now)
        );
    }
}

async fn a_clock_that_is_set_back_before_the_first_event_is_followed(scene: Scene) {
    let now = scene.clock.advance(-86_400_000_000);
    scene.write(Draft::to("s").event("Part")).await;
    assert_eq!(scene.log().await[0].recorded_at, now);
    let scene = scene.reopened().await;
    assert_eq!(scene.log().await[0].recorded_at, now);
}
