//! P5 under concurrency: an append that is tried by many, or many times, is recorded once.

use super::{
    case::case_table,
    draft::Draft,
    scene::{Scene, race},
};
use crate::models::{Error, EventFilter, ExpectedVersion};

case_table! { Idempotent:
    of_many_identical_appends_exactly_one_is_written,
    identical_guarded_appends_all_succeed,
    identical_appends_through_several_handles_are_one,
    of_appends_that_share_some_ids_one_is_written,
    of_appends_with_other_content_under_one_id_one_is_written,
    retries_among_other_writers_are_recorded_once,
}

async fn of_many_identical_appends_exactly_one_is_written(scene: Scene) {
    for round in 0..10 {
        let draft = Draft::to("s").events(3, "Given");
        let receipts = race(16, |_| {
            let (scene, draft) = (scene.clone(), draft.clone());
            async move {
                scene
                    .append(draft)
                    .await
                    .expect("it is recorded or recognised")
            }
        });
        let receipts = receipts.await;
        let written = receipts.iter().filter(|receipt| !receipt.duplicate).count();
        assert_eq!(written, 1, "round {round}");
        for receipt in &receipts {
            assert_eq!(receipt.duplicate(), receipts[0].duplicate());
        }
        assert_eq!(scene.head().await, 3 * (round + 1));
    }
    assert_eq!(scene.log().await.len(), 30);
}

async fn identical_guarded_appends_all_succeed(scene: Scene) {
    for version in 0..10 {
        let draft = Draft::to("s").event("Given").tags(&["x"]);
        let draft = draft.expected(ExpectedVersion::exact(version));
        let draft = draft.unless(EventFilter::all().tags(["x"]), version);
        let outcomes = race(12, |_| {
            let (scene, draft) = (scene.clone(), draft.clone());
            async move { scene.append(draft).await }
        });
        // Whoever comes second finds its own event, not a conflict with it.
        for outcome in outcomes.await {
            assert_eq!(outcome.unwrap().version.get(), version + 1);
        }
    }
    assert_eq!(scene.log().await.len(), 10);
}

async fn identical_appends_through_several_handles_are_one(scene: Scene) {
    let handles = [
        scene.further_handle().await,
        scene.further_handle().await,
        scene,
    ];
    for _ in 0..10 {
        let draft = Draft::to("s").events(2, "Given");
        let receipts = race(9, |number| {
            let scene = handles[usize::try_from(number % 3).unwrap()].clone();
            let draft = draft.clone();
            async move { scene.append(draft).await.unwrap() }
        });
        let written = receipts.await.iter().filter(|one| !one.duplicate).count();
        assert_eq!(written, 1);
    }
    assert_eq!(handles[0].log().await.len(), 20);
}

async fn of_appends_that_share_some_ids_one_is_written(scene: Scene) {
    for _ in 0..20 {
        let all = Draft::to("s").events(3, "Given");
        let parts = [all.pick(&[0, 1]), all.pick(&[1, 2])];
        let outcomes = race(2, |number| {
            let scene = scene.clone();
            let part = parts[usize::try_from(number).unwrap()].clone();
            async move { scene.append(part).await }
        });
        let outcomes = outcomes.await;
        let won = outcomes.iter().flatten().count();
        assert_eq!(won, 1, "{outcomes:?}");
        let error = outcomes.into_iter().find_map(Result::err).unwrap();
        assert!(
            matches!(error, Error::IdempotencyConflict { .. }),
            "{error:?}"
        );
    }
    assert_eq!(scene.log().await.len(), 40);
}

async fn of_appends_with_other_content_under_one_id_one_is_written(scene: Scene) {
    for _ in 0..20 {
        let draft = Draft::to("s").event("Given");
        let outcomes = race(6, |number| {
            let scene = scene.clone();
            let own = draft.clone().payload(format!("{number}"));
            async move { scene.append(own).await }
        });
        let outcomes = outcomes.await;
        assert_eq!(outcomes.iter().flatten().count(), 1, "{outcomes:?}");
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert!(
                matches!(error, Error::IdempotencyConflict { .. }),
                "{error:?}"
            );
        }
    }
    assert_eq!(scene.log().await.len(), 20);
}

async fn retries_among_other_writers_are_recorded_once(scene: Scene) {
    race(8, |number| {
        let scene = scene.clone();
        async move {
            let mut mine = Vec::new();
            for _ in 0..15 {
                let draft = Draft::to(&format!("s-{}", number % 3)).events(2, "Given");
                mine.push((draft.clone(), scene.write(draft).await));
                for (draft, first) in mine.iter().rev().take(3) {
                    let again = scene.append(draft.clone()).await.unwrap();
                    assert_eq!(again, first.duplicate());
                }
            }
        }
    })
    .await;
    assert_eq!(scene.log().await.len(), 8 * 15 * 2);
}
