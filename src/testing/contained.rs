//! P11, as far as one repository carries it: what is wrong with one topic leaves the others
//! working, and what is closed says so.

use std::time::Duration;

use super::{
    case::case_table,
    draft::Draft,
    scene::{Scene, race, soon},
};
use crate::{
    models::{Error, HealthStatus, Position, Result, StorageId},
    repository::ReadPlan,
};

case_table! { Contained:
    after_close_every_call_answers_closed,
    closing_twice_is_closing_once,
    an_unknown_option_is_refused_and_makes_nothing,
    a_removed_topic_leaves_the_others_working,
    topics_of_one_name_do_not_meet,
    many_topics_work_side_by_side,
    health_tells_that_all_is_well,
    a_busy_topic_does_not_stop_a_quiet_one,
}

fn assert_closed<T: std::fmt::Debug>(what: &str, outcome: Result<T>) {
    assert!(
        matches!(outcome, Err(Error::Closed)),
        "{what} after a close: {outcome:?}"
    );
}

async fn after_close_every_call_answers_closed(scene: Scene) {
    scene.write(Draft::to("s").events(3, "Given")).await;
    let log = scene.log().await;
    let (repository, topic) = (&scene.repository, &scene.placement);
    let begun = repository.read(topic, ReadPlan::all_after(Position::START));
    soon("closing", repository.close()).await.unwrap();
    assert_closed("append", scene.append(Draft::to("s").event("Late")).await);
    assert_closed("prepare", repository.prepare(topic).await);
    assert_closed(
        "prepare",
        repository.prepare(&scene.site.placement("new")).await,
    );
    let plan = ReadPlan::all_after(Position::START);
    assert_closed("read", scene.read(plan).await);
    assert_closed(
        "read",
        super::scene::collect(begun).await.map(|pages| pages.len()),
    );
    assert_closed("state", repository.state(topic, None).await);
    assert_closed("wait", repository.wait_beyond(topic, Position::START).await);
    assert_closed("wait", repository.wait_beyond(topic, Position::MAX).await);
    assert_closed("seal", repository.seal(topic, Position::START).await);
    assert_closed("unseal", repository.unseal(topic, Position::START).await);
    assert_closed("import", repository.import(topic, log.clone()).await);
    assert_closed("verify", repository.verify(topic).await);
    assert_closed("list", repository.list().await);
    assert_closed("remove", repository.remove(topic.storage).await);
    assert_closed("remove", repository.remove(StorageId::generate()).await);
    soon("health", repository.health()).await;
    let scene = scene.reopened().await;
    assert_eq!(scene.log().await, log, "what was refused was not done");
}

async fn closing_twice_is_closing_once(scene: Scene) {
    scene.write(Draft::to("s").event("Given")).await;
    let closed = race(6, |_| {
        let scene = scene.clone();
        async move { soon("closing", scene.repository.close()).await }
    });
    closed
        .await
        .into_iter()
        .for_each(|outcome| outcome.unwrap());
    scene.repository.close().await.unwrap();
    assert_eq!(scene.reopened().await.log().await.len(), 1);
}

async fn an_unknown_option_is_refused_and_makes_nothing(scene: Scene) {
    let mut unknown = scene.site.placement("unknown");
    unknown.options.insert("no-such-option".into(), "1".into());
    let error = scene.repository.prepare(&unknown).await.unwrap_err();
    let Error::InvalidConfig { key, reason } = &error else {
        panic!("{error:?} instead of an invalid configuration");
    };
    assert!(key.contains("no-such-option"), "{key}: {reason}");
    assert_eq!(
        scene.repository.list().await.unwrap().len(),
        1,
        "nothing was made"
    );
    let mut known = scene.placement.clone();
    known.options.insert("no-such-option".into(), "1".into());
    let error = scene.repository.prepare(&known).await.unwrap_err();
    assert!(matches!(error, Error::InvalidConfig { .. }), "{error:?}");
    scene.write(Draft::to("s").event("Given")).await;
}

async fn a_removed_topic_leaves_the_others_working(scene: Scene) {
    let other = scene.other_topic("other").await;
    let writers = race(5, |number| {
        let (scene, other) = (scene.clone(), other.clone());
        async move {
            if number == 0 {
                while other.head().await < 20 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                other
                    .repository
                    .remove(other.placement.storage)
                    .await
                    .unwrap();
                return 0;
            }
            // Calls for what was removed may fail, and do not hang.
            for _ in 0..30 {
                let doomed = other.append(Draft::to("s").event("Doomed"));
                let _ = soon("an append to what is removed", doomed).await;
                scene.write(Draft::to("s").event("Given")).await;
            }
            30
        }
    });
    let written: usize = writers.await.into_iter().sum();
    assert_eq!(scene.log().await.len(), written);
    let scene = scene.reopened().await;
    assert_eq!(scene.log().await.len(), written);
}

async fn topics_of_one_name_do_not_meet(scene: Scene) {
    let second = scene.other_topic("topic").await;
    let third = scene.other_topic("topic").await;
    scene.write(Draft::to("s").events(2, "First")).await;
    third.write(Draft::to("s").events(3, "Third")).await;
    let heads = [&scene, &second, &third];
    for (topic, expected) in heads.into_iter().zip([2, 0, 3]) {
        assert_eq!(topic.head().await, expected);
        assert_eq!(topic.log().await.len() as u64, expected);
        assert_eq!(topic.stream("s").await.version.get(), expected);
    }
}

async fn many_topics_work_side_by_side(scene: Scene) {
    let topics = race(40, |number| {
        let scene = scene.clone();
        async move {
            let topic = scene.other_topic(&format!("topic-{number}")).await;
            for _ in 0..=number % 7 {
                topic.write(Draft::to("s").events(2, "Given")).await;
            }
            topic
        }
    });
    let topics = topics.await;
    assert_eq!(scene.repository.list().await.unwrap().len(), 41);
    let placements: Vec<_> = topics.into_iter().map(|topic| topic.placement).collect();
    let scene = scene.reopened().await;
    for (placement, number) in placements.into_iter().zip(0..) {
        let topic = Scene {
            placement,
            ..scene.clone()
        };
        assert_eq!(topic.log().await.len(), 2 * (number % 7 + 1));
    }
}

async fn health_tells_that_all_is_well(scene: Scene) {
    scene.other_topic("other").await;
    scene.write(Draft::to("s").event("Given")).await;
    let health = soon("health", scene.repository.health()).await;
    assert_eq!(health.status, HealthStatus::Up, "{health:?}");
    assert_eq!(health.last_error, None);
    assert!(!health.repository.is_empty());
    assert!(health.topics.is_none_or(|topics| topics == 2), "{health:?}");
}

async fn a_busy_topic_does_not_stop_a_quiet_one(scene: Scene) {
    let quiet = scene.other_topic("quiet").await;
    race(5, |number| {
        let (scene, quiet) = (scene.clone(), quiet.clone());
        async move {
            if number == 4 {
                for _ in 0..30 {
                    soon("a quiet topic", quiet.write(Draft::to("s").event("Given"))).await;
                    soon("a quiet topic", quiet.log()).await;
                }
                return;
            }
            for _ in 0..6 {
                let large = Draft::to("s")
                    .events(500, "Given")
                    .payload(vec![7; 1 << 18]);
                scene.write(large).await;
                scene.log().await;
            }
        }
    })
    .await;
    assert_eq!(quiet.log().await.len(), 30);
}
