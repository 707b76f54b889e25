//! What the store says when the operating system fails: a sync, a write, a full disk.
//!
//! The process under test is this test binary, started anew under `strace`, which injects the
//! error. It appends and tells over its output what it was answered; afterwards the store is opened
//! here, and what was acknowledged is there.

#![cfg(all(feature = "file", target_os = "linux"))]

use std::{path::Path, process::Command};

use annals::{
    ConfigurationStream, Error, EventStore, EventStoreConfig, HealthStatus, NewEvent, Position,
    Read, TopicConfig,
};

const DIRECTORY: &str = "ANNALS_SYSTEM_ERRORS_DIRECTORY";

async fn open(directory: &Path) -> EventStore {
    let stream = ConfigurationStream::file(directory.display().to_string());
    EventStore::open(EventStoreConfig::new(stream))
        .await
        .unwrap()
}

/// Appends ten events one after the other. Does nothing when run as one test among the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn child_that_appends_under_strace() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let store = open(Path::new(&directory)).await;
    for number in 0..10 {
        let answer = store
            .append_events("t", NewEvent::json("Written", &number).unwrap())
            .await;
        match answer {
            Ok(receipt) => println!("ANSWER {number} ok {}", receipt.first),
            Err(Error::OutcomeUnknown { .. }) => println!("ANSWER {number} unknown 0"),
            Err(Error::RepositoryUnavailable { .. }) => println!("ANSWER {number} unavailable 0"),
            Err(error) => println!("ANSWER {number} {error:?} 0"),
        }
    }
    let health = store.health().await;
    println!("HEALTH {:?}", health.repositories[0].status);
    let _failed = store.close().await;
}

/// What the child was answered, append by append: the answer and the position.
fn run(directory: &Path, injects: &[&str], only: &str) -> (Vec<(String, u64)>, String) {
    let storage = directory.join("topics");
    let output = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e"])
        .arg(format!("trace={only}"))
        .args(
            injects
                .iter()
                .flat_map(|inject| ["-e".to_owned(), format!("inject={inject}")]),
        )
        .args(paths(&storage).iter().flat_map(|path| ["-P", path]))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_appends_under_strace", "--nocapture"])
        .env(DIRECTORY, directory)
        .output()
        .expect("strace is installed (scripts/test sees to it)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers = text
        .lines()
        .filter_map(|line| line.split_once("ANSWER "))
        .map(|(_, line)| {
            let words: Vec<_> = line.split(' ').collect();
            (words[1].to_owned(), words[2].parse().unwrap())
        })
        .collect();
    let health = text
        .lines()
        .find_map(|line| line.split_once("HEALTH "))
        .map(|(_, health)| health.to_owned());
    (
        answers,
        health.unwrap_or_else(|| {
            panic!(
                "the child did not end in order: {text}\n{}",
                String::from_utf8_lossy(&output.stderr)
            )
        }),
    )
}

/// The segments of the topic that is not the configuration stream.
fn paths(topics: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for storage in std::fs::read_dir(topics).unwrap() {
        let storage = storage.unwrap().path();
        if !storage.to_string_lossy().contains("00000000-0000-7000") {
            found.push(
                storage
                    .join("00000000000000000001.log")
                    .display()
                    .to_string(),
            );
        }
    }
    found
}

async fn prepared() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    store
        .create_topic(TopicConfig::file(
            "t",
            directory.path().display().to_string(),
        ))
        .await
        .unwrap();
    store
        .append_events("t", NewEvent::json("Before", &0).unwrap())
        .await
        .unwrap();
    store.close().await.unwrap();
    directory
}

/// Opens the store anew: what was acknowledged is there, at its place, and appends go on.
async fn check(directory: &Path, answers: &[(String, u64)]) -> usize {
    let store = open(directory).await;
    let events = store
        .get_events("t", Read::all().after(Position::new(1)))
        .await
        .unwrap();
    for ((answer, position), number) in answers.iter().zip(0_u64..) {
        if answer == "ok" {
            let event = events
                .iter()
                .find(|event| event.position.get() == *position);
            assert_eq!(
                event.expect("it was acknowledged").json::<u64>().unwrap(),
                number
            );
        }
        if answer == "unavailable" {
            let found = events
                .iter()
                .any(|event| event.json::<u64>().unwrap() == number);
            assert!(
                !found,
                "append {number} was said not to be written, and it is there"
            );
        }
    }
    store
        .append_events("t", NewEvent::json("After", &99).unwrap())
        .await
        .unwrap();
    store.verify_topic("t").await.unwrap();
    store.close().await.unwrap();
    events.len()
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_until_the_store_is_opened_anew() {
    for nth in 1..=4 {
        let directory = prepared().await;
        let inject = format!("fdatasync:error=EIO:when={nth}");
        let (answers, health) = run(directory.path(), &[&inject], "fdatasync");
        let expected: Vec<&str> = (1..=10)
            .map(|number: i32| match number.cmp(&nth) {
                std::cmp::Ordering::Less => "ok",
                std::cmp::Ordering::Equal => "unknown",
                std::cmp::Ordering::Greater => "unavailable",
            })
            .collect();
        let found: Vec<&str> = answers.iter().map(|(answer, _)| answer.as_str()).collect();
        assert_eq!(found, expected);
        assert_eq!(health, format!("{:?}", HealthStatus::Degraded));
        check(directory.path(), &answers).await;
    }
}

#[tokio::test]
async fn a_failed_write_writes_nothing_and_the_next_one_goes_on() {
    for error in ["ENOSPC", "EIO", "EINTR"] {
        let directory = prepared().await;
        let inject = format!("pwrite64:error={error}:when=3");
        let (answers, health) = run(directory.path(), &[&inject], "pwrite64");
        let failed = answers.iter().filter(|(answer, _)| answer != "ok").count();
        // An interrupted write is repeated, and nobody need know.
        assert_eq!(
            failed,
            usize::from(error != "EINTR"),
            "{error}: {answers:?}"
        );
        assert!(
            answers
                .iter()
                .all(|(answer, _)| answer == "ok" || answer == "unavailable"),
            "{answers:?}"
        );
        assert_eq!(health, format!("{:?}", HealthStatus::Up));
        let events = check(directory.path(), &answers).await;
        assert_eq!(events, 10 - failed);
    }
}

#[tokio::test]
async fn a_write_that_did_not_happen_is_found() {
    let directory = prepared().await;
    let (answers, _) = run(directory.path(), &["pwrite64:retval=7:when=2"], "pwrite64");
    // The process is told that seven bytes were written, and none was; it writes the rest. What is
    // there is not what was acknowledged, and that is found.
    assert!(
        answers.iter().all(|(answer, _)| answer == "ok"),
        "{answers:?}"
    );
    let store = open(directory.path()).await;
    let read = store.get_events("t", Read::all()).await;
    assert!(matches!(read, Err(Error::Corruption { .. })), "{read:?}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn where_a_failed_write_cannot_be_taken_back_the_outcome_is_unknown() {
    let directory = prepared().await;
    let injects = ["pwrite64:error=EIO:when=2", "ftruncate:error=EIO:when=1"];
    let (answers, health) = run(directory.path(), &injects, "pwrite64,ftruncate");
    assert_eq!(answers[1].0, "unknown", "{answers:?}");
    assert!(
        answers[2..]
            .iter()
            .all(|(answer, _)| answer == "unavailable"),
        "{answers:?}"
    );
    assert_eq!(health, format!("{:?}", HealthStatus::Degraded));
    check(directory.path(), &answers).await;
}
