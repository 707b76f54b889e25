//! What happens to projections when others fail: handlers that panic, topics that are moved, or removed
//! and made anew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use annals::{
    Consume, EventStore, RecordedEvent, TopicCheckpoints,
    cqrs::{
        Live, LiveModel, OnFailure, Project, Projecting, Projection, ProjectionState, ReadModel,
    },
};
use parking_lot::Mutex;

use super::{Event, give};
use crate::kinds::{Kind, soon};

/// Does as it is told, and writes down what it was given.
struct Told {
    does: Arc<Does>,
    given: Arc<Mutex<Vec<u64>>>,
}

type Does = dyn Fn(u64) -> Result<(), No> + Send + Sync;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct No(String);

impl Projection for Told {
    type Event = Event;
    type Error = No;

    async fn handle(&mut self, event: Event, _: &RecordedEvent) -> Result<(), No> {
        let Event::Given(number) = event;
        (self.does)(number)?;
        self.given.lock().push(number);
        Ok(())
    }
}

fn project() -> Project<Event> {
    Project::named("p")
        .topics(["t"])
        .commit_every(10, Duration::from_millis(20))
        .backoff(Duration::from_millis(1), Duration::from_millis(10))
        .lease(Duration::from_millis(600))
}

type Given = Arc<Mutex<Vec<u64>>>;

async fn start(
    store: &EventStore,
    project: Project<Event>,
    does: impl Fn(u64) -> Result<(), No> + Send + Sync + 'static,
) -> (Projecting, Given) {
    let (does, given): (Arc<Does>, Given) = (Arc::new(does), Arc::default());
    let to = Arc::clone(&given);
    let make = move |_| Told {
        does: Arc::clone(&does),
        given: Arc::clone(&to),
    };
    (project.start(store, make).await.unwrap(), given)
}

/// The numbers of events in the order in which they came.
#[derive(Default)]
struct Numbers(Vec<u64>);

impl ReadModel for Numbers {
    type Event = Event;

    fn apply(&mut self, event: Event, _: &RecordedEvent) {
        let Event::Given(number) = event;
        self.0.push(number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_asked_for_more_than_it_can_do_can_be_stopped() {
    let store = Kind::memory().open_with_topic().await;
    give(&store, "t", 1..2).await;
    let (running, _) = start(&store, project(), |_| Err(No("never".to_owned()))).await;
    let tries = async {
        while !matches!(running.status().await.state, ProjectionState::Retrying(_)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("to try", tries).await;
    let asked: Vec<_> = (0..12)
        .map(|_| {
            let running = running.clone();
            tokio::spawn(async move { running.replay_parked().await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    soon("to stop", running.stop()).await;
    for asked in asked {
        assert!(soon("an answer", asked).await.unwrap().is_err());
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_hears_of_a_handler_that_cannot_be_made() {
    let store = Kind::memory().open_with_topic().await;
    let last = give(&store, "t", 1..2).await;
    let make = |_| -> Told { panic!("no handler") };
    let running = project().start(&store, make).await.unwrap();
    let waited = soon("an answer", running.wait_for("t", last)).await;
    assert!(waited.is_err(), "{waited:?}");
    soon("to be stopped", running.stopped()).await;
    soon("to stop", running.stop()).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_stops_it_and_nothing_is_lost() {
    let store = Kind::memory().open_with_topic().await;
    let last = give(&store, "t", 1..101).await;
    let (running, before) = start(&store, project(), |number| {
        assert_ne!(number, 50, "a bug");
        Ok(())
    })
    .await;
    let waited = soon("an answer", running.wait_for("t", last)).await;
    assert!(waited.is_err(), "{waited:?}");
    let status = running.status().await;
    assert!(
        matches!(status.state, ProjectionState::Stopped(Some(_))),
        "{status:?}"
    );
    assert!(soon("an answer", running.replay_parked()).await.is_err());
    running.stop().await;
    assert_eq!(before.lock().last(), Some(&49));
    let (running, given) = start(&store, project(), |_| Ok(())).await;
    soon("to catch up", running.wait_for("t", last))
        .await
        .unwrap();
    running.stop().await;
    let given = given.lock().clone();
    assert!(given[0] <= 50);
    assert_eq!(given, (given[0]..=100).collect::<Vec<_>>());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_parked_whatever_its_handler_says() {
    let store = Kind::memory().open_with_topic().await;
    let last = give(&store, "t", 1..4).await;
    let park = project().on_failure(OnFailure::Park { tries: 1 });
    let (running, given) = start(&store, park, |number| {
        if number == 2 {
            return Err(No("é".repeat(1 << 20)));
        }
        Ok(())
    })
    .await;
    soon("to catch up", running.wait_for("t", last))
        .await
        .unwrap();
    let parked = running.parked(10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].reason.starts_with("éé"));
    running.stop().await;
    assert_eq!(*given.lock(), [1, 3]);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_after_the_topic_of_parked_events_was_removed_is_seen() {
    let store = Kind::memory().open_with_topic().await;
    let park = || project().on_failure(OnFailure::Park { tries: 1 });
    let refuses = Arc::new(AtomicBool::new(true));
    let does = {
        let refuses = Arc::clone(&refuses);
        move |_| match refuses.load(Ordering::SeqCst) {
            true => Err(No("no".to_owned())),
            false => Ok(()),
        }
    };
    let (running, _) = start(&store, park(), does.clone()).await;
    let last = give(&store, "t", 1..11).await;
    soon("it", running.wait_for("t", last)).await.unwrap();
    refuses.store(false, Ordering::SeqCst);
    assert_eq!(soon("it", running.replay_parked()).await.unwrap(), 10);
    assert!(running.parked(100).await.unwrap().is_empty());
    refuses.store(true, Ordering::SeqCst);
    store.delete_topic("t.parked").await.unwrap();
    store.purge_topic("t.parked").await.unwrap();
    let last = give(&store, "t", 11..14).await;
    soon("it", running.wait_for("t", last)).await.unwrap();
    assert_eq!(running.parked(100).await.unwrap().len(), 3);
    running.stop().await;
    let (running, _) = start(&store, park(), does).await;
    soon("it", running.wait_for("t", last)).await.unwrap();
    assert_eq!(running.status().await.parked, 3);
    refuses.store(false, Ordering::SeqCst);
    assert_eq!(soon("it", running.replay_parked()).await.unwrap(), 3);
    running.stop().await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_moved_is_followed() {
    let kind = Kind::memory();
    let store = kind.open_with_topic().await;
    give(&store, "t", 1..301).await;
    let (running, given) = start(&store, project(), |_| Ok(())).await;
    let live = LiveModel::<Numbers>::open(&store, Live::topics(["t"]))
        .await
        .unwrap();
    soon("it", running.caught_up()).await.unwrap();
    let file = Kind::file();
    for (to, from) in [(&file, 301_u64), (&Kind::memory_named("there"), 601)] {
        let writing = {
            let store = store.clone();
            tokio::spawn(async move {
                let mut last = annals::Position::START;
                for number in (from..from + 300).step_by(10) {
                    last = give(&store, "t", number..number + 10).await;
                }
                last
            })
        };
        store.update_topic(to.topic("t")).await.unwrap();
        let last = writing.await.unwrap();
        soon("it", running.wait_for("t", last)).await.unwrap();
        soon("it", live.wait_for("t", last)).await.unwrap();
    }
    running.stop().await;
    live.close().await;
    let all: Vec<u64> = (1..=900).collect();
    assert_eq!(*given.lock(), all);
    live.read(|numbers| assert_eq!(numbers.0, all));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_topic_that_was_made_anew_nothing_is_left_out() {
    for _ in 0..20 {
        let store = Kind::memory().open_with_topic().await;
        let last = give(&store, "t", 1..101).await;
        let (running, given) = start(&store, project(), |_| Ok(())).await;
        let live = LiveModel::<Numbers>::open(&store, Live::topics(["t"]))
            .await
            .unwrap();
        soon("it", running.wait_for("t", last)).await.unwrap();
        soon("it", live.wait_for("t", last)).await.unwrap();
        store.delete_topic("t").await.unwrap();
        store.purge_topic("t").await.unwrap();
        store.create_topic(Kind::memory().topic("t")).await.unwrap();
        let last = give(&store, "t", 1001..1201).await;
        let followed = soon("it", running.wait_for("t", last)).await;
        let seen = soon("it", live.wait_for("t", last)).await;
        let all: Vec<u64> = (1001..1201).collect();
        if followed.is_ok() {
            assert!(given.lock().ends_with(&all));
        }
        if seen.is_ok() {
            live.read(|numbers| assert!(numbers.0.ends_with(&all)));
        }
        running.stop().await;
        let (running, given) = start(&store, project(), |_| Ok(())).await;
        soon("it", running.wait_for("t", last)).await.unwrap();
        running.stop().await;
        if followed.is_err() {
            assert_eq!(*given.lock(), all);
        }
        soon("it", live.rebuild().finished()).await.unwrap();
        live.read(|numbers| assert_eq!(numbers.0, all));
        live.close().await;
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_for_what_is_parked_can_be_stopped() {
    let store = Kind::memory().open_with_topic().await;
    let park = || project().on_failure(OnFailure::Park { tries: 1 });
    let (running, _) = start(&store, park(), |_| Err(No("no".to_owned()))).await;
    let last = give(&store, "t", 1..11).await;
    soon("it", running.wait_for("t", last)).await.unwrap();
    // As an instance that was killed while it replayed.
    let checkpoints = TopicCheckpoints::beside(&store, "t").await.unwrap();
    let killed = Consume::named("p").checkpoints(checkpoints);
    let killed = store.consume("t.parked", killed).await.unwrap();
    let replayed = tokio::spawn({
        let running = running.clone();
        async move { running.replay_parked().await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    soon("to stop", running.stop()).await;
    let replayed = soon("an answer", replayed).await.unwrap();
    assert!(replayed.is_err(), "{replayed:?}");
    drop(killed);
    store.close().await.unwrap();
}
