//! P6 for what is stored: a walk through all of it finds all of it, and what was removed is gone.

use futures_util::TryStreamExt;

use super::{
    case::case_table,
    draft::Draft,
    random::Random,
    scene::{Scene, race},
};
use crate::{
    models::{Position, Result, StorageId, StoreId, TopicName},
    repository::{Page, ReadPlan},
};

case_table! { Exact:
    verifying_counts_every_event,
    verifying_beside_writers_finds_everything_whole,
    every_storage_is_listed_but_those_of_configurations,
    what_was_removed_never_comes_back,
    who_has_not_heard_of_a_removal_finds_nothing_else_in_its_place,
    removing_twice_is_removing_once,
}

async fn verifying_counts_every_event(scene: Scene) {
    let verify = async |scene: &Scene| scene.repository.verify(&scene.placement).await.unwrap();
    assert_eq!(verify(&scene).await.events, 0);
    let mut random = Random::new(51);
    let mut bytes = 0;
    for _ in 0..5 {
        for _ in 0..20 {
            scene.write(random.draft()).await;
        }
        let verified = verify(&scene).await;
        assert_eq!(verified.events, scene.head().await);
        assert!(verified.bytes >= bytes, "{verified:?} after {bytes} bytes");
        bytes = verified.bytes;
    }
    let scene = scene.reopened().await;
    assert_eq!(verify(&scene).await.events, scene.head().await);
    scene.fill(3000).await;
    assert_eq!(verify(&scene).await.events, 3000);
}

async fn verifying_beside_writers_finds_everything_whole(scene: Scene) {
    race(5, |number| {
        let scene = scene.clone();
        async move {
            for _ in 0..40 {
                if number < 4 {
                    scene.write(Draft::to("s").events(3, "Given")).await;
                } else {
                    let before = scene.head().await;
                    let verified = scene.repository.verify(&scene.placement).await.unwrap();
                    assert!(verified.events >= before, "{verified:?}, head {before}");
                }
            }
        }
    })
    .await;
}

async fn every_storage_is_listed_but_those_of_configurations(scene: Scene) {
    let mut expected = vec![scene.placement.clone()];
    for name in ["other", "topic", "x.y_z-1"] {
        expected.push(scene.other_topic(name).await.placement);
    }
    let mut of_another_store = scene.site.placement("topic");
    of_another_store.store = StoreId::generate();
    scene.repository.prepare(&of_another_store).await.unwrap();
    expected.push(of_another_store);
    let mut configuration = scene.site.placement("topic");
    configuration.topic = TopicName::configuration();
    configuration.storage = StorageId::CONFIGURATION;
    configuration.store = StoreId::NONE;
    scene.repository.prepare(&configuration).await.unwrap();
    let mut expected: Vec<_> = expected
        .iter()
        .map(|one| (one.storage, one.store, one.topic.clone()))
        .collect();
    expected.sort();
    for scene in [scene.clone(), scene.reopened().await] {
        let Ok(listed) = scene.repository.list().await else {
            // The first of the two handles was closed to open the second.
            continue;
        };
        let listed = listed
            .into_iter()
            .map(|one| (one.storage, one.store, one.topic));
        let mut listed: Vec<_> = listed.collect();
        listed.sort();
        assert_eq!(listed, expected);
    }
}

async fn what_was_removed_never_comes_back(scene: Scene) {
    let erased = Draft::to("s").events(3, "Erased");
    scene.write(erased.clone()).await;
    scene
        .repository
        .seal(&scene.placement, Position::START)
        .await
        .unwrap();
    scene
        .repository
        .remove(scene.placement.storage)
        .await
        .unwrap();
    assert!(scene.repository.list().await.unwrap().is_empty());
    // The same name gets a storage of its own.
    let fresh = scene.other_topic("topic").await;
    let mut anew = vec![fresh];
    // The same storage is refused from now on, or begins anew.
    if scene.repository.prepare(&scene.placement).await.is_ok() {
        anew.push(scene.clone());
    }
    for again in anew {
        assert_eq!(again.head().await, 0);
        assert!(again.log().await.is_empty());
        assert_eq!(again.stream("s").await.version.get(), 0);
        assert_eq!(again.write(erased.clone()).await.first.get(), 1);
        let again = again.further_handle().await;
        assert_eq!(again.log().await.len(), 3);
    }
}

async fn who_has_not_heard_of_a_removal_finds_nothing_else_in_its_place(scene: Scene) {
    let before = Draft::to("s").events(3, "Before");
    scene.write(before.clone()).await;
    // Another handle knows the storage, and is not told.
    let unaware = scene.further_handle().await;
    assert_eq!(unaware.log().await.len(), 3);
    unaware.write(Draft::to("s").event("More")).await;
    let Scene {
        repository,
        placement,
        ..
    } = &scene;
    repository.seal(placement, Position::START).await.unwrap();
    repository.remove(placement.storage).await.unwrap();
    // The topic comes back, as it does where it moves to and fro.
    let fresh = scene.other_topic("topic").await;
    fresh.write(before).await;
    let missed = |outcome: Result<()>, what| {
        // Nothing at all may be there any more, the repository included.
        assert!(outcome.is_err(), "{what} of a storage that was removed");
    };
    let Scene {
        repository,
        placement,
        ..
    } = &unaware;
    let batch = Draft::to("s").event("Late").build();
    missed(
        repository.append(placement, batch).await.map(drop),
        "an append",
    );
    let state = repository.state(placement, None).await;
    missed(state.map(drop), "the head");
    let seal = repository.seal(placement, Position::new(9)).await;
    missed(seal.map(drop), "a seal");
    let log = repository.read(placement, ReadPlan::all_after(Position::START));
    let log: Result<Vec<Page>> = log.try_collect().await;
    missed(log.map(drop), "a read");
    assert_eq!(fresh.log().await.len(), 3);
    assert_eq!(
        fresh.write(Draft::to("s").event("Next")).await.first.get(),
        4
    );
}

async fn removing_twice_is_removing_once(scene: Scene) {
    let other = scene.other_topic("other").await;
    other.write(Draft::to("s").event("Kept")).await;
    let removed = race(4, |_| {
        let scene = scene.clone();
        async move { scene.repository.remove(scene.placement.storage).await }
    });
    removed
        .await
        .into_iter()
        .for_each(|outcome| outcome.unwrap());
    scene
        .repository
        .remove(scene.placement.storage)
        .await
        .unwrap();
    scene
        .repository
        .remove(StorageId::generate())
        .await
        .unwrap();
    assert_eq!(scene.repository.list().await.unwrap().len(), 1);
    assert_eq!(other.log().await.len(), 1);
}
