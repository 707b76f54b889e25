//! Server-sent events.

use std::{sync::Arc, time::Duration};

use annals::{EventStore, TopicConfig};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    client::{open, open_with},
    world::{World, append, config, in_files, in_memory, within},
};

#[tokio::test]
async fn history_comes_first_and_then_each_event_as_it_is_recorded() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..101).await;
    let mut live = open(world.address, "orders/live?after=40", None).await;
    assert_eq!(live.status, 200);
    assert!(
        live.head.contains("content-type: text/event-stream"),
        "{}",
        live.head
    );
    assert_eq!(live.positions_to(100).await, Vec::from_iter(41..101));
    let caught_up = live.named("caught-up").await;
    assert_eq!(caught_up.json()["position"], 100);
    assert_eq!(caught_up.id, Some(100));
    append(&world.store, "a", "Paid", 101..102).await;
    let (position, event) = live.event().await.unwrap();
    assert_eq!((position, &event["type"]), (101, &"Paid".into()));
    assert_eq!(event["data"]["n"], 101);
    world.stop().await;
    assert_eq!(live.message().await, None);
    assert!(live.ended_well);
}

#[tokio::test]
async fn now_begins_with_what_comes_and_last_event_id_wins() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..11).await;
    let mut now = open(world.address, "orders/live?after=now", None).await;
    let mut back = open(world.address, "orders/live?after=now", Some(3)).await;
    assert_eq!(now.named("caught-up").await.json()["position"], 10);
    append(&world.store, "a", "Placed", 11..12).await;
    assert_eq!(now.positions_to(11).await, [11]);
    assert_eq!(back.positions_to(11).await, Vec::from_iter(4..12));
    world.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_before_it_begins() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..2).await;
    for (path, last, status, kind) in [
        ("nothing/live", None, 404, "topic-not-found"),
        ("orders/live?typ=A", None, 400, "bad-request"),
        ("orders/live?after=x", None, 400, "bad-request"),
        ("orders/live?limit=1", None, 400, "bad-request"),
        ("orders/live?after=2", None, 410, "position-ahead"),
        ("orders/live", Some(9), 410, "position-ahead"),
    ] {
        let mut answer = open(world.address, path, last).await;
        assert_eq!(answer.status, status, "{path}");
        let problem = answer.body().await;
        assert_eq!(
            problem["type"],
            format!("urn:annals:problem:{kind}"),
            "{path}"
        );
    }
    world.stop().await;
}

/// Comes back again and again, until it has all events up to `last`.
async fn come_and_go(
    address: std::net::SocketAddr,
    path: &str,
    from: Option<u64>,
    last: u64,
    stay: u64,
) -> Vec<u64> {
    let (mut at, mut all) = (from, Vec::new());
    while all.last() != Some(&last) {
        let mut live = open(address, path, at).await;
        for _ in 0..stay {
            let Some((position, event)) = live.event().await else {
                break;
            };
            assert_eq!(event["data"]["n"], position);
            all.push(position);
            if position == last {
                break;
            }
        }
        at = live.last_id;
    }
    all
}

#[tokio::test]
async fn who_comes_back_misses_nothing_and_gets_nothing_twice_while_others_append() {
    let world = World::new().await;
    let mut clients = JoinSet::new();
    for stay in [1, 7, 40, 300] {
        let address = world.address;
        clients
            .spawn(async move { come_and_go(address, "orders/live", None, 1000, stay + 5).await });
    }
    for n in 0..100 {
        append(&world.store, "a", "Placed", n * 10 + 1..n * 10 + 11).await;
        tokio::task::yield_now().await;
    }
    while let Some(all) = within(clients.join_next()).await {
        assert_eq!(all.unwrap(), Vec::from_iter(1..1001));
    }
    world.stop().await;
}

#[tokio::test]
async fn a_server_that_starts_anew_goes_on_where_its_clients_were() {
    let directory = tempfile::tempdir().unwrap();
    let (mut at, mut all) = (None, Vec::new());
    for round in 0..4 {
        let world = World::serve(in_files(directory.path()).await, config()).await;
        let mut live = open(world.address, "orders/live", at).await;
        let store = world.store.clone();
        let half = Arc::new(Notify::new());
        let reached = Arc::clone(&half);
        let appending = tokio::spawn(async move {
            for n in 0..20 {
                let first = round * 200 + n * 10 + 1;
                append(&store, "a", "Placed", first..first + 10).await;
                if n == 10 {
                    reached.notify_one();
                }
            }
        });
        half.notified().await;
        for _ in 0..37 {
            all.push(live.event().await.unwrap().0);
        }
        appending.await.unwrap();
        world.stop().await;
        while let Some((position, _)) = live.event().await {
            all.push(position);
        }
        assert!(live.ended_well, "the server has said good-bye");
        at = live.last_id;
    }
    let world = World::serve(in_files(directory.path()).await, config()).await;
    let mut live = open(world.address, "orders/live", at).await;
    if all.last() != Some(&800) {
        all.extend(live.positions_to(800).await);
    }
    assert_eq!(all, Vec::from_iter(1..801));
    world.stop().await;
}

#[tokio::test]
async fn two_hundred_subscribers_all_get_all() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..51).await;
    let mut clients = JoinSet::new();
    for n in 0..200_u64 {
        let address = world.address;
        // Some begin with history, some with what is new, and some filter.
        let path = match n % 4 {
            0 => "orders/live?after=50",
            1 => "orders/live?after=now",
            2 => "orders/live",
            _ => "orders/live?after=50&type=Placed&type=Paid",
        };
        let mut live = open(address, path, None).await;
        clients.spawn(async move { (n, live.positions_to(450).await) });
    }
    for n in 0..40 {
        let first = 51 + n * 10;
        append(&world.store, "a", "Placed", first..first + 10).await;
    }
    while let Some(done) = within(clients.join_next()).await {
        let (n, positions) = done.unwrap();
        let first = if n % 4 == 2 { 1 } else { 51 };
        assert_eq!(positions, Vec::from_iter(first..451), "subscriber {n}");
    }
    world.stop().await;
}

#[tokio::test]
async fn filters_let_through_what_matches_from_history_and_from_what_is_new() {
    let world = World::new().await;
    let mut of_stream = open(world.address, "orders/streams/order%2D2/live", None).await;
    let mut paid = open(world.address, "orders/live?type=Paid&type=Sent", None).await;
    let mut prefix = open(
        world.address,
        "orders/live?streamPrefix=order-&type=Paid",
        None,
    )
    .await;
    for round in 0..30 {
        for (stream, kind) in [("order-1", "Placed"), ("order-2", "Paid"), ("x", "Sent")] {
            append(&world.store, stream, kind, round..round + 1).await;
        }
    }
    let mut late = open(world.address, "orders/streams/order-2/live?after=45", None).await;
    let second: Vec<u64> = (0..30).map(|round| round * 3 + 2).collect();
    assert_eq!(of_stream.positions_to(89).await, second);
    assert_eq!(prefix.positions_to(89).await, second);
    let both: Vec<u64> = (1..91).filter(|position| position % 3 != 1).collect();
    assert_eq!(paid.positions_to(90).await, both);
    assert_eq!(late.positions_to(89).await, second[15..]);
    // A stream's deletion is an event too.
    world
        .store
        .delete_stream("orders", "order-2")
        .await
        .unwrap();
    assert_eq!(late.event().await.unwrap().1["type"], "$stream-deleted");
    world.stop().await;
}

#[tokio::test]
async fn who_hears_nothing_hears_heartbeats_with_a_position_to_come_back_to() {
    let config = config().live_heartbeat(Duration::from_millis(30));
    let world = World::serve(in_memory().await, config).await;
    let mut live = open(world.address, "orders/live?type=Never", None).await;
    live.named("caught-up").await;
    append(&world.store, "a", "Placed", 1..31).await;
    loop {
        let beat = live.raw_message().await.unwrap();
        assert!(beat.comment && beat.data.is_empty(), "{beat:?}");
        if beat.id == Some(30) {
            break;
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn a_slow_reader_loses_nothing_and_keeps_nobody_up() {
    let world = World::new().await;
    let mut slow = open_with(world.address, "orders/live", None, Some(4096)).await;
    let mut quick = open(world.address, "orders/live", None).await;
    slow.named("caught-up").await;
    // Far more than all buffers and the ring hold.
    let text = "x".repeat(20_000);
    for n in 0..1000_u64 {
        let event = annals::NewEvent::json("Placed", &serde_json::json!({ "n": n, "text": text }));
        world
            .store
            .append_events("orders", event.unwrap())
            .await
            .unwrap();
    }
    assert_eq!(quick.positions_to(1000).await, Vec::from_iter(1..1001));
    append(&world.store, "a", "Placed", 0..1).await;
    assert_eq!(quick.positions_to(1001).await, [1001]);
    let (mut positions, mut behind) = (Vec::new(), false);
    while positions.last() != Some(&1001) {
        let message = slow.message().await.unwrap();
        match message.name.as_str() {
            "message" => positions.push(message.id.unwrap()),
            name => behind |= name == "behind",
        }
    }
    assert_eq!(positions, Vec::from_iter(1..1002));
    assert!(behind, "it was told that it had fallen behind");
    assert_eq!(slow.named("caught-up").await.json()["position"], 1001);
    world.stop().await;
}

#[tokio::test]
async fn who_reads_nothing_for_long_is_cut_off() {
    let config = config().live_write_timeout(Duration::from_millis(200));
    let world = World::serve(in_memory().await, config).await;
    let mut stuck = open_with(world.address, "orders/live", None, Some(4096)).await;
    let text = "x".repeat(100_000);
    for n in 0..200_u64 {
        let event = annals::NewEvent::json("Placed", &serde_json::json!({ "n": n, "text": text }));
        world
            .store
            .append_events("orders", event.unwrap())
            .await
            .unwrap();
    }
    // It does not read for as long as it takes; what the kernel has taken comes still, and then the end.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut last = 0;
    while let Some((position, _)) = stuck.event().await {
        last = position;
    }
    assert!(!stuck.ended_well && last < 200, "{last}");
    // A server that stops does not wait for such a one either.
    let stuck = open_with(world.address, "orders/live", None, Some(4096)).await;
    world.stop().await;
    drop(stuck);
}

#[tokio::test]
async fn a_stream_that_is_never_quiet_ends_when_its_caller_may_not_read_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    let all = r#"anonymous = { allow = [{ topics = ["*"], actions = ["read"] }] }"#;
    std::fs::write(&path, all).unwrap();
    let config = config()
        .access_file(&path)
        .live_heartbeat(Duration::from_millis(40));
    let world = World::serve(in_memory().await, config).await;
    let mut live = open(world.address, "orders/live", None).await;
    live.named("caught-up").await;
    let store = world.store.clone();
    let appending = tokio::spawn(async move {
        for n in 0.. {
            append(&store, "a", "Placed", n..n + 1).await;
        }
    });
    assert_eq!(live.event().await.unwrap().0, 1);
    std::fs::write(&path, "").unwrap();
    world.reload.now();
    let ended = within(live.named("ended")).await;
    assert_eq!(ended.json()["reason"], "forbidden");
    assert_eq!(live.message().await, None);
    appending.abort();
    assert!(appending.await.unwrap_err().is_cancelled());
    world.stop().await;
}

/// Does something to the topic that ends its streams, and tells how they ended.
async fn ends_by<F: Future<Output = ()>>(act: impl FnOnce(EventStore) -> F) -> String {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..4).await;
    let mut live = open(world.address, "orders/live", None).await;
    live.named("caught-up").await;
    act(world.store.clone()).await;
    let ended = live.named("ended").await;
    assert_eq!((ended.id, live.message().await), (Some(3), None));
    assert!(live.ended_well);
    let reason = ended.json()["reason"].as_str().unwrap().to_owned();
    world.stop().await;
    reason
}

#[tokio::test]
async fn the_streams_of_a_topic_that_is_deleted_end_and_say_why() {
    let deleted = ends_by(|store| async move { store.delete_topic("orders").await.unwrap() });
    assert_eq!(deleted.await, "topic-not-found");
    let anew = ends_by(|store| async move {
        store.delete_topic("orders").await.unwrap();
        store
            .create_topic(TopicConfig::memory("orders"))
            .await
            .unwrap();
        append(&store, "other", "Placed", 1..9).await;
    });
    assert_eq!(anew.await, "topic-not-found");
}

#[tokio::test]
async fn a_topic_that_moves_keeps_its_subscribers() {
    let world = World::new().await;
    append(&world.store, "a", "Placed", 1..101).await;
    let mut live = open(world.address, "orders/live", None).await;
    live.named("caught-up").await;
    let there = TopicConfig::new("orders", "memory", "elsewhere");
    world.store.update_topic(there).await.unwrap();
    append(&world.store, "a", "Placed", 101..111).await;
    assert_eq!(live.positions_to(110).await, Vec::from_iter(101..111));
    world.stop().await;
}

#[tokio::test]
async fn a_topic_made_anew_has_its_own_events_for_who_comes_then() {
    let world = World::new().await;
    append(&world.store, "old", "Placed", 1..10).await;
    let mut old = open(world.address, "orders/live", None).await;
    old.named("caught-up").await;
    world.store.delete_topic("orders").await.unwrap();
    world
        .store
        .create_topic(TopicConfig::memory("orders"))
        .await
        .unwrap();
    append(&world.store, "new", "Placed", 1..3).await;
    let mut new = open(world.address, "orders/live", None).await;
    append(&world.store, "new", "Placed", 3..5).await;
    for _ in 0..4 {
        assert_eq!(new.event().await.unwrap().1["stream"], "new");
    }
    old.named("ended").await;
    world.stop().await;
}
