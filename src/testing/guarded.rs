//! P4, expected versions: of appends that expect the same version, exactly one wins.

use super::{
    case::case_table,
    draft::{Draft, stream_id},
    scene::{Scene, race},
};
use crate::models::{
    AppendReceipt, Error, EventFilter, ExpectedVersion, Result, STREAM_DELETED, STREAM_RESTORED,
    Version,
};

case_table! { Guarded:
    every_expected_version_meets_every_state,
    of_two_writers_exactly_one_wins,
    of_many_writers_exactly_one_wins,
    a_version_is_that_of_its_own_stream,
    the_version_speaks_of_the_streams_of_the_append_only,
    streams_of_like_names_are_apart,
    counters_lose_no_update,
    writers_of_different_streams_do_not_refuse_one_another,
    guards_are_checked_in_their_order,
}

/// What each expectation says of a stream that exists or not, at `version`.
fn expectations(version: u64) -> Vec<(ExpectedVersion, bool)> {
    vec![
        (ExpectedVersion::Any, true),
        (ExpectedVersion::NoStream, version == 0),
        (ExpectedVersion::StreamExists, version > 0),
        (ExpectedVersion::exact(0), version == 0),
        (ExpectedVersion::exact(1), version == 1),
        (ExpectedVersion::exact(2), version == 2),
        (ExpectedVersion::exact(3), version == 3),
        (ExpectedVersion::exact(5), version == 5),
        (ExpectedVersion::exact(6), version == 6),
        (ExpectedVersion::Exact(Version::MAX), false),
    ]
}

async fn every_expected_version_meets_every_state(scene: Scene) {
    let mut number = 0;
    for (events, deleted_and_restored) in [(0, false), (1, false), (3, false), (3, true)] {
        let version = events + if deleted_and_restored { 2 } else { 0 };
        for (expected, admitted) in expectations(version) {
            number += 1;
            let name = format!("stream-{number}");
            for _ in 0..events {
                scene.write(Draft::to(&name).event("Given")).await;
            }
            if deleted_and_restored {
                scene.write(Draft::to(&name).event(STREAM_DELETED)).await;
                scene.write(Draft::to(&name).event(STREAM_RESTORED)).await;
            }
            let draft = Draft::to(&name).events(2, "Asked").expected(expected);
            if admitted {
                assert_eq!(scene.write(draft).await.version.get(), version + 2);
            } else {
                let error = scene.refuse(draft).await;
                assert_wrong(&error, &name, expected, version);
                assert!(error.is_conflict() && !error.is_retryable());
            }
        }
    }
    scene.log().await;
}

fn assert_wrong(error: &Error, name: &str, wanted: ExpectedVersion, version: u64) {
    let Error::WrongExpectedVersion {
        stream,
        expected,
        actual,
    } = error
    else {
        panic!("{error:?} instead of a wrong expected version");
    };
    let found = (stream, *expected, actual.get());
    assert_eq!(found, (&stream_id(name), wanted, version));
}

/// Lets `writers` expect the same version of one stream at once, and checks that one wins.
async fn race_for(scene: &Scene, writers: u64, expected: ExpectedVersion, version: u64) {
    let outcomes: Vec<Result<AppendReceipt>> = race(writers, |_| {
        let scene = scene.clone();
        async move {
            scene
                .append(Draft::to("raced").event("Asked").expected(expected))
                .await
        }
    })
    .await;
    let winners = outcomes.iter().flatten().count();
    assert_eq!(winners, 1, "winners at version {version}");
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_wrong(&error, "raced", expected, version + 1);
    }
    assert_eq!(scene.stream("raced").await.version.get(), version + 1);
    assert_eq!(scene.head().await, version + 1);
}

async fn of_two_writers_exactly_one_wins(scene: Scene) {
    race_for(&scene, 2, ExpectedVersion::NoStream, 0).await;
    for version in 1..25 {
        race_for(&scene, 2, ExpectedVersion::exact(version), version).await;
    }
    assert_eq!(scene.log().await.len(), 25);
}

async fn of_many_writers_exactly_one_wins(scene: Scene) {
    race_for(&scene, 32, ExpectedVersion::NoStream, 0).await;
    for version in 1..8 {
        race_for(&scene, 32, ExpectedVersion::exact(version), version).await;
    }
    assert_eq!(scene.log().await.len(), 8);
}

async fn a_version_is_that_of_its_own_stream(scene: Scene) {
    scene.write(Draft::to("a").events(3, "Given")).await;
    scene.write(Draft::to("").events(2, "Given")).await;
    let expected = ExpectedVersion::NoStream;
    scene
        .write(Draft::to("b").event("Asked").expected(expected))
        .await;
    let expected = ExpectedVersion::exact(2);
    let receipt = scene
        .write(Draft::to("").event("Asked").expected(expected))
        .await;
    assert_eq!(receipt.version.get(), 3);
    let expected = ExpectedVersion::exact(3);
    scene
        .write(Draft::to("a").event("Asked").expected(expected))
        .await;
}

async fn the_version_speaks_of_the_streams_of_the_append_only(scene: Scene) {
    scene.write(Draft::to("a").events(2, "Given")).await;
    let spread = Draft::to("a").event("Asked").in_stream("b");
    let wrong = spread.clone().expected(ExpectedVersion::exact(0));
    assert_wrong(
        &scene.refuse(wrong).await,
        "a",
        ExpectedVersion::exact(0),
        2,
    );
    let receipt = scene
        .write(spread.expected(ExpectedVersion::exact(2)))
        .await;
    assert_eq!(receipt.version.get(), 2, "no event of it is in its stream");
    let both = Draft::to("a").event("Asked").event("Asked").in_stream("b");
    let receipt = scene.write(both.expected(ExpectedVersion::exact(2))).await;
    assert_eq!(
        receipt.version.get(),
        3,
        "the last of its events in its stream"
    );
    assert_eq!(scene.stream("b").await.version.get(), 2);
}

async fn streams_of_like_names_are_apart(scene: Scene) {
    let names = [
        "a", "A", "a ", " a", "a/", "a-", "", "aa", "ä", "a\u{308}", "%61",
    ];
    for name in names {
        let expected = ExpectedVersion::NoStream;
        let receipt = scene
            .write(Draft::to(name).events(2, "Given").expected(expected))
            .await;
        assert_eq!(receipt.version.get(), 2, "{name:?}");
    }
    for name in names {
        assert_eq!(scene.stream(name).await.version.get(), 2, "{name:?}");
    }
}

async fn counters_lose_no_update(scene: Scene) {
    const TASKS: u64 = 8;
    const ADDITIONS: u64 = 12;
    let refusals = race(TASKS, |_| {
        let scene = scene.clone();
        async move {
            let mut refused = 0;
            let mut done = 0;
            while done < ADDITIONS {
                let seen = scene.stream("counter").await.version;
                let draft = Draft::to("counter").event("Added").expected(seen.into());
                match scene.append(draft).await {
                    Ok(receipt) => {
                        assert_eq!(receipt.version, seen.next());
                        done += 1;
                    }
                    Err(Error::WrongExpectedVersion { actual, .. }) if actual > seen => {
                        refused += 1;
                    }
                    Err(error) => panic!("{error:?} when {seen} was expected"),
                }
            }
            refused
        }
    });
    let refused: u64 = refusals.await.into_iter().sum();
    assert_eq!(
        scene.log().await.len() as u64,
        TASKS * ADDITIONS,
        "{refused} refused"
    );
}

async fn writers_of_different_streams_do_not_refuse_one_another(scene: Scene) {
    race(16, |number| {
        let scene = scene.clone();
        async move {
            for version in 0..15 {
                let draft = Draft::to(&format!("own-{number}")).event("Asked");
                scene
                    .write(draft.expected(ExpectedVersion::exact(version)))
                    .await;
            }
        }
    })
    .await;
    assert_eq!(scene.log().await.len(), 16 * 15);
}

async fn guards_are_checked_in_their_order(scene: Scene) {
    let recorded = Draft::to("s").event("Given").tags(&["x"]);
    scene.write(recorded.clone()).await;
    let wrong = ExpectedVersion::NoStream;
    let ruled_out = EventFilter::all().tags(["x"]);
    let asked = Draft::to("s").event("Asked");

    let both = asked.clone().expected(wrong).unless(ruled_out.clone(), 0);
    assert_wrong(&scene.refuse(both).await, "s", wrong, 1);
    let right = Draft::to("s")
        .event("Asked")
        .expected(ExpectedVersion::exact(1));
    let error = scene
        .refuse(right.clone().unless(ruled_out.clone(), 0))
        .await;
    assert!(matches!(error, Error::ConditionFailed { position } if position.get() == 1));
    let mixed = asked
        .clone()
        .and(&recorded)
        .expected(wrong)
        .unless(ruled_out.clone(), 0);
    let error = scene.refuse(mixed).await;
    assert!(
        matches!(error, Error::IdempotencyConflict { .. }),
        "{error:?}"
    );
    let repeated = recorded.expected(wrong).unless(ruled_out.clone(), 0);
    assert_eq!(scene.repeat(repeated.clone()).await.version.get(), 1);

    scene.write(right.unless(ruled_out.clone(), 1)).await;
    scene.write(Draft::to("s").event(STREAM_DELETED)).await;
    let error = scene
        .refuse(asked.expected(wrong).unless(ruled_out, 0))
        .await;
    assert!(matches!(error, Error::StreamDeleted { .. }), "{error:?}");
    assert_eq!(scene.repeat(repeated).await.version.get(), 1);
}
