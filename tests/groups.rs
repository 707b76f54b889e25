//! Consumer groups: every event is processed, in the order of its stream, by members that come and go,
//! die and stand still; what fails is tried again, parked, and tried once more when asked.

#![cfg(test)]
#![cfg(all(feature = "file", feature = "testing"))]

mod kinds;
#[cfg(feature = "postgres")]
mod servers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use annals::{
    Delivery, Error, EventFilter, EventStore, Group, Member, Position, Read, RecordedEvent, Result,
    TopicCheckpoints, repository::Checkpoints,
};
use futures_util::{StreamExt, TryStreamExt};
use kinds::{Kind, append, log, soon};

fn group() -> Group {
    Group::named("g")
        .partitions(8)
        .lease(Duration::from_millis(1500))
        .backoff(Duration::from_millis(10), Duration::from_millis(40))
}

async fn next(member: &mut Member) -> Delivery {
    let delivery = soon("a delivery", member.try_next()).await;
    delivery.unwrap().expect("it goes on")
}

/// What all members of a group have processed, in the order in which they did.
#[derive(Debug, Default)]
struct Processed(Mutex<Vec<RecordedEvent>>);

impl Processed {
    fn add(&self, event: &RecordedEvent) {
        self.0.lock().unwrap().push(event.clone());
    }

    fn distinct(&self) -> usize {
        let events = self.0.lock().unwrap();
        let positions: BTreeSet<Position> = events.iter().map(|event| event.position).collect();
        positions.len()
    }

    /// Every event was processed, and none before the one before it in its stream. How many were
    /// processed more than once.
    fn check(&self, log: &[RecordedEvent]) -> usize {
        let events = self.0.lock().unwrap();
        let mut versions: BTreeMap<String, u64> = BTreeMap::new();
        for event in events.iter() {
            let version = versions.entry(event.stream.to_string()).or_default();
            let (this, last) = (event.version.get(), *version);
            assert!(
                this <= last + 1,
                "{this} of {} was processed behind {last}",
                event.stream
            );
            *version = last.max(this);
        }
        drop(events);
        assert_eq!(self.distinct(), log.len(), "not all was processed");
        self.0.lock().unwrap().len() - log.len()
    }
}

async fn write(store: &EventStore, streams: u64, count: u64) {
    for _ in 0..count {
        for stream in 0..streams {
            append(store, "t", &format!("s-{stream}"), 1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_gets_every_event_once_and_goes_on_where_it_left() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let processed = Processed::default();
        for round in 1..=3_usize {
            write(&store, 5, 10).await;
            let mut member = store.join("t", group()).await.unwrap();
            while processed.distinct() < round * 50 {
                let delivery = next(&mut member).await;
                assert_eq!(delivery.attempt(), 1);
                processed.add(delivery.event());
                delivery.done();
            }
            member.leave().await.unwrap();
        }
        assert_eq!(
            processed.check(&log(&store, "t").await),
            0,
            "{}",
            kind.adapter
        );
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stream_one_event_is_out_at_a_time() {
    let store = Kind::memory().open_with_topic().await;
    write(&store, 4, 10).await;
    let group = group().filter(EventFilter::all().streams(["s-0", "s-1", "s-2"]));
    let mut member = store.join("t", group).await.unwrap();
    let mut out = Vec::new();
    for _ in 0..3 {
        out.push(next(&mut member).await);
    }
    let streams: BTreeSet<_> = out.iter().map(|one| one.event().stream.clone()).collect();
    assert_eq!(streams.len(), 3, "two events of a stream are out");
    let more = tokio::time::timeout(Duration::from_millis(100), member.next()).await;
    assert!(more.is_err(), "{more:?}");
    // The answer to one lets the next of its stream come.
    let one = out.remove(1);
    let (stream, version) = (one.event().stream.clone(), one.event().version);
    one.done();
    let following = next(&mut member).await;
    assert_eq!(following.event().stream, stream);
    assert_eq!(following.event().version, version.next());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_and_holds_up_its_own_stream_only() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        write(&store, 3, 4).await;
        let mut member = store.join("t", group().tries(10)).await.unwrap();
        let processed = Processed::default();
        let mut attempts = BTreeMap::new();
        while processed.distinct() < 12 {
            let delivery = next(&mut member).await;
            let event = delivery.event().clone();
            let bad = event.stream == "s-1" && event.version.get() == 2;
            attempts.insert(event.position, delivery.attempt());
            match delivery.attempt() {
                1 if bad => delivery.failed("no"),
                2 if bad => drop(delivery),
                _ if bad && processed.distinct() < 8 => delivery.failed("not before the others"),
                _ => {
                    processed.add(&event);
                    delivery.done();
                }
            }
        }
        assert_eq!(processed.check(&log(&store, "t").await), 0);
        let tried: Vec<_> = attempts.values().filter(|tries| **tries > 1).collect();
        assert!(tried.len() == 1 && *tried[0] > 2, "{attempts:?}");
        assert_eq!(log(&store, "t.parked").await.len(), 0);
        member.leave().await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_in_time_comes_again_and_late_answers_count_for_nothing() {
    let store = Kind::memory().open_with_topic().await;
    write(&store, 1, 2).await;
    let group = group().answer_within(Duration::from_millis(200));
    let mut member = store.join("t", group).await.unwrap();
    let late = next(&mut member).await;
    let again = next(&mut member).await;
    assert_eq!((late.attempt(), again.attempt()), (1, 2));
    assert_eq!(late.event(), again.event());
    late.done();
    // The second try is what counts: it fails, and a third one comes.
    again.failed("no");
    let third = next(&mut member).await;
    assert_eq!(third.attempt(), 3);
    assert_eq!(third.event().position.get(), 1);
    third.done();
    assert_eq!(next(&mut member).await.event().position.get(), 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_good_is_parked_and_tried_once_more_when_asked() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        write(&store, 3, 4).await;
        let group = group().tries(3);
        let mut member = store.join("t", group.clone()).await.unwrap();
        let is_bad =
            |event: &RecordedEvent| event.stream == "s-1" && event.version.get().is_multiple_of(2);
        let mut failed = BTreeMap::new();
        let mut done = 0;
        while done < 10 || failed.values().sum::<u32>() < 3 + 1 {
            let delivery = next(&mut member).await;
            if is_bad(delivery.event()) {
                *failed.entry(delivery.event().position).or_insert(0) += 1;
                if delivery.event().version.get() == 2 {
                    delivery.failed("it is bad");
                } else {
                    delivery.park("it is hopeless");
                }
            } else {
                done += 1;
                delivery.done();
            }
        }
        assert_eq!(failed.values().copied().collect::<Vec<_>>(), [3, 1]);
        member.leave().await.unwrap();
        let parked = store
            .get_events("t.parked", Read::stream("g"))
            .await
            .unwrap();
        let told: Vec<serde_json::Value> = parked
            .iter()
            .map(|event| event.metadata_json().unwrap())
            .collect();
        assert_eq!(told.len(), 2);
        assert_eq!(
            (&told[0]["reason"], &told[0]["tries"]),
            (&"it is bad".into(), &3.into())
        );
        assert_eq!(
            (&told[1]["reason"], &told[1]["tries"]),
            (&"it is hopeless".into(), &1.into())
        );
        // Nobody asks, and nothing comes.
        let mut member = store.join("t", group.clone()).await.unwrap();
        append(&store, "t", "s-2", 1).await;
        let live = next(&mut member).await;
        assert_eq!(live.event().position.get(), 13);
        live.done();
        // The first is good by now, the other one is parked again.
        assert_eq!(store.replay_parked("t", &group).await.unwrap(), 2);
        let first = next(&mut member).await;
        assert!(is_bad(first.event()) && first.event().version.get() == 2);
        let original = log(&store, "t").await;
        assert!(original.contains(first.event()), "it is not as it was");
        first.done();
        let second = next(&mut member).await;
        assert_eq!(second.event().version.get(), 4);
        second.park("still hopeless");
        member.leave().await.unwrap();
        assert_eq!(log(&store, "t.parked").await.len(), 3);
        assert_eq!(store.replay_parked("t", &group).await.unwrap(), 1);
        let mut member = store.join("t", group.clone()).await.unwrap();
        let third = next(&mut member).await;
        assert_eq!(third.event().version.get(), 4);
        third.done();
        member.leave().await.unwrap();
        assert_eq!(store.replay_parked("t", &group).await.unwrap(), 0);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_are_remembered_when_the_member_changes() {
    let kind = Kind::file();
    let store = kind.open_with_topic().await;
    write(&store, 1, 2).await;
    let group = group().tries(4);
    for attempt in 1..=4 {
        let mut member = store.join("t", group.clone()).await.unwrap();
        let delivery = next(&mut member).await;
        assert_eq!(
            (delivery.event().position.get(), delivery.attempt()),
            (1, attempt)
        );
        delivery.failed("no");
        member.leave().await.unwrap();
    }
    let mut member = store.join("t", group).await.unwrap();
    assert_eq!(next(&mut member).await.event().position.get(), 2);
    assert_eq!(log(&store, "t.parked").await.len(), 1);
    store.close().await.unwrap();
}

/// Takes and answers until it is told to stop; some fail, some are dropped.
async fn work(mut member: Member, processed: Arc<Processed>, stop: Arc<AtomicBool>) {
    let mut count = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let waiting = tokio::time::timeout(Duration::from_millis(20), member.try_next());
        let Ok(delivery) = waiting.await else {
            continue;
        };
        let delivery = delivery.unwrap().expect("it goes on");
        count += 1;
        match count % 13 {
            5 => delivery.failed("by chance"),
            9 => drop(delivery),
            _ => {
                tokio::time::sleep(Duration::from_micros(count % 3 * 300)).await;
                processed.add(delivery.event());
                delivery.done();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_process_all_in_order() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let processed = Arc::new(Processed::default());
        let never = Arc::new(AtomicBool::new(false));
        let group = group().tries(1000);
        let join = || async {
            let member = store.join("t", group.clone()).await.unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let working = work(member, Arc::clone(&processed), Arc::clone(&stop));
            (tokio::spawn(working), stop)
        };
        let stays = join().await;
        let mut others = Vec::new();
        for round in 0..8 {
            write(&store, 7, 6).await;
            others.push(join().await);
            if round % 2 == 1 {
                // One leaves in order, another one is dropped in the middle of its work.
                let (working, stop) = others.remove(0);
                stop.store(true, Ordering::Relaxed);
                working.await.unwrap();
                let (working, _) = others.remove(0);
                working.abort();
            }
        }
        let all = log(&store, "t").await;
        let done = async {
            while processed.distinct() < all.len() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("to process all", done).await;
        stays.1.store(true, Ordering::Relaxed);
        stays.0.await.unwrap();
        let repeated = processed.check(&all);
        assert!(repeated < 60, "{}: {repeated} came again", kind.adapter);
        assert!(!never.load(Ordering::Relaxed));
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_the_streams() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let processed = Arc::new(Processed::default());
        let mut members = Vec::new();
        for _ in 0..3 {
            members.push(store.join("t", group()).await.unwrap());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut each = Vec::new();
        let mut working = tokio::task::JoinSet::new();
        for member in members {
            let own = Arc::new(Processed::default());
            each.push(Arc::clone(&own));
            let (processed, stop) = (Arc::clone(&processed), Arc::clone(&stop));
            let mut member = member;
            working.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let waiting =
                        tokio::time::timeout(Duration::from_millis(20), member.try_next());
                    let Ok(delivery) = waiting.await else {
                        continue;
                    };
                    let delivery = delivery.unwrap().unwrap();
                    own.add(delivery.event());
                    processed.add(delivery.event());
                    delivery.done();
                }
            });
        }
        // They agree after a look or two.
        let spread = async {
            loop {
                write(&store, 12, 1).await;
                if each.iter().all(|own| own.distinct() > 0) {
                    return;
                }
            }
        };
        soon("to share", spread).await;
        let all = log(&store, "t").await.len();
        let done = async {
            while processed.distinct() < all {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("to process all", done).await;
        stop.store(true, Ordering::Relaxed);
        while working.join_next().await.is_some() {}
        assert_eq!(
            processed.check(&log(&store, "t").await),
            0,
            "{}",
            kind.adapter
        );
        store.close().await.unwrap();
    }
}

/// A member that stands still with its process is taken to be gone; when it goes on, it records nothing
/// of what others have by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stood_still_records_nothing() {
    for kind in [Kind::memory(), Kind::file()] {
        let store = kind.open_with_topic().await;
        write(&store, 6, 5).await;
        let (tell, begun) = tokio::sync::oneshot::channel();
        let (go, paused) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn({
            let (own, stay) = (kind.open_another().await, store.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async move {
                    let store = own.unwrap_or(stay);
                    let mut member = store.join("t", group()).await.unwrap();
                    let first = next(&mut member).await;
                    tell.send(()).unwrap();
                    paused.recv().unwrap();
                    // It is late with this answer, and gets nothing while others have all.
                    first.failed("late");
                    let more =
                        tokio::time::timeout(Duration::from_millis(400), member.next()).await;
                    drop(member);
                    more.is_ok()
                })
            }
        });
        begun.await.unwrap();
        let processed = Processed::default();
        let mut member = store.join("t", group()).await.unwrap();
        while processed.distinct() < 30 {
            let delivery = next(&mut member).await;
            processed.add(delivery.event());
            delivery.done();
        }
        assert_eq!(processed.check(&log(&store, "t").await), 0);
        // What it had is recorded before the other one goes on.
        member.leave().await.unwrap();
        let checkpoints = TopicCheckpoints::new(&store, "t.consumers");
        let mut before = Vec::new();
        for partition in 0..8 {
            let key = format!("t/g/{partition}");
            before.push(checkpoints.load(&key).await.unwrap());
        }
        go.send(()).unwrap();
        let joined = tokio::task::spawn_blocking(move || thread.join().unwrap());
        let more = soon("the other member", joined).await.unwrap();
        assert!(!more, "it was given what others had done");
        for (partition, before) in before.iter().enumerate() {
            let key = format!("t/g/{partition}");
            let now = checkpoints.load(&key).await.unwrap();
            assert!(now.position >= before.position, "{partition} went back");
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_said() {
    let kind = Kind::memory();
    let store = kind.open_with_topic().await;
    let invalid = |outcome: Result<Member>| {
        assert!(
            matches!(outcome, Err(Error::InvalidConfig { .. })),
            "{outcome:?}"
        );
    };
    invalid(store.join("t", Group::named("")).await);
    invalid(store.join("t", Group::named("a\nb")).await);
    let mut member = store.join("t", group()).await.unwrap();
    invalid(store.join("t", group().partitions(9)).await);
    let unknown = store.join("unknown", group()).await;
    assert!(matches!(unknown, Err(Error::TopicNotFound { .. })));
    store.delete_topic("t").await.unwrap();
    let end = soon("the end", member.next()).await.unwrap();
    assert!(matches!(end, Err(Error::TopicNotFound { .. })), "{end:?}");
    assert!(member.next().await.is_none());
    // Another topic of the name has a group of its own.
    store.create_topic(kind.topic("t")).await.unwrap();
    append(&store, "t", "s", 1).await;
    let mut member = store.join("t", group().partitions(9)).await.unwrap();
    assert_eq!(next(&mut member).await.event().position.get(), 1);
    store.close().await.unwrap();
    let end = soon("the end", member.next()).await.unwrap();
    assert!(matches!(end, Err(Error::Closed)), "{end:?}");
}
