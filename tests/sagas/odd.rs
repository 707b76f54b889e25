//! What is not as it should be: signals that land at odd times, events that do not belong there, data that
//! cannot be recorded, definitions that panic.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use annals::{
    Append, EventFilter, NewEvent, Read,
    cqrs::{Saga, SagaClient, SagaOutcome, Sagas, Signalled, Step, StepError},
};
use serde_json::json;

use crate::{
    kinds::{Kind, append, soon},
    run::{open, options, outcome, types},
    world::{Fault, World},
};

/// One that had looked for the key before another one recorded it recorded it a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_signal_is_recorded_once_for_each_key_by_whoever_sends_it_at_once() {
    let store = Kind::memory().open_with_topic().await;
    let client = SagaClient::<u32>::new(&store, "t", "s").unwrap();
    for id in 0..200 {
        let id = id.to_string();
        client.start(&id, 1).await.unwrap();
        let mut sending = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (client, id) = (client.clone(), id.clone());
            sending.spawn(async move { client.signal(&id, "paid", "k", &7).await.unwrap() });
        }
        let told = soon("to send", sending.join_all()).await;
        let recorded = told.iter().filter(|one| **one == Signalled::Recorded);
        assert_eq!(recorded.count(), 1, "{told:?}");
        let signals = Read::stream(format!("s-{id}"));
        assert_eq!(store.get_events("t", signals).await.unwrap().len(), 2);
    }
    store.close().await.unwrap();
}

/// What a step returns is recorded after a signal that landed meanwhile, and the step is called once.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_lands_while_a_step_runs_is_kept_and_so_is_what_the_step_returns() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let client = SagaClient::<u32>::new(&store, "t", "s").unwrap();
        let signalling = client.clone();
        let fails = |data: u32| data.is_multiple_of(2);
        let saga = Saga::<u32>::named("s")
            .step(
                Step::new("reserve", move |context, data| {
                    let client = signalling.clone();
                    async move {
                        let id = context.saga_id();
                        for key in ["k", "k", "l"] {
                            let sent = client.signal(id, "paid", key, &100).await;
                            sent.map_err(StepError::fail)?;
                        }
                        if fails(data) {
                            return Err(StepError::fail("even"));
                        }
                        Ok(data + 10)
                    }
                })
                .timeout(Duration::from_secs(60)),
            )
            .step(Step::await_signal(
                "paid",
                Duration::from_secs(3600),
                |data, cents: u32| Ok(data + cents),
            ));
        let sagas = Sagas::open(&store, "t", saga, options()).unwrap();
        sagas.start("1", 1).await.unwrap();
        sagas.start("2", 2).await.unwrap();
        let ended = soon("the end", sagas.wait("1")).await.unwrap();
        assert_eq!(ended, SagaOutcome::Completed(111), "{}", kind.adapter);
        let heard = ["SagaStarted", "SignalReceived", "SignalReceived"];
        let rest = ["StepCompleted", "StepCompleted", "SagaCompleted"];
        assert_eq!(types(&store, "1").await, [heard, rest].concat());
        let ended = soon("the end", sagas.wait("2")).await.unwrap();
        assert!(matches!(ended, SagaOutcome::Compensated { data: 2, .. }));
        let rest = ["StepFailed", "SagaCompensated"];
        assert_eq!(types(&store, "2").await, [heard.as_slice(), &rest].concat());
        sagas.close().await.unwrap();
        store.close().await.unwrap();
    }
}

/// It may have been done, so that it is undone where it fails when it is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_data_are_too_large_is_parked_and_can_be_resumed() {
    let store = Kind::memory().open_with_topic().await;
    let (large, undone) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicBool::new(false)),
    );
    let (asked, noted) = (Arc::clone(&large), Arc::clone(&undone));
    let step = Step::new("write", move |_, _: String| {
        let large = asked.load(Ordering::Relaxed);
        async move {
            if large {
                Ok("x".repeat(2 << 20))
            } else {
                Err(StepError::fail("too large"))
            }
        }
    });
    let step = step.compensate(move |_, _| {
        noted.store(true, Ordering::Relaxed);
        async { Ok("small".to_owned()) }
    });
    let saga = Saga::named("s").step(step);
    let sagas = Sagas::open(&store, "t", saga, options()).unwrap();
    sagas.start("1", String::new()).await.unwrap();
    let SagaOutcome::Parked { reason } = soon("to park", sagas.wait("1")).await.unwrap() else {
        panic!("it is not parked");
    };
    assert!(reason.contains("cannot be recorded"), "{reason}");
    assert_eq!(sagas.parked().await.unwrap()["1"], reason);
    large.store(false, Ordering::Relaxed);
    assert!(sagas.resume("1").await.unwrap());
    let waiting = async {
        while !sagas.status("1").await.unwrap().unwrap().is_ended() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the end", waiting).await;
    assert!(undone.load(Ordering::Relaxed));
    store.close().await.unwrap();
}

/// A service that answers with a whole page of text had its saga parked, where it was to be undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_is_long_is_cut_and_recorded() {
    let store = Kind::memory().open_with_topic().await;
    let saga = Saga::<u32>::named("s").step(Step::new("ask", |_, _| async {
        Err(StepError::fail("ä".repeat(2 << 20)))
    }));
    let sagas = Sagas::open(&store, "t", saga, options()).unwrap();
    sagas.start("1", 1).await.unwrap();
    let ended = soon("the end", sagas.wait("1")).await.unwrap();
    assert!(matches!(ended, SagaOutcome::Compensated { .. }));
    store.close().await.unwrap();
}

/// An event that cannot be read had nobody told of any saga that is parked.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_belong_into_the_stream_of_a_saga_stops_that_one_at_most() {
    let store = Kind::memory().open_with_topic().await;
    let world = World::default();
    let client = SagaClient::<Vec<String>>::new(&store, "t", "s").unwrap();
    for id in ["damaged", "foreign", "twice", "whole"] {
        client.start(id, Vec::new()).await.unwrap();
    }
    let add = async |id: &str, event_type: &str, payload| {
        let event = NewEvent::json(event_type, &payload).unwrap();
        let append = Append::new([event]).stream(format!("s-{id}"));
        store.append_events("t", append).await.unwrap();
    };
    add("damaged", "StepCompleted", json!({ "step": 7 })).await;
    add("foreign", "Note", json!({})).await;
    add("twice", "SagaStarted", json!({ "data": ["other"] })).await;
    add("nobody's", "SagaParked", json!(7)).await;
    world.plan("whole", "charge", false, 1, Fault::Refuse);
    (1..=3).for_each(|nth| world.plan("whole", "reserve", true, nth, Fault::Lose));
    let sagas = open(&store, world.saga());
    let ended = outcome(&sagas, "twice").await;
    assert!(matches!(ended, SagaOutcome::Completed(_)), "{ended:?}");
    let waiting = async {
        while sagas.counts().is_none_or(|counts| counts.parked < 3) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("to park", waiting).await;
    let parked = sagas.parked().await.unwrap();
    for id in ["damaged", "foreign"] {
        assert!(parked[id].starts_with("it cannot be read"), "{parked:?}");
    }
    assert!(parked["whole"].contains("is not compensated"), "{parked:?}");
    assert!(parked.contains_key("nobody's"), "{parked:?}");
    // One that cannot be read hears signals nevertheless.
    let heard = client.signal("damaged", "paid", "k", &1).await.unwrap();
    assert_eq!(heard, Signalled::Recorded);
    soon("to close", sagas.close()).await.unwrap();
    store.close().await.unwrap();
}

/// It ended, and no saga was started any more until the process was.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_what_chooses_does_not_end_the_starting_of_sagas() {
    let store = Kind::memory().open_with_topic().await;
    store
        .create_topic(Kind::memory().topic("orders"))
        .await
        .unwrap();
    append(&store, "orders", "o", 3).await;
    let world = World::default();
    let sagas = open(&store, world.saga());
    let panicked = AtomicBool::new(false);
    sagas.start_on("orders", EventFilter::all(), move |event| {
        let number: u64 = event.json().ok()?;
        assert!(
            number != 1 || panicked.swap(true, Ordering::Relaxed),
            "once"
        );
        Some((number.to_string(), Vec::new()))
    });
    let waiting = async {
        while sagas.status("2").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the third", waiting).await;
    for id in ["0", "1", "2"] {
        outcome(&sagas, id).await;
    }
    soon("to close", sagas.close()).await.unwrap();
    store.close().await.unwrap();
}

/// The sagas called `s starts`, and what starts those called `s`, waited for one lease and shared a
/// checkpoint.
#[tokio::test(flavor = "multi_thread")]
async fn sagas_of_several_names_share_a_topic_whatever_they_are_called() {
    let store = Kind::memory().open_with_topic().await;
    let one = |name: &str| {
        let step = Step::new("double", |_, data: u64| async move { Ok(data * 2) });
        let saga = Saga::<u64>::named(name).step(step);
        Sagas::open(&store, "t", saga, options()).unwrap()
    };
    let other = one("s starts");
    other.start("1", 4).await.unwrap();
    let ended = soon("the other", other.wait("1")).await.unwrap();
    assert_eq!(ended, SagaOutcome::Completed(8));
    let sagas = one("s");
    let given = EventFilter::all().types(["Given"]);
    sagas.start_on("t", given, |event| {
        Some(("1".to_owned(), event.json().ok()?))
    });
    append(&store, "t", "o", 1).await;
    let waiting = async {
        while sagas.status("1").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("to start", waiting).await;
    let ended = soon("the end", sagas.wait("1")).await.unwrap();
    assert_eq!(ended, SagaOutcome::Completed(0));
    store.close().await.unwrap();
}

/// Steps that do not end are dropped when the grace is over, and called again by the next runner.
#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_no_longer_than_the_grace() {
    let store = Kind::memory().open_with_topic().await;
    let world = World::patient();
    world.plan("1", "reserve", false, 1, Fault::Hang);
    let brief = options().grace(Duration::from_millis(50));
    let sagas = Sagas::open(&store, "t", world.saga(), brief).unwrap();
    sagas.start("1", Vec::new()).await.unwrap();
    let waiting = async {
        while world.calls("1").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the call", waiting).await;
    soon("to close", sagas.close()).await.unwrap();
    assert_eq!(types(&store, "1").await, ["SagaStarted"]);
    let sagas = open(&store, world.saga());
    let ended = outcome(&sagas, "1").await;
    assert!(matches!(ended, SagaOutcome::Completed(_)));
    world.check_keys();
    store.close().await.unwrap();
}
