//! Sagas that run: what they call, in which order and under which keys, whatever goes wrong.

use std::time::Duration;

use annals::{
    EventStore,
    cqrs::{Saga, SagaOptions, SagaOutcome, Sagas},
};
use futures_util::future::join_all;

use crate::{
    kinds::{Kind, log, soon},
    world::{Data, Fault, STEPS, World},
};

pub(crate) fn options() -> SagaOptions {
    SagaOptions::new().grace(Duration::from_secs(1))
}

pub(crate) fn open(store: &EventStore, saga: Saga<Data>) -> Sagas<Data> {
    Sagas::open(store, "t", saga, options()).unwrap()
}

pub(crate) async fn outcome(sagas: &Sagas<Data>, id: &str) -> SagaOutcome<Data> {
    soon("a saga", sagas.wait(id)).await.unwrap()
}

/// The types of what is recorded of a saga.
pub(crate) async fn types(store: &EventStore, id: &str) -> Vec<String> {
    let events = log(store, "t").await;
    let of = events
        .iter()
        .filter(|event| event.stream.as_str() == format!("s-{id}"));
    of.map(|event| event.event_type.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_done_once_however_often_it_is_started() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let world = World::default();
        let sagas = open(&store, world.saga());
        let starts = (0..5).map(|_| sagas.start("1", Vec::new()));
        let starts = soon("starts", join_all(starts)).await;
        let new = starts.into_iter().filter(|new| *new.as_ref().unwrap());
        assert_eq!(new.count(), 1, "{}", kind.adapter);
        let done = STEPS.iter().map(|step| format!("+{step}")).collect();
        assert_eq!(outcome(&sagas, "1").await, SagaOutcome::Completed(done));
        assert!(!sagas.start("1", Vec::new()).await.unwrap());
        assert_eq!(world.calls("1").len(), STEPS.len());
        world.check_keys();
        assert!(sagas.status("2").await.unwrap().is_none());
        assert!(sagas.wait("2").await.is_err());
        assert!(sagas.start("", Vec::new()).await.is_err());
        soon("to close", sagas.close()).await.unwrap();
        sagas.close().await.unwrap();
        store.close().await.unwrap();
    }
}

/// Every step, every way to fail, at every attempt: 4 steps, 5 ways, 3 attempts; and each of the steps
/// that is undone fails too.
#[tokio::test(flavor = "multi_thread")]
async fn whichever_step_fails_in_whichever_way_it_ends_whole() {
    let ways = [
        Fault::Refuse,
        Fault::Lose,
        Fault::LoseAnswer,
        Fault::Panic,
        Fault::Hang,
    ];
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let world = World::default();
        let mut planned = Vec::new();
        for (at, step) in STEPS.iter().enumerate() {
            for fault in ways {
                for faults in 1..=3 {
                    let id = format!("{step} {fault:?} {faults}");
                    for nth in 1..=faults {
                        // A refusal after what nobody knows.
                        let fault = match fault {
                            Fault::Refuse if nth < faults => Fault::LoseAnswer,
                            fault => fault,
                        };
                        world.plan(&id, step, false, nth, fault);
                    }
                    // Undoing goes wrong too, and is tried again.
                    let again = [Fault::Lose, Fault::LoseAnswer, Fault::Panic][faults - 1];
                    for step in STEPS {
                        world.plan(&id, step, true, 1, again);
                    }
                    let fails = fault == Fault::Refuse || faults == 3;
                    let certain = fault == Fault::Refuse && faults == 1;
                    planned.push((id, fails.then_some((at, certain))));
                }
            }
        }
        let sagas = open(&store, world.saga());
        // Of those that were there before it, the first step may have been begun by another runner.
        let running = async {
            while sagas.counts().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("to run", running).await;
        for (id, _) in &planned {
            assert!(sagas.start(id, Vec::new()).await.unwrap());
        }
        for (id, failing) in &planned {
            let outcome = outcome(&sagas, id).await;
            let context = format!("{} {id}: {outcome:?}", kind.adapter);
            let Some((at, certain)) = failing else {
                assert!(matches!(outcome, SagaOutcome::Completed(_)), "{context}");
                assert_eq!(world.effects(id).len(), STEPS.len(), "{context}");
                continue;
            };
            assert!(
                matches!(outcome, SagaOutcome::Compensated { .. }),
                "{context}"
            );
            assert_eq!(world.effects(id), [""; 0], "{context}");
            let upto = if *certain { *at } else { at + 1 };
            let mut backward = STEPS[..upto].to_vec();
            backward.reverse();
            assert_eq!(world.undone(id), backward, "{context}");
        }
        world.check_keys();
        assert_eq!(sagas.parked().await.unwrap().len(), 0);
        soon("to close", sagas.close()).await.unwrap();
        store.close().await.unwrap();
    }
}

/// One that cannot compensate is parked, named, and tried again when it is told to; others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_saga_is_shown_does_not_stop_others_and_can_be_resumed() {
    for kind in Kind::all() {
        let store = kind.open_with_topic().await;
        let world = World::default();
        world.plan("bad", "ship", false, 1, Fault::Refuse);
        (1..=3).for_each(|nth| world.plan("bad", "charge", true, nth, Fault::Lose));
        let one = SagaOptions::new().concurrency(1);
        let sagas = Sagas::open(&store, "t", world.saga(), one).unwrap();
        for id in ["bad", "good", "better"] {
            sagas.start(id, Vec::new()).await.unwrap();
        }
        let reason = "\"charge\" is not compensated after 3 attempts: lost";
        let parked = SagaOutcome::Parked {
            reason: reason.to_owned(),
        };
        assert_eq!(outcome(&sagas, "bad").await, parked);
        for id in ["good", "better"] {
            assert!(matches!(
                outcome(&sagas, id).await,
                SagaOutcome::Completed(_)
            ));
        }
        let shown = sagas.parked().await.unwrap();
        assert_eq!(
            shown.into_iter().collect::<Vec<_>>(),
            [("bad".to_owned(), reason.to_owned())]
        );
        assert!(!sagas.resume("good").await.unwrap());
        assert!(sagas.resume("other").await.is_err());
        // A runner that comes later knows it too, and takes it up.
        drop(sagas);
        let sagas = open(&store, world.saga());
        let waiting = async {
            while sagas.counts().is_none_or(|counts| counts.parked != 1) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("to know of it", waiting).await;
        assert!(sagas.resume("bad").await.unwrap());
        let undone = soon("the end", async {
            while sagas.status("bad").await.unwrap().unwrap().outcome() == Some(parked.clone()) {}
            outcome(&sagas, "bad").await
        });
        assert!(matches!(undone.await, SagaOutcome::Compensated { .. }));
        assert_eq!(world.undone("bad"), ["charge", "reserve"]);
        assert!(sagas.parked().await.unwrap().is_empty());
        assert!(world.effects("bad").is_empty());
        world.check_keys();
        sagas.close().await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_does_not_fit_or_cannot_be_read_is_parked_with_a_reason() {
    let store = Kind::memory().open_with_topic().await;
    let world = World::default();
    let client = annals::cqrs::SagaClient::<Data>::new(&store, "t", "s").unwrap();
    client.start("1", Vec::new()).await.unwrap();
    // Of another shape altogether.
    let other = annals::cqrs::SagaClient::<u32>::new(&store, "t", "s").unwrap();
    other.start("2", 7).await.unwrap();
    world.plan("1", "ship", false, 1, Fault::Hang);
    let sagas = open(&store, world.saga());
    soon("to begin", async {
        while world.calls("1").len() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    drop(sagas);
    let changed = Saga::named("s")
        .step(world.step("charge"))
        .step(world.step("reserve"));
    let sagas = open(&store, changed);
    let parked = outcome(&sagas, "1").await;
    let reason = "step 1 was \"reserve\" and is \"charge\" in the definition".to_owned();
    assert_eq!(parked, SagaOutcome::Parked { reason });
    soon("both", async {
        while sagas.parked().await.unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let reasons = sagas.parked().await.unwrap();
    assert!(reasons["2"].starts_with("it cannot be read"), "{reasons:?}");
    drop(sagas);
    let sagas = open(&store, world.saga());
    sagas.resume("1").await.unwrap();
    // Without a change it is parked again.
    sagas.resume("2").await.unwrap();
    soon("to go on", async {
        while !sagas.status("1").await.unwrap().unwrap().is_ended()
            || sagas.parked().await.unwrap().len() != 1
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(world.effects("1").len(), STEPS.len());
    world.check_keys();
    store.close().await.unwrap();
}

/// Many more than there are places.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_run_at_once_as_there_are_places_and_all_end() {
    let store = Kind::memory().open_with_topic().await;
    let running = std::sync::Arc::new(tokio::sync::Semaphore::new(3));
    let saga = Saga::<u32>::named("s").step(annals::cqrs::Step::new("work", move |_, data| {
        let running = std::sync::Arc::clone(&running);
        async move {
            // A fourth one at once fails.
            let _place = running
                .try_acquire()
                .map_err(annals::cqrs::StepError::fail)?;
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(data)
        }
    }));
    let sagas = Sagas::open(&store, "t", saga, options().concurrency(3)).unwrap();
    for id in 0..300 {
        sagas.start(&id.to_string(), id).await.unwrap();
    }
    soon("all", async {
        while sagas.counts().is_none_or(|counts| counts.completed < 300) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let counts = sagas.counts().unwrap();
    assert_eq!((counts.running, counts.waiting, counts.parked), (0, 0, 0));
    assert_eq!(counts.compensated, 0);
    store.close().await.unwrap();
}
