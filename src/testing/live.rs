//! P8, what subscriptions stand on: who waits for a topic is woken, and who reads and waits
//! in turn gets every event once, in order.

use std::time::Duration;

use super::{
    case::case_table,
    draft::Draft,
    scene::{Scene, race, soon},
};
use crate::{
    models::{Error, Position, Result},
    repository::ReadPlan,
};

case_table! { Live:
    waiting_for_what_is_there_returns_at_once,
    an_append_wakes_whoever_waits,
    an_append_through_another_handle_wakes_whoever_waits,
    an_import_wakes_whoever_waits,
    waiting_ends_beyond_the_position_only,
    waiting_that_was_given_up_disturbs_nobody,
    closing_wakes_whoever_waits,
    removing_wakes_whoever_waits,
    followers_get_every_event_once_and_in_order,
}

/// Begins to wait in a task of its own, which has begun when this returns.
async fn waiting(scene: &Scene, beyond: u64) -> tokio::task::JoinHandle<Result<Position>> {
    let scene = scene.clone();
    let task = tokio::spawn(async move {
        let position = Position::new(beyond);
        scene
            .repository
            .wait_beyond(&scene.placement, position)
            .await
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    task
}

async fn waiting_for_what_is_there_returns_at_once(scene: Scene) {
    scene.write(Draft::to("s").events(5, "Given")).await;
    for position in 0..5 {
        let wait = scene
            .repository
            .wait_beyond(&scene.placement, Position::new(position));
        assert_eq!(
            soon("waiting for what is there", wait).await.unwrap().get(),
            5
        );
    }
}

async fn an_append_wakes_whoever_waits(scene: Scene) {
    for head in 0..5 {
        let mut waiters = Vec::new();
        for _ in 0..4 {
            waiters.push(waiting(&scene, head).await);
        }
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        scene.write(Draft::to("s").event("Given")).await;
        for waiter in waiters {
            let woken = soon("being woken", waiter).await.unwrap();
            assert_eq!(woken.unwrap().get(), head + 1);
        }
    }
}

async fn an_append_through_another_handle_wakes_whoever_waits(scene: Scene) {
    let further = scene.further_handle().await;
    for head in 0..5 {
        let (one, other) = if head % 2 == 0 {
            (&scene, &further)
        } else {
            (&further, &scene)
        };
        let waiter = waiting(one, head).await;
        other.write(Draft::to("s").event("Given")).await;
        let woken = soon("being woken", waiter).await.unwrap();
        assert_eq!(woken.unwrap().get(), head + 1);
    }
}

async fn an_import_wakes_whoever_waits(scene: Scene) {
    scene.write(Draft::to("s").events(3, "Given")).await;
    let log = scene.log().await;
    let new = scene.other_topic("topic").await;
    let waiter = waiting(&new, 0).await;
    new.repository.import(&new.placement, log).await.unwrap();
    let woken = soon("being woken", waiter).await.unwrap();
    assert_eq!(woken.unwrap().get(), 3);
}

async fn waiting_ends_beyond_the_position_only(scene: Scene) {
    let other = scene.other_topic("other").await;
    let waiter = waiting(&scene, 3).await;
    scene.write(Draft::to("s").events(2, "Given")).await;
    scene.write(Draft::to("s").event("Given")).await;
    other.write(Draft::to("s").events(9, "Given")).await;
    let refused = crate::models::ExpectedVersion::NoStream;
    scene
        .refuse(Draft::to("s").event("Refused").expected(refused))
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiter.is_finished(), "it was woken at 3");
    scene.write(Draft::to("s").event("Given")).await;
    assert_eq!(soon("being woken", waiter).await.unwrap().unwrap().get(), 4);
}

async fn waiting_that_was_given_up_disturbs_nobody(scene: Scene) {
    let stays = waiting(&scene, 0).await;
    for _ in 0..50 {
        let wait = scene
            .repository
            .wait_beyond(&scene.placement, Position::START);
        let gone = tokio::time::timeout(Duration::from_millis(1), wait).await;
        assert!(gone.is_err(), "nothing was recorded");
    }
    scene.write(Draft::to("s").event("Given")).await;
    assert_eq!(soon("being woken", stays).await.unwrap().unwrap().get(), 1);
}

async fn closing_wakes_whoever_waits(scene: Scene) {
    let waiter = waiting(&scene, 0).await;
    soon("closing", scene.repository.close()).await.unwrap();
    let woken = soon("being woken", waiter).await.unwrap();
    assert!(matches!(woken, Err(Error::Closed)), "{woken:?}");
}

async fn removing_wakes_whoever_waits(scene: Scene) {
    let waiter = waiting(&scene, 0).await;
    scene
        .repository
        .remove(scene.placement.storage)
        .await
        .unwrap();
    let woken = soon("being woken", waiter).await.unwrap();
    assert!(
        woken.is_err(),
        "it was woken at {woken:?}, and there is nothing"
    );
}

async fn followers_get_every_event_once_and_in_order(scene: Scene) {
    const ALL: u64 = 4 * 40 * 2;
    let further = scene.further_handle().await;
    let followed = race(7, |number| {
        let scene = if number % 2 == 0 {
            scene.clone()
        } else {
            further.clone()
        };
        async move {
            if number < 4 {
                for _ in 0..40 {
                    scene
                        .write(Draft::to(&format!("s-{number}")).events(2, "Given"))
                        .await;
                }
                return Vec::new();
            }
            let mut seen = Vec::new();
            while (seen.len() as u64) < ALL {
                let position = Position::new(seen.len() as u64);
                let wait = scene.repository.wait_beyond(&scene.placement, position);
                let head = soon("being woken", wait).await.unwrap();
                assert!(head > position);
                let pages = scene.pages(ReadPlan::all_after(position)).await.unwrap();
                let looked_to = pages.last().unwrap().looked_to;
                assert!(
                    looked_to >= head,
                    "woken at {head}, and read to {looked_to}"
                );
                seen.extend(pages.into_iter().flat_map(|page| page.events));
            }
            seen
        }
    });
    let followed = followed.await;
    let log = scene.log().await;
    for seen in followed.into_iter().filter(|seen| !seen.is_empty()) {
        assert_eq!(seen, log);
    }
}
