//! Sagas whose runner is dropped, replaced or paused: the next one goes on where it was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{
    EventFilter, EventStore, Read, Subscribe, TopicCheckpoints,
    cqrs::{Saga, SagaClient, SagaOptions, SagaOutcome, Sagas, Signalled, Step, StepError},
    repository::Checkpoints,
};
use futures_util::TryStreamExt;

use crate::{
    kinds::{Kind, append, soon},
    run::{open, options, outcome, types},
    world::{Data, Fault, World},
};

/// What is recorded of a saga whose third step is refused.
const UNDONE: [&str; 7] = [
    "SagaStarted",
    "StepCompleted",
    "StepCompleted",
    "StepFailed",
    "CompensationCompleted",
    "CompensationCompleted",
    "SagaCompensated",
];

/// One that does not wait long before it looks whether the one before has gone.
fn open_quickly(store: &EventStore, world: &World) -> Sagas<Data> {
    let options = options().lease(Duration::from_secs(2));
    Sagas::open(store, "t", world.saga(), options).unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(what, waiting).await;
}

/// What a saga whose third step is refused has come to.
async fn check_undone(store: &EventStore, world: &World, sagas: &Sagas<Data>, id: &str) {
    let outcome = outcome(sagas, id).await;
    assert!(matches!(outcome, SagaOutcome::Compensated { .. }), "{id}");
    let (mut types, mut undone) = (types(store, id).await, world.undone(id));
    // It had come to the third step, which the runner before may have begun.
    if undone.first().is_some_and(|step| step == "ship") {
        undone.remove(0);
        assert_eq!(types.remove(4), "CompensationCompleted", "{id}");
    }
    assert_eq!(types, UNDONE, "{id}");
    assert_eq!(undone, ["charge", "reserve"], "{id}");
    assert_eq!(world.effects(id), [""; 0], "{id}");
    world.check_keys();
}

/// Each step has done what it does when the runner is dropped, and nothing is recorded of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_done_and_not_recorded_is_called_again_with_its_key() {
    for kind in [Kind::memory(), Kind::file()] {
        let store = kind.open_with_topic().await;
        let world = World::patient();
        let steps = [
            ("reserve", false),
            ("charge", false),
            ("ship", false),
            ("charge", true),
            ("reserve", true),
        ];
        for (step, undoing) in steps {
            let id = format!("{step} {undoing}");
            world.plan(&id, "ship", false, 1, Fault::Refuse);
            world.plan(&id, "ship", false, 2, Fault::Refuse);
            world.plan(&id, step, undoing, 1, Fault::Hang);
            let sagas = open_quickly(&store, &world);
            sagas.start(&id, Vec::new()).await.unwrap();
            let called = || {
                let calls = world.calls(&id);
                calls
                    .iter()
                    .any(|call| call.step == step && call.undoing == undoing)
            };
            until("the call", async || called()).await;
            drop(sagas);
            // Its effect is there, and the next one does not make a second.
            let sagas = open_quickly(&store, &world);
            if step == "ship" {
                // It was done, and then it said that it was not: it is undone too.
                let outcome = outcome(&sagas, &id).await;
                assert!(matches!(outcome, SagaOutcome::Compensated { .. }));
                assert_eq!(world.undone(&id), ["ship", "charge", "reserve"], "{id}");
                assert_eq!(world.effects(&id), [""; 0], "{id}");
                world.check_keys();
                continue;
            }
            check_undone(&store, &world, &sagas, &id).await;
            let calls = world.calls(&id);
            let again = calls
                .iter()
                .filter(|call| call.step == step && call.undoing == undoing);
            assert_eq!(again.count(), 2);
        }
        store.close().await.unwrap();
    }
}

/// Dropped as soon as the nth event is seen, and opened again, for every n.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_dropped_at_any_event_leaves_a_whole_saga() {
    for kind in [Kind::memory(), Kind::file()] {
        let store = kind.open_with_topic().await;
        let world = World::patient();
        for round in 0..3 {
            for nth in 1..=UNDONE.len() {
                let id = format!("{round} {nth}");
                world.plan(&id, "ship", false, 1, Fault::Refuse);
                world.plan(&id, "ship", false, 2, Fault::Refuse);
                let seen = Subscribe::from_start().stream(format!("s-{id}"));
                let mut seen = store.subscribe("t", seen).await.unwrap();
                let sagas = open_quickly(&store, &world);
                sagas.start(&id, Vec::new()).await.unwrap();
                for _ in 0..nth {
                    soon("an event", seen.try_next()).await.unwrap();
                }
                drop(sagas);
                let sagas = open_quickly(&store, &world);
                check_undone(&store, &world, &sagas, &id).await;
                soon("to close", sagas.close()).await.unwrap();
            }
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_lets_a_step_finish_and_records_it() {
    let store = Kind::memory().open_with_topic().await;
    let (begun, go) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let saga = {
        let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
        Saga::<u32>::named("s")
            .step(Step::new("slow", move |_, data| {
                let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
                async move {
                    begun.notify_one();
                    go.notified().await;
                    Ok(data)
                }
            }))
            .step(Step::new("next", |_, _| async {
                Err(StepError::fail("not before the restart"))
            }))
    };
    let sagas = Sagas::open(&store, "t", saga, options()).unwrap();
    sagas.start("1", 7).await.unwrap();
    soon("to begin", begun.notified()).await;
    let (closed, ()) = tokio::join!(sagas.close(), async { go.notify_one() });
    closed.unwrap();
    assert_eq!(types(&store, "1").await, ["SagaStarted", "StepCompleted"]);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_is_not_begun_anew_by_a_restart() {
    for kind in [Kind::memory(), Kind::file()] {
        let store = kind.open_with_topic().await;
        let saga =
            || Saga::<u32>::named("s").step(Step::wait("rest", |_| Duration::from_millis(3000)));
        let begun = Instant::now();
        for round in 0..3 {
            let sagas = Sagas::open(&store, "t", saga(), options()).unwrap();
            assert_eq!(sagas.start("1", 7).await.unwrap(), round == 0);
            until("it to wait", async || {
                sagas.counts().is_some_and(|counts| counts.waiting == 1)
            })
            .await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            if round % 2 == 0 {
                sagas.close().await.unwrap();
            }
        }
        let sagas = Sagas::open(&store, "t", saga(), options()).unwrap();
        let outcome = soon("the time", sagas.wait("1")).await.unwrap();
        assert_eq!(outcome, SagaOutcome::Completed(7));
        assert!(begun.elapsed() >= Duration::from_millis(3000));
        assert_eq!(
            types(&store, "1").await,
            ["SagaStarted", "TimerSet", "StepCompleted", "SagaCompleted"]
        );
        store.close().await.unwrap();
    }
}

fn hearing(within: Duration) -> Saga<u32> {
    Saga::<u32>::named("s").step(Step::await_signal("paid", within, |data, cents: u32| {
        Ok(data + cents)
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_before_after_twice_and_late() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let client = SagaClient::<u32>::new(&store, "t", "s").unwrap();
        assert!(
            client.signal("early", "paid", "k", &1).await.is_err(),
            "nobody is there"
        );
        for id in ["early", "live", "never"] {
            client.start(id, 10).await.unwrap();
        }
        assert_eq!(
            client.signal("early", "paid", "k", &5).await.unwrap(),
            Signalled::Recorded
        );
        let within = Duration::from_secs(3600);
        let sagas = Sagas::open(&store, "t", hearing(within), options()).unwrap();
        let ended = soon("the early one", sagas.wait("early")).await.unwrap();
        assert_eq!(ended, SagaOutcome::Completed(15));
        until("the others", async || {
            sagas.counts().is_some_and(|counts| counts.waiting == 2)
        })
        .await;
        // Signalled by another handle, at once.
        let many = (0..5_u32).map(|_| client.signal("live", "paid", "k", &7));
        let many = futures_util::future::join_all(many).await;
        let recorded = many
            .iter()
            .filter(|one| *one.as_ref().unwrap() == Signalled::Recorded);
        assert_eq!(recorded.count(), 1);
        let ended = soon("the live one", sagas.wait("live")).await.unwrap();
        assert_eq!(ended, SagaOutcome::Completed(17));
        let again = client.signal("live", "paid", "k", &7).await.unwrap();
        assert_eq!(again, Signalled::Duplicate);
        let late = client.signal("live", "paid", "l", &7).await.unwrap();
        assert_eq!(late, Signalled::Late);
        // The one that waits still does, over a restart.
        drop(sagas);
        let sagas = Sagas::open(&store, "t", hearing(within), options()).unwrap();
        until("to know of it", async || {
            sagas.counts().is_some_and(|counts| counts.waiting == 1)
        })
        .await;
        client.signal("never", "paid", "k", &0).await.unwrap();
        soon("the last one", sagas.wait("never")).await.unwrap();
        store.close().await.unwrap();
    }
    // None comes.
    let store = Kind::memory().open_with_topic().await;
    let soon_over = hearing(Duration::from_millis(50));
    let sagas = Sagas::open(&store, "t", soon_over, options()).unwrap();
    sagas.start("1", 1).await.unwrap();
    let reason = "\"paid\" failed: no signal within 50ms".to_owned();
    assert_eq!(
        soon("the end", sagas.wait("1")).await.unwrap(),
        SagaOutcome::Compensated { reason, data: 1 }
    );
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_runners_one_works_and_the_other_takes_over() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let world = World::patient();
        let first = open(&store, world.saga());
        until("the first", async || first.counts().is_some()).await;
        let second = open(&store, world.saga());
        second.start("1", Vec::new()).await.unwrap();
        outcome(&second, "1").await;
        assert!(second.counts().is_none(), "it has no lease");
        world.plan("2", "charge", false, 1, Fault::Hang);
        second.start("2", Vec::new()).await.unwrap();
        until("the call", async || world.calls("2").len() == 2).await;
        drop(first);
        let outcome = outcome(&second, "2").await;
        assert!(matches!(outcome, SagaOutcome::Completed(_)));
        until("to count it", async || {
            second.counts().is_some_and(|counts| counts.completed == 1)
        })
        .await;
        assert_eq!((world.calls("1").len(), world.calls("2").len()), (4, 5));
        world.check_keys();
        soon("to close", second.close()).await.unwrap();
        store.close().await.unwrap();
    }
}

/// The whole runtime of a runner stands still within a step, for longer than its lease. Its successor has
/// called the step too, and recorded nothing yet: nevertheless the first one records nothing either.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_was_paused_for_longer_than_its_lease_records_nothing() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let leased = SagaOptions::new().lease(Duration::from_millis(400));
        let (go, paused) = std::sync::mpsc::channel::<()>();
        let (tell, begun) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn({
            let store = store.clone();
            move || {
                let paused = std::sync::Mutex::new(paused);
                let paused = Arc::new(paused);
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async move {
                    let own = kind.open_another().await;
                    let store = own.unwrap_or(store);
                    let resumed = Arc::new(AtomicBool::new(false));
                    let noted = Arc::clone(&resumed);
                    let saga = Saga::<String>::named("s").step(Step::new("work", move |_, _| {
                        tell.send(()).unwrap();
                        paused.lock().unwrap().recv().unwrap();
                        noted.store(true, Ordering::Relaxed);
                        async { Ok("first".to_owned()) }
                    }));
                    let sagas = Sagas::open(&store, "t", saga, leased).unwrap();
                    sagas.start("1", String::new()).await.unwrap();
                    // Long enough to record what the step has returned, if it could.
                    until("to find out", async || {
                        resumed.load(Ordering::Relaxed) && sagas.counts().is_none()
                    })
                    .await;
                    drop(sagas);
                });
            }
        });
        let told = tokio::task::spawn_blocking(move || begun.recv().unwrap());
        soon("the first", told).await.unwrap();
        let release = Arc::new(tokio::sync::Semaphore::new(0));
        let calling = Arc::new(tokio::sync::Notify::new());
        let saga = {
            let (release, calling) = (Arc::clone(&release), Arc::clone(&calling));
            Saga::<String>::named("s").step(Step::new("work", move |_, _| {
                let (release, calling) = (Arc::clone(&release), Arc::clone(&calling));
                async move {
                    calling.notify_one();
                    drop(release.acquire().await);
                    Ok("second".to_owned())
                }
            }))
        };
        let sagas = Sagas::open(&store, "t", saga, leased).unwrap();
        soon("to take over", calling.notified()).await;
        go.send(()).unwrap();
        soon(
            "the first",
            tokio::task::spawn_blocking(move || thread.join().unwrap()),
        )
        .await
        .unwrap();
        assert_eq!(types(&store, "1").await, ["SagaStarted"]);
        release.add_permits(1);
        let outcome = soon("the end", sagas.wait("1")).await.unwrap();
        assert_eq!(outcome, SagaOutcome::Completed("second".to_owned()));
        store.close().await.unwrap();
    }
}

/// One that is parked since long ago does not have the log read from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_leaves_unfinished_sagas_behind_only_when_they_are_listed() {
    for kind in [Kind::memory(), Kind::file()] {
        let store = kind.open_with_topic().await;
        let world = World::default();
        world.plan("old", "reserve", false, 1, Fault::LoseAnswer);
        world.plan("old", "reserve", false, 2, Fault::Refuse);
        (1..=3).for_each(|nth| world.plan("old", "reserve", true, nth, Fault::Lose));
        let sagas = open(&store, world.saga());
        sagas.start("old", Vec::new()).await.unwrap();
        assert!(matches!(
            outcome(&sagas, "old").await,
            SagaOutcome::Parked { .. }
        ));
        let checkpoints = TopicCheckpoints::beside(&store, "t").await.unwrap();
        let settled = async || {
            let found = checkpoints.load("t/saga s").await.unwrap();
            found.position.unwrap().get()
        };
        let started = store.get_events("t", Read::stream("s-old")).await.unwrap();
        let started = started[0].position.get();
        for id in 0..40 {
            sagas.start(&id.to_string(), Vec::new()).await.unwrap();
        }
        for id in 0..40 {
            outcome(&sagas, &id.to_string()).await;
        }
        sagas.close().await.unwrap();
        assert!(settled().await < started, "it is passed by and not listed");
        // Events of somebody else, so many that it is worth a list.
        append(&store, "t", "s-", 2500).await;
        let sagas = open(&store, world.saga());
        until("a list", async || settled().await > started + 1000).await;
        let lists = EventFilter::all().types(["SagasLeftBehind"]);
        let lists = store
            .get_events("t", Read::all().filter(lists))
            .await
            .unwrap();
        assert_eq!(lists.len(), 1);
        drop(sagas);
        let sagas = open(&store, world.saga());
        until("to know of it", async || {
            sagas.counts().is_some_and(|counts| counts.parked == 1)
        })
        .await;
        sagas.resume("old").await.unwrap();
        until("the end", async || {
            sagas.status("old").await.unwrap().unwrap().is_ended()
        })
        .await;
        assert_eq!(world.effects("old"), [""; 0]);
        world.check_keys();
        sagas.close().await.unwrap();
        assert!(settled().await > started + 2500);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_are_started_by_events_once_for_each_id() {
    for kind in [Kind::memory(), Kind::file()] {
        let store = kind.open_with_topic().await;
        store.create_topic(kind.topic("orders")).await.unwrap();
        append(&store, "orders", "o", 20).await;
        let world = World::default();
        for round in 1..=3_u64 {
            let sagas = open(&store, world.saga());
            sagas.start_on("orders", EventFilter::all(), |event| {
                let number: u64 = event.json().ok()?;
                // Two events of each number that is even.
                number
                    .is_multiple_of(2)
                    .then(|| (number.to_string(), Vec::new()))
            });
            append(&store, "orders", "o", 20 + round).await;
            until("the last", async || {
                let last = (19 + round) / 2 * 2;
                let last = sagas.status(&last.to_string()).await.unwrap();
                last.is_some_and(|state| state.is_ended())
            })
            .await;
            if round == 2 {
                sagas.close().await.unwrap();
            }
        }
        for id in 0..23 {
            let effects = world.effects(&id.to_string()).len();
            assert_eq!(effects, if id % 2 == 0 { 4 } else { 0 }, "{id}");
            let started = types(&store, &id.to_string()).await;
            let started = started.iter().filter(|one| *one == "SagaStarted").count();
            assert_eq!(started, if id % 2 == 0 { 1 } else { 0 }, "{id}");
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_saga_is_left_alone_and_goes_on_when_it_is_restored() {
    let store = Kind::memory().open_with_topic().await;
    let world = World::patient();
    let saga = Saga::named("s")
        .step(Step::wait("rest", |_| Duration::from_millis(300)))
        .step(world.step("reserve"));
    let sagas = open(&store, saga);
    sagas.start("1", Vec::new()).await.unwrap();
    until("it to wait", async || {
        sagas.counts().is_some_and(|counts| counts.waiting == 1)
    })
    .await;
    store.delete_stream("t", "s-1").await.unwrap();
    until("it to be forgotten", async || {
        let counts = sagas.counts().unwrap();
        counts.waiting + counts.running == 0
    })
    .await;
    assert!(!sagas.start("1", Vec::new()).await.unwrap());
    store.restore_stream("t", "s-1").await.unwrap();
    until("the end", async || world.effects("1").len() == 1).await;
    assert!(matches!(
        outcome(&sagas, "1").await,
        SagaOutcome::Completed(_)
    ));
    store.close().await.unwrap();
}

/// The server of the topic is killed while sagas are at work, and started again.
#[tokio::test(flavor = "multi_thread")]
async fn sagas_wait_for_their_topic_while_it_is_away() {
    let server = crate::servers::Postgres::start(&[]);
    let kind = Kind::at(&server);
    let store = kind.open_with_topic().await;
    let world = World::patient();
    let sagas = open(&store, world.saga());
    for id in 0..40 {
        if id % 4 == 0 {
            (1..=3).for_each(|nth| world.plan(&id.to_string(), "tell", false, nth, Fault::Refuse));
        }
        sagas.start(&id.to_string(), Vec::new()).await.unwrap();
    }
    server.kill();
    tokio::time::sleep(Duration::from_millis(700)).await;
    server.start_again();
    for id in 0..40 {
        let expected = if id % 4 == 0 { 0 } else { 4 };
        let id = id.to_string();
        until("the end", async || {
            let state = sagas.status(&id).await;
            state.is_ok_and(|state| state.unwrap().is_ended())
        })
        .await;
        assert_eq!(world.effects(&id).len(), expected, "{id}");
    }
    world.check_keys();
    soon("to close", sagas.close()).await.unwrap();
    store.close().await.unwrap();
}
