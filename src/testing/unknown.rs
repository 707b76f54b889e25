//! P10: no success or failure is reported that was not seen, and trying again is always safe.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    case::case_table,
    draft::Draft,
    scene::{Scene, race, soon},
};
use crate::models::{Error, Position};

case_table! { Unknown:
    an_append_that_was_dropped_is_whole_or_nothing,
    an_append_that_was_never_polled_is_nothing,
    a_task_that_was_stopped_leaves_the_others_working,
    an_append_tried_until_it_is_known_is_recorded_once,
    answers_beside_a_close_are_true,
    what_was_accepted_is_finished_when_a_close_returns,
    a_dropped_read_or_question_disturbs_nobody,
}

/// Polls a future so many times, a moment apart, and drops it. Whether it was ready.
async fn poll_and_drop<T>(work: impl Future<Output = T>, times: u32) -> Option<T> {
    let mut work = pin!(work);
    for _ in 0..times {
        let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(outcome) = polled {
            return Some(outcome);
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    None
}

async fn an_append_that_was_dropped_is_whole_or_nothing(scene: Scene) {
    let mut recorded = 0;
    for round in 0..60 {
        let draft = Draft::to("s").events(3, "Given");
        let append = scene.append(draft.clone());
        if let Some(outcome) = poll_and_drop(append, round % 6).await {
            assert!(!outcome.unwrap().duplicate);
        }
        // Others go on, whatever became of it.
        soon(
            "the next append",
            scene.write(Draft::to("t").event("Given")),
        )
        .await;
        let again = soon("the same again", scene.append(draft)).await.unwrap();
        assert_eq!(again.last, again.first.forward(2));
        recorded += 4;
        assert_eq!(scene.head().await, recorded, "round {round}");
    }
    assert_eq!(scene.log().await.len() as u64, recorded);
    let scene = scene.reopened().await;
    assert_eq!(scene.log().await.len() as u64, recorded);
}

async fn an_append_that_was_never_polled_is_nothing(scene: Scene) {
    for _ in 0..20 {
        drop(scene.append(Draft::to("s").event("Given")));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(scene.head().await, 0);
    scene.write(Draft::to("s").event("Given")).await;
}

async fn a_task_that_was_stopped_leaves_the_others_working(scene: Scene) {
    let mut tasks = Vec::new();
    for number in 0..12 {
        let scene = scene.clone();
        tasks.push(tokio::spawn(async move {
            loop {
                let draft = Draft::to(&format!("s-{number}")).events(2, "Given");
                scene.append(draft).await.expect("it is recorded");
                // An adapter may be done without waiting for anything.
                tokio::task::yield_now().await;
            }
        }));
    }
    while scene.head().await < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for task in &tasks {
        task.abort();
        tokio::time::sleep(Duration::from_millis(1)).await;
        soon("an append", scene.write(Draft::to("t").events(2, "Given"))).await;
    }
    for task in tasks {
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(scene.log().await.len() % 2, 0, "half an append is recorded");
}

async fn an_append_tried_until_it_is_known_is_recorded_once(scene: Scene) {
    const APPENDS: usize = 40;
    race(4, |number| {
        let scene = scene.clone();
        async move {
            for round in 0..APPENDS {
                let draft = Draft::to(&format!("s-{number}")).events(2, "Given");
                let patience = [0, 50, 200, 1000][round % 4];
                let mut tries = 0;
                loop {
                    tries += 1;
                    let patience = Duration::from_micros(patience * tries * tries);
                    let append = scene.append(draft.clone());
                    if let Ok(outcome) = tokio::time::timeout(patience, append).await {
                        outcome.expect("it is recorded, now or before");
                        break;
                    }
                }
            }
        }
    })
    .await;
    assert_eq!(scene.log().await.len(), 4 * APPENDS * 2);
}

async fn answers_beside_a_close_are_true(scene: Scene) {
    let mut scene = scene;
    for round in 0..8 {
        let before = scene.head().await;
        let writers = 12;
        let closing = scene.clone();
        let outcomes = race(writers + 1, |number| {
            let scene = scene.clone();
            let draft = Draft::to(&format!("s-{number}")).events(2, "Given");
            async move {
                if number == 12 {
                    tokio::time::sleep(Duration::from_micros(round * 100)).await;
                    soon("closing", scene.repository.close()).await.unwrap();
                    return None;
                }
                let ids = draft.ids();
                match scene.append(draft).await {
                    Ok(receipt) => Some((ids, Some(receipt.first))),
                    Err(Error::Closed) => Some((ids, None)),
                    Err(error) => panic!("{error:?} beside a close"),
                }
            }
        });
        let outcomes: Vec<_> = outcomes.await.into_iter().flatten().collect();
        scene = closing.reopened().await;
        let log = scene.log().await;
        let mut recorded = 0;
        for (ids, first) in outcomes {
            let found = log
                .iter()
                .find(|event| event.id == ids[0])
                .map(|event| event.position);
            assert_eq!(found, first, "what was answered, and what is recorded");
            recorded += if first.is_some() { 2 } else { 0 };
        }
        assert_eq!(log.len() as u64, before + recorded);
    }
}

async fn what_was_accepted_is_finished_when_a_close_returns(scene: Scene) {
    const WRITERS: u64 = 60;
    let outcomes = race(WRITERS + 1, |number| {
        let scene = scene.clone();
        let draft = Draft::to(&format!("s-{number}")).events(2, "Given");
        let draft = draft.payload(vec![7; 1 << 18]);
        async move {
            if number < WRITERS {
                let id = draft.ids()[1];
                return (scene.append(draft).await.is_ok().then_some(id), Vec::new());
            }
            while scene.head().await == 0 {
                tokio::task::yield_now().await;
            }
            soon("closing", scene.repository.close()).await.unwrap();
            // Looks before those who appended have been asked how it went.
            (None, scene.further_handle().await.log().await)
        }
    });
    let mut outcomes = outcomes.await;
    let (_, log) = outcomes.pop().unwrap();
    let acknowledged: Vec<_> = outcomes.into_iter().filter_map(|(id, _)| id).collect();
    assert_eq!(log.len(), 2 * acknowledged.len());
    for id in acknowledged {
        assert!(
            log.iter().any(|event| event.id == id),
            "{id} came after the close"
        );
    }
}

async fn a_dropped_read_or_question_disturbs_nobody(scene: Scene) {
    scene.fill(300).await;
    for times in 0..4 {
        let repository = &scene.repository;
        let topic = &scene.placement;
        poll_and_drop(
            scene.pages(crate::repository::ReadPlan::all_after(Position::START)),
            times,
        )
        .await;
        poll_and_drop(repository.state(topic, None), times).await;
        poll_and_drop(repository.verify(topic), times).await;
        poll_and_drop(repository.list(), times).await;
        poll_and_drop(repository.health(), times).await;
        poll_and_drop(repository.prepare(topic), times).await;
        poll_and_drop(repository.wait_beyond(topic, Position::MAX), times).await;
        poll_and_drop(repository.seal(topic, Position::START), times).await;
        soon("unsealing", repository.unseal(topic, Position::START))
            .await
            .unwrap();
        soon("an append", scene.write(Draft::to("s").event("Given"))).await;
    }
    assert_eq!(scene.log().await.len(), 304);
}
