//! P4, seals: a topic that is sealed takes nothing, and its head is final.

use super::{
    case::case_table,
    draft::Draft,
    scene::{Scene, race},
};
use crate::{
    models::{Error, Position},
    repository::ReadPlan,
};

case_table! { Guarded:
    a_sealed_topic_takes_nothing_and_is_read_on,
    sealing_twice_is_sealing_once,
    an_unsealed_topic_goes_on,
    of_appends_beside_a_seal_the_head_tells_which_are_recorded,
    what_was_decided_on_before_changes_nothing,
    what_was_decided_on_before_is_known_to_all_who_write,
    an_empty_topic_can_be_sealed,
    a_seal_is_seen_through_every_handle,
    a_seal_is_of_one_topic,
}

fn assert_sealed(error: &Error, scene: &Scene) {
    let named = matches!(error, Error::TopicSealed { topic } if *topic == scene.placement.topic);
    assert!(named, "{error:?} instead of a sealed topic");
    assert!(error.is_retryable());
}

async fn is_sealed(scene: &Scene) -> bool {
    let state = scene.repository.state(&scene.placement, None).await;
    state.unwrap().sealed
}

async fn a_sealed_topic_takes_nothing_and_is_read_on(scene: Scene) {
    let recorded = Draft::to("s").events(3, "Given");
    scene.write(recorded.clone()).await;
    assert!(!is_sealed(&scene).await);
    let head = scene
        .repository
        .seal(&scene.placement, Position::START)
        .await
        .unwrap();
    assert_eq!(head.get(), 3);
    assert!(is_sealed(&scene).await);
    assert_sealed(&scene.refuse(Draft::to("s").event("Late")).await, &scene);
    assert_sealed(&scene.refuse(recorded).await, &scene);
    let log = scene.log().await;
    assert_eq!(log.len(), 3);
    scene
        .check_read(&log, ReadPlan::all_after(Position::new(1)))
        .await;
    assert_eq!(scene.stream("s").await.version.get(), 3);
    scene.repository.verify(&scene.placement).await.unwrap();
}

async fn sealing_twice_is_sealing_once(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Given")).await;
    let heads = race(6, |_| {
        let scene = scene.clone();
        async move {
            scene
                .repository
                .seal(&scene.placement, Position::START)
                .await
        }
    });
    for head in heads.await {
        assert_eq!(head.unwrap().get(), 2);
    }
    scene
        .repository
        .unseal(&scene.placement, Position::START)
        .await
        .unwrap();
    scene
        .repository
        .unseal(&scene.placement, Position::START)
        .await
        .unwrap();
    scene.write(Draft::to("s").event("Later")).await;
}

async fn an_unsealed_topic_goes_on(scene: Scene) {
    for round in 1..=5 {
        scene.write(Draft::to("s").event("Given")).await;
        assert_eq!(
            scene
                .repository
                .seal(&scene.placement, Position::START)
                .await
                .unwrap()
                .get(),
            round
        );
        assert_sealed(&scene.refuse(Draft::to("s").event("Late")).await, &scene);
        scene
            .repository
            .unseal(&scene.placement, Position::START)
            .await
            .unwrap();
        assert!(!is_sealed(&scene).await);
    }
    assert_eq!(scene.log().await.len(), 5);
}

async fn of_appends_beside_a_seal_the_head_tells_which_are_recorded(scene: Scene) {
    let outcomes = race(9, |number| {
        let scene = scene.clone();
        async move {
            if number == 8 {
                while scene.head().await < 30 {
                    tokio::task::yield_now().await;
                }
                return scene
                    .repository
                    .seal(&scene.placement, Position::START)
                    .await
                    .unwrap()
                    .get();
            }
            loop {
                match scene
                    .append(Draft::to(&format!("s-{number}")).event("Given"))
                    .await
                {
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) => {
                        assert_sealed(&error, &scene);
                        return 0;
                    }
                }
            }
        }
    });
    let head = outcomes.await[8];
    assert!(head >= 30);
    assert_eq!(scene.head().await, head, "the head was not final");
    assert_eq!(scene.log().await.len() as u64, head);
}

async fn seal(scene: &Scene, since: u64) {
    let since = Position::new(since);
    let sealed = scene.repository.seal(&scene.placement, since).await;
    assert_eq!(sealed.unwrap(), Position::new(scene.head().await));
}

async fn unseal(scene: &Scene, since: u64) {
    let since = Position::new(since);
    scene
        .repository
        .unseal(&scene.placement, since)
        .await
        .unwrap();
}

async fn what_was_decided_on_before_changes_nothing(scene: Scene) {
    scene.write(Draft::to("s").event("Given")).await;
    seal(&scene, 7).await;
    unseal(&scene, 6).await;
    assert!(is_sealed(&scene).await);
    unseal(&scene, 8).await;
    seal(&scene, 7).await;
    assert!(!is_sealed(&scene).await);
    scene.write(Draft::to("s").event("Given")).await;
    // That it is sealed anew counts, though it is sealed already.
    seal(&scene, 9).await;
    seal(&scene, 12).await;
    unseal(&scene, 11).await;
    assert!(is_sealed(&scene).await);
    unseal(&scene, 12).await;
    scene.write(Draft::to("s").event("Given")).await;
}

async fn what_was_decided_on_before_is_known_to_all_who_write(scene: Scene) {
    let further = scene.further_handle().await;
    for round in 0..3 {
        seal(&scene, 10 * round + 5).await;
        unseal(&further, 10 * round + 4).await;
        assert!(is_sealed(&further).await);
        unseal(&further, 10 * round + 8).await;
        seal(&scene, 10 * round + 7).await;
        assert!(!is_sealed(&scene).await);
        scene.write(Draft::to("s").event("Given")).await;
        further.write(Draft::to("s").event("Given")).await;
    }
}

async fn an_empty_topic_can_be_sealed(scene: Scene) {
    let head = scene
        .repository
        .seal(&scene.placement, Position::START)
        .await
        .unwrap();
    assert_eq!(head, Position::START);
    assert_sealed(&scene.refuse(Draft::to("s").event("Late")).await, &scene);
    scene
        .repository
        .unseal(&scene.placement, Position::START)
        .await
        .unwrap();
    scene.write(Draft::to("s").event("Later")).await;
}

async fn a_seal_is_seen_through_every_handle(scene: Scene) {
    let further = scene.further_handle().await;
    scene
        .repository
        .seal(&scene.placement, Position::START)
        .await
        .unwrap();
    assert!(is_sealed(&further).await);
    assert_sealed(
        &further.refuse(Draft::to("s").event("Late")).await,
        &further,
    );
    further
        .repository
        .unseal(&scene.placement, Position::START)
        .await
        .unwrap();
    scene.write(Draft::to("s").event("Later")).await;
}

async fn a_seal_is_of_one_topic(scene: Scene) {
    let other = scene.other_topic("other").await;
    scene
        .repository
        .seal(&scene.placement, Position::START)
        .await
        .unwrap();
    other.write(Draft::to("s").event("Given")).await;
    assert!(!is_sealed(&other).await);
}
