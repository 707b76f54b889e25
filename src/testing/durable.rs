//! P1: what was acknowledged is there when the repository is opened again. (That it also survives
//! a dying machine is checked where machines can be made to die.)

use std::{sync::Arc, time::Duration};

use super::{
    TestClock,
    case::case_table,
    draft::Draft,
    random::Random,
    scene::{Scene, race, soon},
};
use crate::{
    models::{Error, Position, STREAM_DELETED},
    repository::EventRepository,
};

case_table! { Durable:
    a_topic_is_the_same_after_close_and_open,
    a_topic_is_the_same_after_every_one_of_many_reopenings,
    dropping_the_last_handle_without_close_loses_nothing,
    appends_of_many_writers_are_there_after_a_reopening,
    a_prepared_storage_is_there_after_a_reopening,
    preparing_again_changes_nothing,
    a_seal_and_its_end_are_there_after_a_reopening,
    a_removal_is_there_after_a_reopening,
}

async fn a_topic_is_the_same_after_close_and_open(scene: Scene) {
    let mut random = Random::new(11);
    for _ in 0..150 {
        scene.clock.advance(3);
        scene.write(random.draft()).await;
    }
    let log = scene.log().await;
    let states = (scene.stream("").await, scene.stream("a-1").await);
    let scene = scene.reopened().await;
    assert_eq!(scene.log().await, log);
    assert_eq!(states, (scene.stream("").await, scene.stream("a-1").await));
    for _ in 0..200 {
        let mut plan = random.plan(log.len() as u64, log[0].recorded_at, 500);
        plan.include_deleted = true;
        scene.check_read(&log, plan).await;
    }
}

async fn a_topic_is_the_same_after_every_one_of_many_reopenings(scene: Scene) {
    let mut random = Random::new(12);
    let mut scene = scene;
    let mut head = 0;
    for round in 0..12 {
        for _ in 0..random.below(20) {
            head = scene.write(random.draft()).await.last.get();
        }
        if round % 4 == 1 {
            head = scene
                .write(Draft::to("gone").event(STREAM_DELETED))
                .await
                .last
                .get();
            let restored = Draft::to("gone").event(crate::models::STREAM_RESTORED);
            head = scene.write(restored).await.last.get().max(head);
        }
        let log = scene.log().await;
        scene = scene.reopened().await;
        assert_eq!(scene.head().await, head);
        assert_eq!(scene.log().await, log);
    }
}

async fn dropping_the_last_handle_without_close_loses_nothing(scene: Scene) {
    let receipt = scene.write(Draft::to("s").events(3, "Kept")).await;
    let log = scene.log().await;
    let Scene {
        site,
        clock,
        repository,
        placement,
    } = scene;
    drop(repository);
    let repository = soon("opening after a drop", async {
        loop {
            // What the dropped handle held may be let go of a moment later.
            match site.open(Arc::<TestClock>::clone(&clock)).await {
                Err(Error::RepositoryLocked { .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                opened => return opened.expect("it opens"),
            }
        }
    });
    let repository: Arc<dyn EventRepository> = repository.await;
    let scene = Scene {
        site,
        clock,
        repository,
        placement,
    };
    assert_eq!(scene.head().await, receipt.last.get());
    assert_eq!(scene.log().await, log);
}

async fn appends_of_many_writers_are_there_after_a_reopening(scene: Scene) {
    let outcomes = race(12, |number| {
        let scene = scene.clone();
        async move {
            let mut acknowledged = Vec::new();
            for _ in 0..15 {
                let draft = Draft::to(&format!("s-{number}")).events(2, "Kept");
                let ids = draft.ids();
                acknowledged.push((scene.write(draft).await, ids));
            }
            acknowledged
        }
    });
    let acknowledged: Vec<_> = outcomes.await.into_iter().flatten().collect();
    let scene = scene.reopened().await;
    let log = scene.log().await;
    assert_eq!(log.len(), acknowledged.len() * 2);
    for (receipt, ids) in acknowledged {
        let first = usize::try_from(receipt.first.get()).unwrap() - 1;
        assert_eq!((log[first].id, log[first + 1].id), (ids[0], ids[1]));
        assert_eq!(log[first + 1].version, receipt.version);
    }
}

async fn a_prepared_storage_is_there_after_a_reopening(scene: Scene) {
    let other = scene.other_topic("other").await;
    let mut listed = scene.repository.list().await.unwrap();
    listed.sort_by_key(|entry| entry.storage);
    assert_eq!(listed.len(), 2);
    let scene = scene.reopened().await;
    let mut again = scene.repository.list().await.unwrap();
    again.sort_by_key(|entry| entry.storage);
    assert_eq!(again, listed);
    let entry = again
        .iter()
        .find(|entry| entry.storage == other.placement.storage);
    let entry = entry.expect("the storage is listed");
    assert_eq!(entry.topic, other.placement.topic);
    assert_eq!(entry.store, other.placement.store);
}

async fn preparing_again_changes_nothing(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Kept")).await;
    let log = scene.log().await;
    let prepared = race(8, |_| {
        let scene = scene.clone();
        async move { scene.repository.prepare(&scene.placement).await }
    });
    prepared
        .await
        .into_iter()
        .for_each(|outcome| outcome.unwrap());
    assert_eq!(scene.log().await, log);
    assert_eq!(scene.repository.list().await.unwrap().len(), 1);
    let fresh = scene.site.placement("fresh");
    let prepared = race(8, |_| {
        let (repository, fresh) = (Arc::clone(&scene.repository), fresh.clone());
        async move { repository.prepare(&fresh).await }
    });
    prepared
        .await
        .into_iter()
        .for_each(|outcome| outcome.unwrap());
    assert_eq!(scene.repository.list().await.unwrap().len(), 2);
}

async fn a_seal_and_its_end_are_there_after_a_reopening(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Kept")).await;
    scene
        .repository
        .seal(&scene.placement, Position::START)
        .await
        .unwrap();
    let scene = scene.reopened().await;
    let error = scene.refuse(Draft::to("s").event("Late")).await;
    assert!(matches!(error, Error::TopicSealed { .. }), "{error:?}");
    scene
        .repository
        .unseal(&scene.placement, Position::START)
        .await
        .unwrap();
    let scene = scene.reopened().await;
    scene.write(Draft::to("s").event("Later")).await;
}

async fn a_removal_is_there_after_a_reopening(scene: Scene) {
    let other = scene.other_topic("other").await;
    other.write(Draft::to("s").event("Erased")).await;
    scene.write(Draft::to("s").event("Kept")).await;
    scene
        .repository
        .remove(other.placement.storage)
        .await
        .unwrap();
    drop(other.repository);
    let scene = scene.reopened().await;
    let listed = scene.repository.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].storage, scene.placement.storage);
    assert_eq!(scene.log().await.len(), 1);
}
