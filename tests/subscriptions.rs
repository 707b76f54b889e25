//! Subscriptions of a store: topics that are deleted, restored and created anew, by this store or by
//! another one; repositories that are down for a while; stores that are closed; several topics as one.

#![cfg(test)]
#![cfg(all(feature = "file", feature = "testing"))]

mod kinds;
#[cfg(feature = "postgres")]
mod servers;

use std::time::Duration;

use annals::{
    ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig, Position, Signal,
    Subscribe, Subscription, testing::Delivered,
};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use kinds::{Kind, append, log, soon};

async fn take(live: &mut Subscription, delivered: &mut Delivered, up_to: u64) {
    while delivered.last().get() < up_to {
        let event = soon("a delivery", live.try_next()).await;
        delivered.take(&event.unwrap().expect("it goes on"));
    }
}

/// The error that ends a subscription which has delivered all.
async fn end(live: &mut Subscription) -> Error {
    let error = soon("the end", live.next()).await;
    let error = error.expect("an error is the last item").unwrap_err();
    assert!(live.next().await.is_none(), "it goes on after {error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_then_what_comes() {
    for kind in Kind::all() {
        let store = kind.open().await;
        store.create_topic(kind.topic("t")).await.unwrap();
        append(&store, "t", "s", 30).await;
        let starts = [
            (Subscribe::from_start(), 0),
            (Subscribe::after(Position::new(7)), 7),
            (Subscribe::from(Position::new(30)), 30),
            (Subscribe::from_now(), 30),
        ];
        for (from, after) in starts {
            let mut live = store.subscribe("t", from).await.unwrap();
            let mut delivered = Delivered::after(Position::new(after));
            assert_eq!(live.position().get(), after);
            let before = store.get_latest_version("t").await.unwrap().get();
            let late = after == 30;
            take(&mut live, &mut delivered, if late { 30 } else { before }).await;
            append(&store, "t", "s", 5).await;
            take(&mut live, &mut delivered, before + 5).await;
            delivered.check(&log(&store, "t").await, live.position());
            store.delete_topic("t").await.unwrap();
            store.purge_topic("t").await.unwrap();
            store.create_topic(kind.topic("t")).await.unwrap();
            append(&store, "t", "s", 30).await;
        }
        let beyond = Subscribe::after(Position::new(31));
        let refused = store.subscribe("t", beyond).await.unwrap_err();
        assert!(
            matches!(refused, Error::PositionAhead { head, .. } if head.get() == 30),
            "{refused}"
        );
        let unknown = store.subscribe("unknown", Subscribe::from_start()).await;
        assert!(matches!(unknown, Err(Error::TopicNotFound { .. })));
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_ends_its_subscriptions_wherever_that_happens() {
    for kind in Kind::all() {
        let store = kind.open().await;
        for by_another in [false, true] {
            let other = if by_another {
                let Some(other) = kind.open_another().await else {
                    continue;
                };
                other
            } else {
                store.clone()
            };
            for purge in [false, true] {
                store.create_topic(kind.topic("t")).await.unwrap();
                append(&store, "t", "s", 3).await;
                let mut waits = store.subscribe("t", Subscribe::from_now()).await.unwrap();
                let mut late = store.subscribe("t", Subscribe::from_start()).await.unwrap();
                let waiting = tokio::spawn(async move { end(&mut waits).await });
                tokio::task::yield_now().await;
                other.delete_topic("t").await.unwrap();
                if purge {
                    other.purge_topic("t").await.unwrap();
                }
                // The name does not bring the topic back.
                other.create_topic(kind.topic("t")).await.unwrap();
                append(&other, "t", "s", 9).await;
                let error = soon("the end", waiting).await.unwrap();
                assert!(matches!(error, Error::TopicNotFound { .. }), "{error}");
                let error = end(&mut late).await;
                assert!(matches!(error, Error::TopicNotFound { .. }), "{error}");
                store.delete_topic("t").await.unwrap();
                store.purge_topic("t").await.unwrap();
            }
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_restored_before_anybody_looks_goes_on() {
    for kind in Kind::all() {
        let store = kind.open().await;
        store.create_topic(kind.topic("t")).await.unwrap();
        append(&store, "t", "s", 3).await;
        let mut live = store.subscribe("t", Subscribe::from_start()).await.unwrap();
        let mut delivered = Delivered::after(Position::START);
        take(&mut live, &mut delivered, 3).await;
        store.delete_topic("t").await.unwrap();
        store.restore_topic("t").await.unwrap();
        append(&store, "t", "s", 3).await;
        take(&mut live, &mut delivered, 6).await;
        delivered.check(&log(&store, "t").await, Position::new(6));
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_store_ends_subscriptions_in_every_state() {
    for kind in Kind::all() {
        let store = kind.open().await;
        store.create_topic(kind.topic("t")).await.unwrap();
        append(&store, "t", "s", 5000).await;
        let mut waits = store.subscribe("t", Subscribe::from_now()).await.unwrap();
        let mut reads = store.subscribe("t", Subscribe::from_start()).await.unwrap();
        let mut never_asked = store.subscribe("t", Subscribe::from_start()).await.unwrap();
        assert!(soon("an event", reads.try_next()).await.unwrap().is_some());
        let waiting = tokio::spawn(async move { end(&mut waits).await });
        tokio::task::yield_now().await;
        soon("closing", store.close()).await.unwrap();
        let error = soon("the end", waiting).await.unwrap();
        assert!(matches!(error, Error::Closed), "{error}");
        let rest = soon("the end", reads.by_ref().try_collect::<Vec<_>>()).await;
        assert!(matches!(rest, Err(Error::Closed)));
        let error = end(&mut never_asked).await;
        assert!(matches!(error, Error::Closed), "{error}");
        let refused = store.subscribe("t", Subscribe::from_start()).await;
        assert!(matches!(refused, Err(Error::Closed)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_lives_without_the_handle_of_its_store() {
    let kind = Kind::file();
    let store = kind.open().await;
    store.create_topic(kind.topic("t")).await.unwrap();
    append(&store, "t", "s", 3).await;
    let mut live = store.subscribe("t", Subscribe::from_start()).await.unwrap();
    drop(store);
    let mut delivered = Delivered::after(Position::START);
    take(&mut live, &mut delivered, 3).await;
    let again = kind.open().await;
    append(&again, "t", "s", 3).await;
    take(&mut live, &mut delivered, 6).await;
    again.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_topics_are_one_stream_each_in_its_own_order() {
    for kind in Kind::all() {
        let store = kind.open().await;
        let names = ["a", "b", "c"];
        for name in names {
            store.create_topic(kind.topic(name)).await.unwrap();
            append(&store, name, "before", 20).await;
        }
        let filter = EventFilter::all().streams(["s-1", "before"]);
        let only = Subscribe::from_start().filter(filter.clone());
        let topics = [
            ("a", Subscribe::from_start()),
            ("b", only),
            ("c", Subscribe::from_now()),
        ];
        let mut merged = store.subscribe_many(topics).await.unwrap();
        let mut delivered = [
            Delivered::after(Position::START),
            Delivered::after(Position::START).of(filter),
            Delivered::after(Position::new(20)),
        ];
        let writing = tokio::spawn({
            let store = store.clone();
            async move {
                for number in 0..30 {
                    for name in names {
                        append(&store, name, &format!("s-{}", number % 2), 2).await;
                    }
                }
            }
        });
        let count = |delivered: &[Delivered]| delivered.iter().map(Delivered::count).sum::<usize>();
        while count(&delivered) < 80 + 50 + 60 {
            let event = soon("a delivery", merged.try_next())
                .await
                .unwrap()
                .unwrap();
            let of = names
                .iter()
                .position(|name| event.topic.as_str() == *name)
                .unwrap();
            delivered[of].take(&event);
        }
        writing.await.unwrap();
        for (name, delivered) in names.iter().zip(&delivered) {
            delivered.check(&log(&store, name).await, Position::new(80));
        }
        // The end of one is not the end of the others.
        store.delete_topic("b").await.unwrap();
        let error = soon("the end of b", merged.try_next()).await.unwrap_err();
        assert!(matches!(error, Error::TopicNotFound { topic } if topic == "b"));
        assert_eq!(merged.ended()[0].0.as_str(), "b");
        append(&store, "c", "s", 1).await;
        let event = soon("a delivery", merged.try_next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!((event.topic.as_str(), event.position.get()), ("c", 81));
        let mut left: Vec<_> = merged.positions();
        left.sort();
        let left: Vec<_> = left
            .iter()
            .map(|(name, at)| (name.as_str(), at.get()))
            .collect();
        assert_eq!(left, [("a", 80), ("c", 81)]);
        store.close().await.unwrap();
        for _ in 0..2 {
            let error = soon("the end", merged.try_next()).await.unwrap_err();
            assert!(matches!(error, Error::Closed), "{error}");
        }
        assert!(merged.next().await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_only_reads_follows_a_topic_and_its_deletion() {
    let kind = Kind::file();
    let store = kind.open().await;
    store.create_topic(kind.topic("t")).await.unwrap();
    append(&store, "t", "s", 3).await;
    let configuration = ConfigurationStream::file(&kind.connection);
    let config = EventStoreConfig::new(configuration).read_only();
    let reader = EventStore::open(config).await.unwrap();
    let mut live = reader
        .subscribe("t", Subscribe::from_start())
        .await
        .unwrap();
    let mut delivered = Delivered::after(Position::START);
    for head in [3, 7, 11] {
        take(&mut live, &mut delivered, head).await;
        append(&store, "t", "s", 4).await;
    }
    take(&mut live, &mut delivered, 15).await;
    delivered.check(&log(&store, "t").await, Position::new(15));
    store.delete_topic("t").await.unwrap();
    let error = end(&mut live).await;
    assert!(matches!(error, Error::TopicNotFound { .. }), "{error}");
    reader.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_subscribers_of_one_topic_miss_nothing() {
    let kind = Kind::memory();
    let store = kind.open().await;
    store.create_topic(kind.topic("t")).await.unwrap();
    append(&store, "t", "s", 100).await;
    let mut followers = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let after = Position::new(number % 100);
        let mut live = store.subscribe("t", Subscribe::after(after)).await.unwrap();
        followers.spawn(async move {
            let mut delivered = Delivered::after(after);
            take(&mut live, &mut delivered, 300).await;
            delivered
        });
    }
    for _ in 0..100 {
        append(&store, "t", "s", 2).await;
        tokio::task::yield_now().await;
    }
    let log = log(&store, "t").await;
    while let Some(delivered) = followers.join_next().await {
        delivered.unwrap().check(&log, Position::new(300));
    }
    store.close().await.unwrap();
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_or_crashes_interrupts_subscriptions_and_ends_none() {
    let server = servers::Postgres::start(&[]);
    let kind = Kind::at(&server);
    let store = kind.open().await;
    store.create_topic(kind.topic("t")).await.unwrap();
    append(&store, "t", "s", 10).await;
    let mut signals = store
        .subscribe("t", Subscribe::from_start())
        .await
        .unwrap()
        .signals();
    let mut delivered = Delivered::after(Position::START);
    let mut told = Vec::new();
    let mut head = 10;
    for round in 0..3 {
        while delivered.last().get() < head || !signals.subscription().is_caught_up() {
            match soon("a signal", signals.try_next()).await.unwrap().unwrap() {
                Signal::Event(event) => delivered.take(&event),
                signal => told.push(signal),
            }
        }
        if round == 1 {
            server.stop();
        } else {
            server.kill();
        }
        // It is down for as long as it takes the subscription to find out.
        loop {
            let signal = soon("to find out", signals.try_next()).await;
            if let Signal::FellBehind(at) = signal.unwrap().unwrap() {
                assert_eq!(at.get(), head);
                break;
            }
        }
        server.start_again();
        let other = kind.open().await;
        append(&other, "t", "s", 10).await;
        other.close().await.unwrap();
        head += 10;
    }
    while delivered.last().get() < head {
        if let Signal::Event(event) = soon("a signal", signals.try_next()).await.unwrap().unwrap() {
            delivered.take(&event);
        }
    }
    delivered.check(&log(&store, "t").await, Position::new(head));
    store.close().await.unwrap();
}

/// Subscriptions of many states hold no lock and no session.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_are_polled_once_and_left_hinder_nobody() {
    for kind in Kind::all() {
        let store = kind.open().await;
        store.create_topic(kind.topic("t")).await.unwrap();
        append(&store, "t", "s", 5000).await;
        let mut left = Vec::new();
        for number in 0..30 {
            let after = Position::new(number % 2 * 5000);
            let from = Subscribe::after(after);
            let mut live = store.subscribe("t", from).await.unwrap();
            for _ in 0..number {
                drop(live.next().now_or_never());
                tokio::task::yield_now().await;
            }
            left.push(live);
        }
        soon("an append", append(&store, "t", "s", 1)).await;
        let created = soon("to create", store.create_topic(kind.topic("u"))).await;
        created.unwrap();
        soon("closing", store.close()).await.unwrap();
    }
}

/// Short portions and whole pages come in turn, while the topic grows under every read.
#[tokio::test(flavor = "multi_thread")]
async fn subscribers_that_pause_while_others_write_miss_nothing() {
    const ALL: u64 = 6000;
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let mut followers = tokio::task::JoinSet::new();
        for number in 0..6_u64 {
            let mut live = store.subscribe("t", Subscribe::from_start()).await.unwrap();
            followers.spawn(async move {
                let mut delivered = Delivered::after(Position::START);
                while delivered.last().get() < ALL {
                    let up_to = (delivered.last().get() + 150 + number * 37).min(ALL);
                    take(&mut live, &mut delivered, up_to).await;
                    tokio::time::sleep(Duration::from_millis(number)).await;
                }
                delivered
            });
        }
        for number in 0..ALL / 3 {
            append(&store, "t", &format!("s-{}", number % 12), 3).await;
        }
        let log = log(&store, "t").await;
        while let Some(delivered) = followers.join_next().await {
            delivered.unwrap().check(&log, Position::new(ALL));
        }
        store.close().await.unwrap();
    }
}
