//! P4, conditions under concurrency: of appends that rule one another out, exactly one wins.

use super::{
    case::case_table,
    draft::Draft,
    scene::{Scene, race},
};
use crate::models::{Error, EventFilter, ExpectedVersion};

case_table! { Guarded:
    of_many_writers_with_one_condition_exactly_one_wins,
    conditions_that_do_not_meet_all_hold,
    two_conditions_that_rule_each_other_out_do_not_both_hold,
}

fn all() -> EventFilter {
    EventFilter::all()
}

async fn of_many_writers_with_one_condition_exactly_one_wins(scene: Scene) {
    for round in 0..10 {
        let tag = format!("seat:{round}");
        let after = scene.head().await;
        let outcomes = race(16, |number| {
            let (scene, tag) = (scene.clone(), tag.clone());
            let draft = Draft::to(&format!("booking-{round}-{number}")).event("Reserved");
            async move {
                let draft = draft.tags(&[&tag]).expected(ExpectedVersion::NoStream);
                scene.append(draft.unless(all().tags([&*tag]), after)).await
            }
        });
        let outcomes = outcomes.await;
        let won: Vec<_> = outcomes.iter().flatten().collect();
        assert_eq!(won.len(), 1, "seats of round {round}");
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            let first = won[0].first;
            let named = matches!(error, Error::ConditionFailed { position } if *position == first);
            assert!(named, "{error:?}, and the winner is at {first}");
        }
    }
    assert_eq!(scene.log().await.len(), 10);
}

async fn conditions_that_do_not_meet_all_hold(scene: Scene) {
    race(20, |number| {
        let scene = scene.clone();
        async move {
            let tag = format!("seat:{number}");
            let draft = Draft::to("bookings").event("Reserved").tags(&[&tag]);
            scene.write(draft.unless(all().tags([tag]), 0)).await;
        }
    })
    .await;
    assert_eq!(scene.log().await.len(), 20);
}

async fn two_conditions_that_rule_each_other_out_do_not_both_hold(scene: Scene) {
    for round in 0..25 {
        let after = scene.head().await;
        let outcomes = race(2, |number| {
            let scene = scene.clone();
            let (own, other) = if number == 0 {
                ("Left", "Right")
            } else {
                ("Right", "Left")
            };
            let draft = Draft::to(&format!("{own}-{round}")).event(own);
            async move {
                scene
                    .append(draft.unless(all().types([other]), after))
                    .await
            }
        });
        let won = outcomes.await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1, "round {round}: write skew");
    }
}
