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
const TRACED: &str = "ANNALS_SYSTEM_ERRORS_TRACED";

async fn open(directory: &Path) -> EventStore {
    let stream = ConfigurationStream::file(directory.display().to_string());
    EventStore::open(EventStoreConfig::new(stream))
        .await
        .unwrap()
}

/// Makes a topic and appends to it; for the test of what is synced. Does nothing when run as one test
/// among the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn child_that_makes_a_topic_under_strace() {
    let Ok(directory) = std::env::var(TRACED) else {
        return;
    };
    let store = open(Path::new(&directory)).await;
    // Segments that are full after some appends are begun on the way.
    let topic = TopicConfig::file("traced", &directory).option("segment_bytes", "4096");
    store.create_topic(topic).await.unwrap();
    println!("ANSWER created");
    for number in 0..20 {
        let event = NewEvent::binary("Written", "text/plain", vec![number; 700]);
        store.append_events("traced", event).await.unwrap();
        println!("ANSWER {number}");
    }
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

/// The calls of a traced process, in the order in which they returned: what was called, and the
/// line that says it.
fn calls(trace: &str) -> Vec<(String, String)> {
    let mut begun: std::collections::HashMap<&str, &str> = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((process, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        let whole = if let Some((begin, _)) = call.split_once(" <unfinished") {
            begun.insert(process, begin);
            continue;
        } else if call.starts_with("<...") {
            format!("{}{call}", begun.remove(process).unwrap_or_default())
        } else {
            call.to_owned()
        };
        if let Some((name, _)) = whole.split_once('(') {
            calls.push((name.to_owned(), whole.clone()));
        }
    }
    calls
}

#[test]
fn nothing_is_acknowledged_before_it_and_its_directory_are_synced() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let traced = "trace=pwrite64,fdatasync,fsync,rename,renameat,renameat2,openat,write";
    let status = Command::new("strace")
        .args(["-f", "-y", "-o", trace.to_str().unwrap(), "-e", traced])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_that_makes_a_topic_under_strace",
            "--nocapture",
        ])
        .env(TRACED, directory.path().join("data"))
        .stdout(std::process::Stdio::null())
        .status()
        .expect("strace is installed (scripts/test sees to it)");
    assert!(status.success());
    let (mut unsynced, mut entered, mut answers, mut segments) = (Vec::new(), Vec::new(), 0, 0);
    for (name, call) in calls(&std::fs::read_to_string(&trace).unwrap()) {
        let path = call.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match name.as_str() {
            "pwrite64" if path.ends_with(".log") => unsynced.push(path),
            "fdatasync" | "fsync" if call.ends_with("= 0") => {
                unsynced.retain(|one| *one != path);
                entered.retain(|one| *one != path);
            }
            // A new segment has to be entered in its directory, and a new storage in its own.
            "openat" if call.contains("O_EXCL") && call.contains("/topics/") => {
                segments += u32::from(call.contains(".log\""));
                let made = call.split('"').nth(1).unwrap();
                entered.push(Path::new(made).parent().unwrap().display().to_string());
            }
            "rename" if !call.contains(".idx") => {
                let target = call.split('"').nth(3).unwrap();
                let target = Path::new(target);
                // What was made under the old name was synced there.
                assert!(
                    unsynced.is_empty() && entered.iter().all(|one| !one.ends_with(".new")),
                    "{call}"
                );
                entered.push(target.parent().unwrap().display().to_string());
            }
            "write" if call.contains("ANSWER") => {
                answers += 1;
                assert!(
                    unsynced.is_empty(),
                    "answered before {unsynced:?} was synced"
                );
                assert!(entered.is_empty(), "answered before {entered:?} was synced");
            }
            _ => {}
        }
    }
    assert_eq!(answers, 21);
    assert!(segments > 3, "only {segments} segments were made");
}
