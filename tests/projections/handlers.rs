//! Handlers with checkpoints.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use annals::{
    Error, EventStore, NewEvent, Position, RecordedEvent,
    cqrs::{OnFailure, Project, Projecting, Projection, ProjectionState},
};
use parking_lot::Mutex;

use super::{Event, give};
use crate::kinds::{Kind, soon};

/// A read model elsewhere: what it was given, for each generation, and what was flushed.
#[derive(Debug, Default)]
struct Elsewhere {
    /// By generation and topic: positions in the order in which they were handled.
    handled: Mutex<BTreeMap<(u64, String), Vec<u64>>>,
    read: AtomicU64,
    switches: AtomicU64,
}

impl Elsewhere {
    fn of(&self, generation: u64, topic: &str) -> Vec<u64> {
        let handled = self.handled.lock();
        handled
            .get(&(generation, topic.to_owned()))
            .cloned()
            .unwrap_or_default()
    }

    /// That a generation has each event up to here in order; again only from before a checkpoint.
    fn check(&self, generation: u64, topic: &str, up_to: u64) {
        let handled = self.of(generation, topic);
        let mut next = 1;
        for position in &handled {
            assert!(
                *position <= next,
                "{position} where {next} is next: {handled:?}"
            );
            next = next.max(position + 1);
        }
        assert_eq!(next, up_to + 1, "generation {generation} of {topic}");
    }

    /// That it has each event up to here once.
    fn check_once(&self, generation: u64, topic: &str, up_to: u64) {
        assert_eq!(self.of(generation, topic), (1..=up_to).collect::<Vec<_>>());
    }
}

/// What the handler does with an event: by its number and how often it was tried.
type Verdict = dyn Fn(u64, u64) -> bool + Send + Sync;

#[derive(Clone)]
struct Handler {
    to: Arc<Elsewhere>,
    generation: u64,
    refuses: Arc<Verdict>,
    tries: Arc<Mutex<BTreeMap<u64, u64>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("number {0} is refused")]
struct No(u64);

impl Projection for Handler {
    type Event = Event;
    type Error = No;

    async fn handle(&mut self, event: Event, recorded: &RecordedEvent) -> Result<(), No> {
        let Event::Given(number) = event;
        let tries = {
            let mut tries = self.tries.lock();
            let tries = tries.entry(number).or_default();
            *tries += 1;
            *tries
        };
        if (self.refuses)(number, tries) {
            return Err(No(number));
        }
        let key = (self.generation, recorded.topic.to_string());
        let position = recorded.position.get();
        self.to
            .handled
            .lock()
            .entry(key)
            .or_default()
            .push(position);
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn switch(&mut self) -> Result<(), No> {
        self.to.read.store(self.generation, Ordering::SeqCst);
        self.to.switches.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn project(topics: &[&str]) -> Project<Event> {
    Project::named("p")
        .topics(topics.iter().copied())
        .commit_every(10, Duration::from_millis(20))
        .backoff(Duration::from_millis(1), Duration::from_millis(10))
        .lease(Duration::from_millis(600))
}

/// Waits until an instance is at work.
async fn begun(projecting: &Projecting) {
    while !matches!(projecting.status().await.state, ProjectionState::Running) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn start(store: &EventStore, project: Project<Event>, to: &Arc<Elsewhere>) -> Projecting {
    start_refusing(store, project, to, |_, _| false).await
}

async fn start_refusing(
    store: &EventStore,
    project: Project<Event>,
    to: &Arc<Elsewhere>,
    refuses: impl Fn(u64, u64) -> bool + Send + Sync + 'static,
) -> Projecting {
    let (to, refuses): (_, Arc<Verdict>) = (Arc::clone(to), Arc::new(refuses));
    let make = move |generation| Handler {
        to: Arc::clone(&to),
        generation,
        refuses: Arc::clone(&refuses),
        tries: Arc::default(),
    };
    project.start(store, make).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_where_it_was_stopped_and_handles_each_event_once() {
    for kind in Kind::all() {
        let store = kind.open().await;
        for topic in ["a", "b"] {
            store.create_topic(kind.topic(topic)).await.unwrap();
        }
        let to = Arc::new(Elsewhere::default());
        let mut ends = (1, 1);
        for round in 0..5 {
            let running = start(&store, project(&["a", "b"]), &to).await;
            let mut last = Position::START;
            for (topic, end) in [("a", &mut ends.0), ("b", &mut ends.1)] {
                last = give(&store, topic, *end..*end + 23).await;
                *end += 23;
            }
            if round % 2 == 0 {
                soon("it", running.wait_for("b", last)).await.unwrap();
            }
            soon("to stop", running.stop()).await;
            assert!(matches!(
                running.status().await.state,
                ProjectionState::Stopped(None)
            ));
        }
        let running = start(&store, project(&["a", "b"]), &to).await;
        soon("to catch up", running.caught_up()).await.unwrap();
        soon("to begin", begun(&running)).await;
        let status = running.status().await;
        assert_eq!((status.generation, status.parked), (1, 0));
        assert!(
            status.topics.iter().all(|one| one.lag() == Some(0)),
            "{status:?}"
        );
        assert!(
            matches!(status.state, ProjectionState::Running),
            "{status:?}"
        );
        running.stop().await;
        to.check_once(1, "a", ends.0 - 1);
        to.check_once(1, "b", ends.1 - 1);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_at_any_point_loses_nothing() {
    let kind = Kind::file();
    let store = kind.open_with_topic().await;
    let to = Arc::new(Elsewhere::default());
    give(&store, "t", 1..2001).await;
    for round in 0..12 {
        let (store, to) = (store.clone(), Arc::clone(&to));
        // A runtime that goes away takes everything with it in the middle, leases too.
        let killed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
            let running = runtime.block_on(start(&store, project(&["t"]), &to));
            std::thread::sleep(Duration::from_millis(650 + round * 3));
            runtime.shutdown_background();
            drop(running);
        });
        tokio::task::spawn_blocking(|| killed.join().unwrap())
            .await
            .unwrap();
    }
    let running = start(&store, project(&["t"]), &to).await;
    soon("to catch up", running.caught_up()).await.unwrap();
    running.stop().await;
    to.check(1, "t", 2000);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_instances_one_is_at_work_and_the_other_takes_over() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let to = Arc::new(Elsewhere::default());
        let first = start(&store, project(&["t"]), &to).await;
        soon("to begin", begun(&first)).await;
        let second = start(&store, project(&["t"]), &to).await;
        let last = give(&store, "t", 1..31).await;
        soon("it", first.wait_for("t", last)).await.unwrap();
        let status = second.status().await;
        assert!(
            matches!(status.state, ProjectionState::Waiting),
            "{status:?}"
        );
        drop(first);
        let last = give(&store, "t", 31..61).await;
        soon("to take over", second.wait_for("t", last))
            .await
            .unwrap();
        second.stop().await;
        to.check_once(1, "t", 60);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_tried_again_until_it_is_handled() {
    let kind = Kind::file();
    let store = kind.open_with_topic().await;
    let to = Arc::new(Elsewhere::default());
    let refuses = |number, tries| number % 7 == 0 && tries < 4;
    let running = start_refusing(&store, project(&["t"]), &to, refuses).await;
    give(&store, "t", 1..101).await;
    soon("to catch up", running.caught_up()).await.unwrap();
    let status = running.status().await;
    assert!(
        matches!(status.state, ProjectionState::Running),
        "{status:?}"
    );
    assert!(status.last_error.unwrap().to_string().contains("event 98"));
    running.stop().await;
    to.check_once(1, "t", 100);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_to_try_again_says_so_and_can_be_stopped() {
    let store = Kind::memory().open_with_topic().await;
    let to = Arc::new(Elsewhere::default());
    let slow = project(&["t"]).backoff(Duration::from_secs(60), Duration::from_secs(60));
    let running = start_refusing(&store, slow, &to, |number, _| number == 4).await;
    give(&store, "t", 1..9).await;
    let retrying = async {
        while !matches!(running.status().await.state, ProjectionState::Retrying(_)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon("to fail", retrying).await;
    let status = running.status().await;
    assert_eq!(
        (status.topics[0].position.get(), status.topics[0].lag()),
        (3, Some(5))
    );
    soon("to stop", running.stop()).await;
    let waited = running.wait_for("t", Position::new(4)).await;
    assert!(matches!(
        waited,
        Err(Error::ProjectionStopped { source: None, .. })
    ));
    let running = start(&store, project(&["t"]), &to).await;
    soon("to catch up", running.caught_up()).await.unwrap();
    running.stop().await;
    to.check_once(1, "t", 8);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_too_often_stops_it_before_that_event() {
    let kind = Kind::file();
    let store = kind.open_with_topic().await;
    let to = Arc::new(Elsewhere::default());
    let stop = project(&["t"]).on_failure(OnFailure::Stop { tries: 3 });
    let running = start_refusing(&store, stop, &to, |number, _| number == 15).await;
    give(&store, "t", 1..31).await;
    let waited = soon("it", running.wait_for("t", Position::new(15))).await;
    assert!(matches!(
        waited,
        Err(Error::ProjectionStopped {
            source: Some(_),
            ..
        })
    ));
    let status = running.status().await;
    let ProjectionState::Stopped(Some(cause)) = &status.state else {
        panic!("{status:?}");
    };
    assert_eq!(
        cause.to_string(),
        "event 15 (Given) of topic t was refused 3 times"
    );
    assert_eq!(
        std::error::Error::source(&**cause).unwrap().to_string(),
        "number 15 is refused"
    );
    running.stop().await;
    // Started again without the fault, it goes on with that event.
    let running = start(&store, project(&["t"]), &to).await;
    soon("to catch up", running.caught_up()).await.unwrap();
    running.stop().await;
    to.check_once(1, "t", 30);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_is_listed_and_handled_once_more() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let to = Arc::new(Elsewhere::default());
        let park = || project(&["t"]).on_failure(OnFailure::Park { tries: 2 });
        give(&store, "t", 1..21).await;
        store
            .append_events("t", NewEvent::json("Strange", &1).unwrap())
            .await
            .unwrap();
        give(&store, "t", 21..31).await;
        let refuses = |number, _| matches!(number, 5 | 25);
        let running = start_refusing(&store, park(), &to, refuses).await;
        soon("to catch up", running.caught_up()).await.unwrap();
        assert_eq!(running.status().await.parked, 3);
        let parked = running.parked(10).await.unwrap();
        let of = |one: &annals::cqrs::ParkedEvent| (one.position.get(), one.tries);
        assert_eq!(
            parked.iter().map(of).collect::<Vec<_>>(),
            [(5, 2), (21, 1), (26, 2)]
        );
        assert_eq!(parked[0].reason, "number 5 is refused");
        assert_eq!(parked[1].event.as_ref().unwrap().event_type, "Strange");
        assert_eq!(running.parked(1).await.unwrap().len(), 1);
        // They are refused again.
        assert_eq!(soon("it", running.replay_parked()).await.unwrap(), 3);
        assert_eq!(running.status().await.parked, 3);
        running.stop().await;
        let running = start_refusing(&store, park(), &to, |number, _| number == 25).await;
        assert_eq!(soon("it", running.replay_parked()).await.unwrap(), 3);
        let status = running.status().await;
        assert_eq!(status.parked, 2);
        let parked = running.parked(10).await.unwrap();
        assert_eq!(
            parked
                .iter()
                .map(|one| one.position.get())
                .collect::<Vec<_>>(),
            [21, 26]
        );
        running.stop().await;
        let mut handled = to.of(1, "t");
        assert_eq!(handled.iter().filter(|one| **one == 5).count(), 1);
        handled.sort_unstable();
        let expected: Vec<u64> = (1..=31).filter(|one| !matches!(one, 21 | 26)).collect();
        assert_eq!(handled, expected);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_is_built_beside_appends_and_takes_the_place_of_the_one_before() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let to = Arc::new(Elsewhere::default());
        give(&store, "t", 1..401).await;
        let running = start(&store, project(&["t"]), &to).await;
        soon("to catch up", running.caught_up()).await.unwrap();
        let writer = tokio::spawn({
            let (store, running) = (store.clone(), running.clone());
            async move {
                for number in 401..461 {
                    let last = give(&store, "t", number..number + 1).await;
                    running.wait_for("t", last).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        for generation in 2..4 {
            let rebuild = running.rebuild().await.unwrap();
            assert_eq!(rebuild.progress().await[0].topic, "t");
            soon("to rebuild", rebuild.finished()).await.unwrap();
            let switched = async {
                while running.status().await.generation != generation {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            soon("to switch", switched).await;
            assert_eq!(to.read.load(Ordering::SeqCst), generation);
        }
        soon("the writer", writer).await.unwrap();
        soon("to catch up", running.caught_up()).await.unwrap();
        running.stop().await;
        assert_eq!(to.switches.load(Ordering::SeqCst), 2);
        to.check_once(3, "t", 460);
        // Whoever starts next goes on with that.
        let running = start(&store, project(&["t"]), &to).await;
        give(&store, "t", 461..471).await;
        soon("to catch up", running.caught_up()).await.unwrap();
        assert_eq!(running.status().await.generation, 3);
        running.stop().await;
        to.check_once(3, "t", 470);
        assert!(to.of(2, "t").len() < 470);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_a_later_generation_builds_it_and_one_that_was_stopped_goes_on_building() {
    let kind = Kind::file();
    let store = kind.open_with_topic().await;
    let to = Arc::new(Elsewhere::default());
    give(&store, "t", 1..101).await;
    let old = start(&store, project(&["t"]), &to).await;
    soon("to catch up", old.caught_up()).await.unwrap();
    // The new one is started beside, and cannot go on yet.
    let stuck = |number, _| number == 50;
    let fresh = start_refusing(&store, project(&["t"]).generation(5), &to, stuck).await;
    let stands = async {
        loop {
            let status = fresh.status().await;
            let building = status.building.map(|one| (one.0, one.1[0].position.get()));
            if building == Some((5, 49)) {
                assert_eq!(status.generation, 1);
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon("to build", stands).await;
    soon("to stop", fresh.stop()).await;
    assert_eq!(to.read.load(Ordering::SeqCst), 0);
    let fresh = start(&store, project(&["t"]).generation(5), &to).await;
    let switched = async {
        while fresh.status().await.generation != 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon("to switch", switched).await;
    let last = give(&store, "t", 101..111).await;
    soon("it", fresh.wait_for("t", last)).await.unwrap();
    // The old program sees it, and stands by for the generation that is read.
    let superseded = async {
        while old.status().await.generation != 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("to be superseded", superseded).await;
    fresh.stop().await;
    let last = give(&store, "t", 111..121).await;
    soon("it", old.wait_for("t", last)).await.unwrap();
    old.stop().await;
    to.check_once(5, "t", 120);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_cannot_be_built_leaves_the_one_that_is_read() {
    let store = Kind::memory().open_with_topic().await;
    let to = Arc::new(Elsewhere::default());
    give(&store, "t", 1..51).await;
    let make = {
        let to = Arc::clone(&to);
        move |generation| Handler {
            to: Arc::clone(&to),
            generation,
            refuses: Arc::new(move |number, _| generation == 2 && number == 9),
            tries: Arc::default(),
        }
    };
    let stop = project(&["t"]).on_failure(OnFailure::Stop { tries: 2 });
    let running = stop.start(&store, make).await.unwrap();
    let rebuild = running.rebuild().await.unwrap();
    let finished = soon("it", rebuild.finished()).await;
    assert!(
        matches!(
            finished,
            Err(Error::ProjectionStopped {
                source: Some(_),
                ..
            })
        ),
        "{finished:?}"
    );
    let last = give(&store, "t", 51..61).await;
    soon("it", running.wait_for("t", last)).await.unwrap();
    let status = running.status().await;
    assert_eq!((status.generation, status.building.is_none()), (1, true));
    running.stop().await;
    to.check_once(1, "t", 60);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_it_runs_on_when_it_is_stopped_dropped_or_its_store_closed() {
    let store = Kind::memory().open_with_topic().await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let gone = || async {
        while tasks() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let to = Arc::new(Elsewhere::default());
    for round in 0..6 {
        let running = start(&store, project(&["t"]), &to).await;
        if round > 1 {
            running.caught_up().await.unwrap();
        }
        let rebuild = running.rebuild().await;
        match round % 3 {
            0 => soon("to stop", running.stop()).await,
            1 => drop(running),
            _ => {
                soon("to rebuild", rebuild.unwrap().finished())
                    .await
                    .unwrap();
                let other = running.clone();
                drop(running);
                soon("it", other.caught_up()).await.unwrap();
                drop(other);
            }
        }
        soon("its tasks to end", gone()).await;
    }
    let running = start(&store, project(&["t"]), &to).await;
    soon("it", running.caught_up()).await.unwrap();
    store.close().await.unwrap();
    soon("to stop", running.stopped()).await;
    let status = running.status().await;
    assert!(
        matches!(status.state, ProjectionState::Stopped(Some(_))),
        "{status:?}"
    );
    soon("to stop", running.stop()).await;
    soon("its tasks to end", gone()).await;
}
