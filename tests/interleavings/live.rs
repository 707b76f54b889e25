//! Appends and subscriptions, all at once.

use annals_under_shuttle::{
    Append, Error, EventFilter, ExpectedVersion, NewEvent, Position, Signal, Subscribe,
};
use futures_util::{StreamExt, TryStreamExt};

use crate::{
    run::{explore, repeat},
    world::{TOPIC, World, append, check_receipts, create, log, spawn, take, take_from},
};

/// Subscribers that come at any moment, from any position.
async fn everybody_at_once() {
    let store = World::default().with_topic().await;
    let writers = [&[2, 1][..], &[1, 1]].map(|sizes| spawn(append(store.clone(), TOPIC, sizes)));
    let readers = [0, 0].map(|after| spawn(take(store.clone(), after, 5)));
    for writer in writers {
        let (receipts, error) = writer.await.unwrap();
        assert!(error.is_none(), "{error:?}");
        let head = store.get_latest_version(TOPIC).await.unwrap();
        assert!(receipts.iter().all(|receipt| receipt.last <= head));
    }
    let log = log(&store, TOPIC).await;
    assert_eq!(log.len(), 5);
    for reader in readers {
        reader.await.unwrap().check(&log);
    }
}

#[test]
fn every_subscriber_gets_every_event() {
    explore(everybody_at_once);
}

#[test]
fn a_schedule_can_be_run_again() {
    repeat(everybody_at_once);
}

/// One takes a few and is dropped while it waits, and another goes on from there.
#[test]
fn one_that_is_dropped_takes_nothing_from_others() {
    explore(|| async {
        let store = World::default().with_topic().await;
        let from = Subscribe::from_start();
        let dropped = store.subscribe(TOPIC, from).await.unwrap();
        let stays = spawn(take(store.clone(), 0, 4));
        let reader = spawn({
            let store = store.clone();
            async move {
                let first = take_from(dropped, Position::START, 2).await;
                let mut idle = store.subscribe(TOPIC, Subscribe::from_now()).await.unwrap();
                let waiting = spawn(async move { idle.next().await });
                let second = spawn(take(store, 2, 2));
                waiting.abort();
                (first, second.await.unwrap())
            }
        });
        let writer = spawn(append(store.clone(), TOPIC, &[1, 1, 1, 1]));
        assert!(writer.await.unwrap().1.is_none());
        let log = log(&store, TOPIC).await;
        let (first, second) = reader.await.unwrap();
        first.check(&log);
        second.check(&log);
        stays.await.unwrap().check(&log);
    });
}

#[test]
fn who_has_caught_up_has_got_everything_up_to_there() {
    explore(|| async {
        let store = World::default().with_topic().await;
        let from = Subscribe::from_start();
        let mut live = store.subscribe(TOPIC, from).await.unwrap().signals();
        let writer = spawn(append(store.clone(), TOPIC, &[1, 2, 1]));
        let mut taken = 0;
        let mut caught_up = None;
        while caught_up.is_none() || taken < 4 {
            match live.next().await.unwrap().unwrap() {
                Signal::Event(event) => {
                    taken += 1;
                    assert_eq!(event.position.get(), taken);
                }
                Signal::CaughtUp(position) => {
                    assert_eq!(caught_up.replace(position), None);
                    assert_eq!(position.get(), taken);
                }
                other => panic!("{other:?} though it was never far behind"),
            }
        }
        assert!(writer.await.unwrap().1.is_none());
    });
}

#[test]
fn a_filtered_subscriber_gets_what_matches() {
    explore(|| async {
        let store = World::default().with_topic().await;
        let odd = EventFilter::all().types(["Odd"]);
        let live = Subscribe::from_start().filter(odd);
        let live = store.subscribe(TOPIC, live).await.unwrap();
        let reader = spawn(live.take(2).try_collect::<Vec<_>>());
        let writers = [&[1, 1, 1][..], &[2, 1]];
        let writers = writers.map(|sizes| spawn(append(store.clone(), TOPIC, sizes)));
        for writer in writers {
            check_receipts(&writer.await.unwrap().0, &log(&store, TOPIC).await);
        }
        let mut log = log(&store, TOPIC).await;
        log.retain(|event| event.event_type == "Odd");
        assert_eq!(reader.await.unwrap().unwrap(), log);
    });
}

#[test]
fn a_subscription_of_several_topics_gives_each_in_order() {
    explore(|| async {
        let store = World::default().with_topic().await;
        create(&store, "other").await;
        let topics = [TOPIC, "other"].map(|topic| (topic, Subscribe::from_start()));
        let live = store.subscribe_many(topics).await.unwrap();
        let reader = spawn(live.take(5).try_collect::<Vec<_>>());
        let writers = [(TOPIC, &[1, 2][..]), ("other", &[1, 1][..])];
        let writers = writers.map(|(topic, sizes)| spawn(append(store.clone(), topic, sizes)));
        for writer in writers {
            assert!(writer.await.unwrap().1.is_none());
        }
        let taken = reader.await.unwrap().unwrap();
        for topic in [TOPIC, "other"] {
            let of_topic = taken.iter().filter(|event| event.topic.as_str() == topic);
            let of_topic: Vec<_> = of_topic.cloned().collect();
            assert_eq!(of_topic, log(&store, topic).await);
        }
    });
}

#[test]
fn of_those_that_expect_the_same_one_wins() {
    explore(|| async {
        let store = World::default().with_topic().await;
        let reader = spawn(take(store.clone(), 0, 2));
        let writers = [0, 1, 2].map(|writer| {
            let store = store.clone();
            spawn(async move {
                let events = [0, 1].map(|_| NewEvent::json("Given", &writer).unwrap());
                let append = Append::new(events).expected(ExpectedVersion::NoStream);
                store.append_events(TOPIC, append).await
            })
        });
        let mut won = 0;
        for writer in writers {
            match writer.await.unwrap() {
                Ok(_) => won += 1,
                Err(Error::WrongExpectedVersion { actual, .. }) => assert_eq!(actual.get(), 2),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won, 1);
        let log = log(&store, TOPIC).await;
        assert_eq!(log.len(), 2);
        reader.await.unwrap().check(&log);
    });
}
