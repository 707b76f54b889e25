//! Stores that are closed, and topics that are deleted, under those who wait.

use annals_under_shuttle::{Error, Position, Subscribe};

use crate::{
    run::explore,
    world::{TOPIC, World, append, check_receipts, create, log, spawn, take, take_from},
};

/// More than there ever is.
const ALL: usize = usize::MAX;

#[test]
fn closing_ends_every_subscription() {
    explore(|| async {
        let world = World::default();
        let store = world.with_topic().await;
        let writer = spawn(append(store.clone(), TOPIC, &[1, 2, 1]));
        let readers = [0, 0].map(|after| spawn(take(store.clone(), after, ALL)));
        let closing = [0, 1].map(|_| {
            let store = store.clone();
            spawn(async move { store.close().await })
        });
        for one in closing {
            one.await.unwrap().unwrap();
        }
        // Nothing is added from now on.
        let log = log(&world.store().await, TOPIC).await;
        let (receipts, error) = writer.await.unwrap();
        assert!(matches!(error, None | Some(Error::Closed)), "{error:?}");
        check_receipts(&receipts, &log);
        assert_eq!(
            receipts.last().map_or(0, |one| one.last.get()),
            log.len() as u64
        );
        for reader in readers {
            let taken = reader.await.unwrap();
            assert!(matches!(taken.error, Some(Error::Closed)), "{taken:?}");
            taken.check(&log);
        }
    });
}

/// Deletes the topic, in this store or in another one, while it is written and read.
async fn delete(elsewhere: bool, purge: bool) {
    let world = World::default();
    let store = world.with_topic().await;
    let other = if elsewhere {
        world.store().await
    } else {
        store.clone()
    };
    let writer = spawn(append(store.clone(), TOPIC, &[1, 1]));
    let readers = [0, 0].map(|after| spawn(take(store.clone(), after, ALL)));
    // What keeps subscriptions informed is shared, and has to outlive each of them.
    let dropped = spawn(take(store.clone(), 0, ALL));
    let deleting = spawn(async move {
        dropped.abort();
        other.delete_topic(TOPIC).await?;
        if purge {
            other.purge_topic(TOPIC).await?;
        }
        Ok::<_, Error>(())
    });
    deleting.await.unwrap().unwrap();
    let (receipts, error) = writer.await.unwrap();
    let gone = |error: &Error| matches!(error, Error::TopicNotFound { .. });
    assert!(error.as_ref().is_none_or(gone), "{error:?}");
    let mut takens = Vec::new();
    for reader in readers {
        let taken = reader.await.unwrap();
        assert!(taken.error.as_ref().is_some_and(gone), "{taken:?}");
        takens.push(taken);
    }
    if purge {
        for (place, event) in takens
            .iter()
            .flat_map(|taken| taken.events.iter().enumerate())
        {
            assert_eq!(event.position.get(), place as u64 + 1);
        }
        return;
    }
    store.restore_topic(TOPIC).await.unwrap();
    let log = log(&store, TOPIC).await;
    check_receipts(&receipts, &log);
    for taken in takens {
        taken.check(&log);
    }
}

#[test]
fn deleting_a_topic_ends_its_subscriptions() {
    explore(|| delete(false, false));
}

#[test]
fn deleting_a_topic_ends_its_subscriptions_in_other_stores() {
    explore(|| delete(true, false));
}

#[test]
fn purging_a_topic_ends_its_subscriptions() {
    explore(|| delete(false, true));
}

#[test]
fn a_topic_that_is_restored_goes_on_or_was_seen_to_end() {
    explore(|| async {
        let store = World::default().with_topic().await;
        let before = append(store.clone(), TOPIC, &[1]).await;
        assert!(before.1.is_none());
        let readers = [0, 1].map(|after| spawn(take(store.clone(), after, 3 - after as usize)));
        let restoring = spawn({
            let store = store.clone();
            async move {
                store.delete_topic(TOPIC).await.unwrap();
                store.restore_topic(TOPIC).await.unwrap();
                append(store, TOPIC, &[1, 1]).await
            }
        });
        assert!(restoring.await.unwrap().1.is_none());
        let log = log(&store, TOPIC).await;
        assert_eq!(log.len(), 3);
        for reader in readers {
            let taken = reader.await.unwrap();
            taken.check(&log);
            match &taken.error {
                None | Some(Error::TopicNotFound { .. }) => {}
                Some(error) => panic!("{error}"),
            }
        }
    });
}

#[test]
fn a_topic_created_anew_is_another_one() {
    explore(|| async {
        let store = World::default().with_topic().await;
        assert!(append(store.clone(), TOPIC, &[1]).await.1.is_none());
        let old = log(&store, TOPIC).await;
        let live = store.subscribe(TOPIC, Subscribe::from_start());
        let live = live.await.unwrap();
        let start = Position::START;
        let reader = spawn(take_from(live, start, ALL));
        store.delete_topic(TOPIC).await.unwrap();
        create(&store, TOPIC).await;
        let writer = spawn(append(store.clone(), TOPIC, &[1, 2]));
        let taken = reader.await.unwrap();
        taken.check(&old);
        assert!(
            matches!(taken.error, Some(Error::TopicNotFound { .. })),
            "{taken:?}"
        );
        assert!(writer.await.unwrap().1.is_none());
        let new = spawn(take(store.clone(), 0, 3)).await.unwrap();
        new.check(&log(&store, TOPIC).await);
    });
}
