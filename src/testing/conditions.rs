//! P4, conditions: an append is refused if an event that it rules out was recorded after a
//! position.

use super::{case::case_table, draft::Draft, oracle::first_match, random::Random, scene::Scene};
use crate::{
    models::{Error, EventFilter, Position, STREAM_DELETED},
    repository::ReadPlan,
};

case_table! { Guarded:
    each_criterion_of_a_condition_counts,
    a_condition_names_the_first_event_that_it_rules_out,
    random_conditions_are_decided_as_by_hand,
    only_events_after_the_position_count,
    events_of_the_append_itself_do_not_count,
    a_decision_on_a_read_is_guarded_by_where_it_looked,
    a_condition_speaks_of_times_too,
    events_of_deleted_streams_count,
}

fn all() -> EventFilter {
    EventFilter::all()
}

/// Asks for an append that rules out `filter` after `after`; tells which event spoke against it.
async fn ask(scene: &Scene, filter: EventFilter, after: u64) -> Option<u64> {
    let draft = Draft::to("asked")
        .event("Asked")
        .tags(&["asked"])
        .unless(filter, after);
    let before = scene.head().await;
    match scene.append(draft).await {
        Ok(receipt) => {
            assert_eq!(receipt.first.get(), before + 1);
            None
        }
        Err(Error::ConditionFailed { position }) => {
            assert_eq!(scene.head().await, before, "a refused append wrote");
            Some(position.get())
        }
        Err(error) => panic!("{error:?} instead of a failed condition"),
    }
}

async fn each_criterion_of_a_condition_counts(scene: Scene) {
    let now = scene.clock.advance(1000);
    scene
        .write(
            Draft::to("order-1")
                .event("Placed")
                .tags(&["customer:7", "eu"]),
        )
        .await;
    let later = scene.clock.advance(1000);
    let refused = [
        all(),
        all().types(["Placed"]),
        all().types(["Other", "Placed"]),
        all().streams(["order-1"]),
        all().streams(["other", "order-1"]),
        all().stream_prefix("order-"),
        all().stream_prefix(""),
        all().stream_prefix("order-1"),
        all().tags(["customer:7"]),
        all().tags(["eu", "customer:7"]),
        all().recorded_since(now),
        all().recorded_until(now),
        all()
            .types(["Placed"])
            .stream_prefix("o")
            .tags(["eu"])
            .recorded_until(later),
        all().types(["Other"]).or(all().tags(["eu"])),
        all().tags(["eu"]).or(all().types(["Other"])),
    ];
    for filter in refused {
        assert_eq!(ask(&scene, filter.clone(), 0).await, Some(1), "{filter:?}");
    }
    let admitted = [
        all().types(["placed"]),
        all().types(["Place"]),
        all().streams(["order-"]),
        all().streams([""]),
        all().stream_prefix("order-11"),
        all().stream_prefix("rder"),
        all().tags(["customer"]),
        all().tags(["customer:77"]),
        all().tags(["eu", "us"]),
        all().recorded_since(later),
        all().types(["Placed"]).tags(["us"]),
        all().types(["Placed"]).streams(["order-2"]),
        all()
            .types(["Placed"])
            .recorded_since(later)
            .stream_prefix("order-"),
        all().types(["Other"]).or(all().tags(["us"])),
    ];
    for filter in admitted {
        let scene = scene.other_topic("admitted").await;
        scene.clock.advance(-1000);
        let same = Draft::to("order-1")
            .event("Placed")
            .tags(&["customer:7", "eu"]);
        scene.write(same).await;
        scene.clock.advance(1000);
        assert_eq!(ask(&scene, filter.clone(), 0).await, None, "{filter:?}");
    }
}

async fn a_condition_names_the_first_event_that_it_rules_out(scene: Scene) {
    for number in 1..=30 {
        let tag = if number % 5 == 0 { "five" } else { "other" };
        scene
            .write(Draft::to("s").event("Given").tags(&[tag]))
            .await;
    }
    for after in 0..30 {
        let next = (after / 5 + 1) * 5;
        let found = ask(&scene, all().tags(["five"]), after).await;
        assert_eq!(found, Some(next), "after {after}");
    }
    assert_eq!(ask(&scene, all().tags(["five"]), 30).await, None);
}

async fn random_conditions_are_decided_as_by_hand(scene: Scene) {
    let mut random = Random::new(21);
    let begin = scene.clock.advance(0);
    let mut scene = scene;
    let mut log = Vec::new();
    let mut refused = 0;
    for round in 0..400 {
        scene.clock.advance(1);
        let after = random.below(log.len() as u64 + 3);
        let filter = random.filter(begin, 400);
        let expected = first_match(&log, &filter, Position::new(after));
        let outcome = scene
            .append(random.draft().unless(filter.clone(), after))
            .await;
        match (outcome, expected) {
            (Ok(_), None) => log = scene.log().await,
            (Err(Error::ConditionFailed { position }), Some(expected)) => {
                refused += 1;
                assert_eq!(position, expected, "{filter:?} after {after}");
            }
            (outcome, expected) => {
                panic!("{filter:?} after {after}: {outcome:?}, and by hand {expected:?}")
            }
        }
        if round % 100 == 99 {
            scene = scene.reopened().await;
        }
    }
    assert!(
        refused > 50 && log.len() > 100,
        "{refused} refused, {} recorded",
        log.len()
    );
}

async fn only_events_after_the_position_count(scene: Scene) {
    scene.write(Draft::to("s").events(4, "Given")).await;
    assert_eq!(ask(&scene, all(), 3).await, Some(4));
    assert_eq!(ask(&scene, all(), 4).await, None);
    let head = scene.head().await;
    assert_eq!(ask(&scene, all(), head + 10).await, None, "beyond the head");
    assert_eq!(
        ask(&scene, all(), u64::MAX).await,
        None,
        "beyond everything"
    );
    assert_eq!(ask(&scene, all(), 0).await, Some(1));
}

async fn events_of_the_append_itself_do_not_count(scene: Scene) {
    for _ in 0..3 {
        let after = scene.head().await;
        let own = Draft::to("s")
            .events(3, "Own")
            .unless(all().types(["Own"]), after);
        scene.write(own).await;
    }
    assert_eq!(scene.log().await.len(), 9);
}

async fn a_decision_on_a_read_is_guarded_by_where_it_looked(scene: Scene) {
    scene
        .write(Draft::to("s").event("Given").tags(&["x"]))
        .await;
    scene.write(Draft::to("t").events(3, "Other")).await;
    let filter = all().tags(["x"]);
    let mut plan = ReadPlan::all_after(Position::START);
    plan.filter = filter.clone();
    let looked_to = scene.pages(plan).await.unwrap().last().unwrap().looked_to;
    scene.write(Draft::to("t").event("Other")).await;
    assert_eq!(ask(&scene, filter.clone(), looked_to.get()).await, None);
    let rival = scene
        .write(Draft::to("u").event("Given").tags(&["x"]))
        .await;
    let refused = ask(&scene, filter, looked_to.get()).await;
    assert_eq!(refused, Some(rival.first.get()));
}

async fn a_condition_speaks_of_times_too(scene: Scene) {
    let first = scene.clock.advance(10);
    scene.write(Draft::to("s").event("Given")).await;
    let second = scene.clock.advance(10);
    scene.write(Draft::to("s").event("Given")).await;
    let given = all().types(["Given"]);
    assert_eq!(
        ask(&scene, given.clone().recorded_since(second), 0).await,
        Some(2)
    );
    assert_eq!(
        ask(&scene, given.clone().recorded_until(first), 0).await,
        Some(1)
    );
    assert_eq!(
        ask(&scene, given.clone().recorded_until(first), 1).await,
        None
    );
    let third = scene.clock.advance(10);
    assert_eq!(ask(&scene, given.recorded_since(third), 0).await, None);
}

async fn events_of_deleted_streams_count(scene: Scene) {
    scene
        .write(Draft::to("gone").event("Given").tags(&["x"]))
        .await;
    scene.write(Draft::to("gone").event(STREAM_DELETED)).await;
    assert_eq!(ask(&scene, all().tags(["x"]), 0).await, Some(1));
    assert_eq!(ask(&scene, all().streams(["gone"]), 1).await, Some(2));
    assert_eq!(ask(&scene, all().types([STREAM_DELETED]), 0).await, Some(2));
}
