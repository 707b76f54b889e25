//! P8: subscribers that come and go, give up, sleep, and see their repository closed. What each is
//! given is an exact run of what is recorded all the same.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};

use super::{
    Processes, Task, TestClock,
    case::case_table,
    draft::Draft,
    scene::{Scene, race, soon},
    wish::{Wish, next, subscribe, take_to},
};
use crate::models::{Error, Position};

case_table! { Live:
    subscribers_that_come_and_go_get_every_event_once,
    what_was_asked_for_and_given_up_is_not_lost,
    a_subscriber_that_never_asks_hinders_nobody,
    closing_ends_a_subscription,
    removing_ends_a_subscription,
    what_another_handle_or_process_appends_is_delivered,
    what_was_delivered_is_there_after_a_reopen,
}

async fn subscribers_that_come_and_go_get_every_event_once(scene: Scene) {
    const ALL: u64 = 4 * 50 * 3;
    let further = scene.further_handle().await;
    let delivered = race(10, |number| {
        let scene = if number % 2 == 0 {
            scene.clone()
        } else {
            further.clone()
        };
        async move {
            if number < 4 {
                for _ in 0..50 {
                    let stream = format!("s-{number}");
                    scene.write(Draft::to(&stream).events(3, "Given")).await;
                }
                return None;
            }
            let mut wish = Wish {
                history: usize::from(number > 6),
                ..Wish::after(0)
            };
            let mut delivered = wish.delivered();
            // Some stay, others come anew after every few events.
            let stays = if number % 3 == 0 { u64::MAX } else { number };
            while delivered.last().get() < ALL {
                let mut live = subscribe(&scene, &wish);
                for _ in 0..stays {
                    delivered.take(&next(&mut live).await);
                    if delivered.last().get() == ALL {
                        break;
                    }
                    if number == 5 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                wish.after = live.position().get();
            }
            Some(delivered)
        }
    });
    let delivered = delivered.await;
    let log = scene.log().await;
    for one in delivered.into_iter().flatten() {
        one.check(&log, Position::new(ALL));
    }
}

async fn what_was_asked_for_and_given_up_is_not_lost(scene: Scene) {
    let wish = Wish::after(0);
    let (mut live, mut delivered) = (subscribe(&scene, &wish), wish.delivered());
    let writer = tokio::spawn({
        let scene = scene.clone();
        async move {
            for _ in 0..100 {
                scene.write(Draft::to("s").events(2, "Given")).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let taking = async {
        let mut given_up = 0_u64;
        while delivered.last().get() < 200 {
            // Dropped after one poll, or a little later.
            let patience = Duration::from_micros(given_up % 3 * 50);
            match tokio::time::timeout(patience, live.next()).await {
                Ok(item) => delivered.take(&item.unwrap().unwrap()),
                Err(_) => given_up += 1,
            }
            tokio::task::yield_now().await;
        }
        given_up
    };
    let given_up = tokio::time::timeout(Duration::from_secs(40), taking).await;
    assert!(given_up.expect("every event comes") > 0, "it never waited");
    writer.await.unwrap();
    delivered.check(&scene.log().await, Position::new(200));
}

async fn a_subscriber_that_never_asks_hinders_nobody(scene: Scene) {
    scene.write(Draft::to("s").events(3000, "Given")).await;
    let mut asleep = Vec::new();
    // More than a repository has sessions or threads; each is left in another state.
    for number in 0..40 {
        let wish = Wish {
            history: 40,
            ..Wish::after(if number % 2 == 0 { 0 } else { 3000 })
        };
        let mut live = subscribe(&scene, &wish);
        for _ in 0..number {
            tokio::task::yield_now().await;
            drop(live.next().now_or_never());
        }
        asleep.push(live);
    }
    let wish = Wish::after(3000);
    let (mut live, mut delivered) = (subscribe(&scene, &wish), wish.delivered());
    for _ in 0..20 {
        let written = soon("an append", scene.write(Draft::to("s").event("Given")));
        written.await;
        delivered.take(&next(&mut live).await);
    }
    let log = scene.log().await;
    delivered.check(&log, Position::new(3020));
    soon("closing", scene.repository.close()).await.unwrap();
    drop(asleep);
}

async fn closing_ends_a_subscription(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Given")).await;
    let wish = Wish::after(0);
    let (mut live, mut delivered) = (subscribe(&scene, &wish), wish.delivered());
    take_to(&mut live, &mut delivered, 2).await;
    let waiting = tokio::spawn(async move { (live.next().await, live.next().await) });
    tokio::time::sleep(Duration::from_millis(30)).await;
    soon("closing", scene.repository.close()).await.unwrap();
    let (last, beyond) = soon("the end", waiting).await.unwrap();
    assert!(matches!(last, Some(Err(Error::Closed))), "{last:?}");
    assert!(beyond.is_none(), "{beyond:?}");
}

async fn removing_ends_a_subscription(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Given")).await;
    let wish = Wish::after(0);
    let (mut live, mut delivered) = (subscribe(&scene, &wish), wish.delivered());
    take_to(&mut live, &mut delivered, 2).await;
    let waiting = tokio::spawn(async move { live.next().await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    let storage = scene.placement.storage;
    scene.repository.remove(storage).await.unwrap();
    let last = soon("the end", waiting).await.unwrap();
    let gone = matches!(last, Some(Err(Error::TopicNotFound { .. })));
    assert!(gone, "{last:?}");
}

async fn what_another_handle_or_process_appends_is_delivered(scene: Scene) {
    let reader = scene
        .site
        .open_to_read(Arc::<TestClock>::clone(&scene.clock));
    let reader = Scene {
        repository: reader.await.expect("it opens beside a writer"),
        ..scene.clone()
    };
    let wish = Wish::after(0);
    let mut subscriptions =
        [&scene, &reader].map(|from| (subscribe(from, &wish), wish.delivered()));
    let further = scene.further_handle().await;
    for round in 0..5 {
        let head = match scene.site.processes() {
            Processes::ManyWriters => {
                let answer = scene
                    .site
                    .elsewhere(&scene.placement, Task::Append(4))
                    .await;
                assert_eq!(answer.error, None);
                scene.head().await
            }
            Processes::None | Processes::OneWriter => {
                let draft = Draft::to("s").events(1 + round, "Given");
                further.write(draft).await.last.get()
            }
        };
        for (live, delivered) in &mut subscriptions {
            take_to(live, delivered, head).await;
        }
    }
    let log = scene.log().await;
    for (live, delivered) in subscriptions {
        delivered.check(&log, live.position());
    }
}

async fn what_was_delivered_is_there_after_a_reopen(scene: Scene) {
    let wish = Wish::after(0);
    let (mut live, mut delivered) = (subscribe(&scene, &wish), wish.delivered());
    let writer = tokio::spawn({
        let scene = scene.clone();
        async move { while scene.append(Draft::to("s").event("Given")).await.is_ok() {} }
    });
    for _ in 0..50 {
        delivered.take(&next(&mut live).await);
    }
    soon("closing", scene.repository.close()).await.unwrap();
    soon("the writer", writer).await.unwrap();
    drop(live);
    let log = scene.reopened().await.log().await;
    delivered.check(&log, Position::new(50));
}
