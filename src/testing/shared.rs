//! P9: handles of one process share a repository, and other processes keep to its rule.

use std::sync::Arc;

use super::{
    Answer, Processes, Task, TestClock,
    case::case_table,
    draft::Draft,
    scene::{Scene, race, soon},
};
use crate::models::{Error, EventFilter, ExpectedVersion, Position, Result};

case_table! { Shared:
    writers_through_several_handles_leave_no_gap,
    guards_hold_between_handles,
    conditions_hold_between_handles,
    a_handle_that_is_closed_leaves_the_others_open,
    a_closed_handle_that_is_dropped_late_disturbs_nobody,
    a_handle_that_only_reads_changes_nothing,
    a_handle_that_only_reads_follows_those_who_write,
    another_process_writes_only_where_several_may,
    another_process_reads_what_was_acknowledged,
    another_process_that_only_reads_appends_nothing,
    another_process_can_write_once_all_is_closed,
}

async fn writers_through_several_handles_leave_no_gap(scene: Scene) {
    let mut handles = vec![scene];
    for _ in 0..3 {
        handles.push(handles[0].further_handle().await);
    }
    race(8, |number| {
        let scene = handles[usize::try_from(number % 4).unwrap()].clone();
        async move {
            for _ in 0..20 {
                scene.write(Draft::to("shared").events(2, "Given")).await;
            }
        }
    })
    .await;
    let log = handles[0].log().await;
    assert_eq!(log.len(), 8 * 20 * 2);
    for handle in &handles {
        assert_eq!(handle.log().await, log);
    }
}

async fn guards_hold_between_handles(scene: Scene) {
    let further = scene.further_handle().await;
    for version in 0..20 {
        let outcomes = race(8, |number| {
            let scene = if number % 2 == 0 {
                scene.clone()
            } else {
                further.clone()
            };
            let draft = Draft::to("s").event("Raced");
            async move {
                scene
                    .append(draft.expected(ExpectedVersion::exact(version)))
                    .await
            }
        });
        let won = outcomes.await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1, "version {version}");
    }
    assert_eq!(scene.log().await.len(), 20);
}

async fn conditions_hold_between_handles(scene: Scene) {
    let further = scene.further_handle().await;
    for round in 0..20 {
        let tag = format!("seat:{round}");
        let outcomes = race(8, |number| {
            let scene = if number % 2 == 0 {
                scene.clone()
            } else {
                further.clone()
            };
            let draft = Draft::to(&format!("s-{number}"))
                .event("Raced")
                .tags(&[&tag]);
            let draft = draft.unless(EventFilter::all().tags([&*tag]), 0);
            async move { scene.append(draft).await }
        });
        let won = outcomes.await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1, "round {round}");
    }
}

async fn a_handle_that_is_closed_leaves_the_others_open(scene: Scene) {
    let further = scene.further_handle().await;
    scene.write(Draft::to("s").event("Given")).await;
    scene.repository.close().await.unwrap();
    assert!(matches!(
        scene.append(Draft::to("s").event("Late")).await,
        Err(Error::Closed)
    ));
    further.write(Draft::to("s").event("Given")).await;
    assert_eq!(further.log().await.len(), 2);
    let third = further.further_handle().await;
    third.write(Draft::to("s").event("Given")).await;
    further.repository.close().await.unwrap();
    assert_eq!(third.log().await.len(), 3);
}

async fn a_closed_handle_that_is_dropped_late_disturbs_nobody(scene: Scene) {
    scene.write(Draft::to("s").event("Given")).await;
    scene.repository.close().await.unwrap();
    let anew = scene.further_handle().await;
    anew.write(Draft::to("s").event("Given")).await;
    drop(scene);
    let further = anew.further_handle().await;
    further.write(Draft::to("s").event("Given")).await;
    assert_eq!(anew.log().await.len(), 3);
    anew.repository.close().await.unwrap();
    assert_eq!(further.reopened().await.log().await.len(), 3);
}

/// The same topic through a handle that only reads.
async fn reader_of(scene: &Scene) -> Scene {
    let clock = Arc::<TestClock>::clone(&scene.clock);
    let repository = scene.site.open_to_read(clock).await;
    Scene {
        repository: repository.expect("it opens beside a writer"),
        ..scene.clone()
    }
}

async fn a_handle_that_only_reads_changes_nothing(scene: Scene) {
    fn refused<T: std::fmt::Debug>(what: &str, outcome: Result<T>) {
        let named = matches!(outcome, Err(Error::ReadOnly { .. }));
        assert!(
            named,
            "{what} through a handle that only reads: {outcome:?}"
        );
    }
    scene.write(Draft::to("s").events(2, "Given")).await;
    let log = scene.log().await;
    let reader = reader_of(&scene).await;
    let (repository, topic) = (&reader.repository, &reader.placement);
    refused(
        "append",
        reader.append(Draft::to("s").event("Refused")).await,
    );
    refused(
        "prepare",
        repository.prepare(&scene.site.placement("new")).await,
    );
    refused("seal", repository.seal(topic, Position::START).await);
    refused("unseal", repository.unseal(topic, Position::START).await);
    refused("import", repository.import(topic, log.clone()).await);
    refused("remove", repository.remove(topic.storage).await);
    assert_eq!(reader.log().await, log);
    assert_eq!(repository.list().await.unwrap().len(), 1);
    assert_eq!(repository.verify(topic).await.unwrap().events, 2);
    repository.close().await.unwrap();
    scene.write(Draft::to("s").event("Given")).await;
    assert_eq!(scene.log().await.len(), 3);
}

async fn a_handle_that_only_reads_follows_those_who_write(scene: Scene) {
    let reader = reader_of(&scene).await;
    for head in 0..10 {
        let (waiting, position) = (reader.clone(), Position::new(head));
        let waiter = tokio::spawn(async move {
            let topic = &waiting.placement;
            waiting.repository.wait_beyond(topic, position).await
        });
        scene.write(Draft::to("s").event("Given")).await;
        let woken = soon("being woken", waiter).await.unwrap();
        assert_eq!(woken.unwrap().get(), head + 1);
        assert_eq!(reader.log().await, scene.log().await);
        assert_eq!(reader.stream("s").await.version.get(), head + 1);
    }
}

/// What another process answers; within one process, a further handle stands in for it, which may
/// do whatever this one may.
async fn elsewhere(scene: &Scene, task: Task) -> (Processes, Answer) {
    let processes = scene.site.processes();
    if processes != Processes::None {
        return (
            processes,
            scene.site.elsewhere(&scene.placement, task).await,
        );
    }
    let further = scene.further_handle().await;
    let mut answer = Answer::default();
    match task {
        Task::Append(count) => {
            for _ in 0..count {
                let draft = Draft::to("elsewhere").event("Elsewhere");
                let id = draft.ids()[0];
                answer.events.push((further.write(draft).await.first, id));
            }
        }
        Task::Read => {
            let log = further.log().await;
            answer.events = log.iter().map(|event| (event.position, event.id)).collect();
        }
        Task::AppendReadOnly => answer.error = Some("ReadOnly".into()),
    }
    (processes, answer)
}

async fn another_process_writes_only_where_several_may(scene: Scene) {
    scene.write(Draft::to("s").events(2, "Given")).await;
    let (processes, answer) = elsewhere(&scene, Task::Append(5)).await;
    match processes {
        Processes::OneWriter => {
            assert!(answer.failed_with("RepositoryLocked"), "{answer:?}");
            assert_eq!(scene.head().await, 2);
        }
        Processes::None | Processes::ManyWriters => {
            assert_eq!(answer.error, None);
            assert_eq!(answer.events.len(), 5);
            assert_eq!(answer.events[0].0.get(), 3);
        }
    }
    scene.write(Draft::to("s").event("Given")).await;
    scene.log().await;
}

async fn another_process_reads_what_was_acknowledged(scene: Scene) {
    for round in 1..=3 {
        scene.write(Draft::to("s").events(40, "Given")).await;
        let log = scene.log().await;
        let (_, answer) = elsewhere(&scene, Task::Read).await;
        assert_eq!(answer.error, None);
        let expected: Vec<_> = log.iter().map(|event| (event.position, event.id)).collect();
        assert_eq!(answer.events, expected, "round {round}");
    }
    scene.write(Draft::to("s").event("Given")).await;
    let scene = scene.reopened().await;
    assert_eq!(scene.log().await.len(), 121);
}

async fn another_process_that_only_reads_appends_nothing(scene: Scene) {
    scene.write(Draft::to("s").event("Given")).await;
    let (_, answer) = elsewhere(&scene, Task::AppendReadOnly).await;
    assert!(answer.failed_with("ReadOnly"), "{answer:?}");
    assert_eq!(scene.log().await.len(), 1);
}

async fn another_process_can_write_once_all_is_closed(scene: Scene) {
    scene.write(Draft::to("s").events(3, "Given")).await;
    let further = scene.further_handle().await;
    further.repository.close().await.unwrap();
    if scene.site.processes() != Processes::None {
        scene.repository.close().await.unwrap();
    }
    let (_, answer) = elsewhere(&scene, Task::Append(4)).await;
    assert_eq!(answer.error, None);
    drop(further);
    let scene = scene.reopened().await;
    let log = scene.log().await;
    assert_eq!(log.len(), 7);
    let theirs: Vec<_> = log[3..]
        .iter()
        .map(|event| (event.position, event.id))
        .collect();
    assert_eq!(theirs, answer.events);
}
