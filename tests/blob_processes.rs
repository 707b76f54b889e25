//! Several processes on one topic in a local directory: races, processes that are killed, and
//! processes that stand still past the grace period.

#![cfg(feature = "blob")]
#![cfg(test)]

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, ExpectedVersion, NewEvent,
    Read, RecordedEvent, TopicConfig,
};
use futures_util::TryStreamExt;
use uuid::Uuid;

const ROLE: &str = "ANNALS_TEST_BLOB_ROLE";

async fn open(directory: &str) -> EventStore {
    let stream = ConfigurationStream::new("blob", format!("file://{directory}/configuration"));
    EventStore::open(EventStoreConfig::new(stream))
        .await
        .unwrap()
}

fn topic(directory: &str) -> TopicConfig {
    TopicConfig::blob("t", format!("file://{directory}/topics"))
        .option("compact_slots", "4")
        .option("grace_ms", "1000")
}

/// A process of which the answers are read line by line: `ID POSITION`.
struct Other {
    process: Child,
    told: BufReader<ChildStdout>,
}

impl Other {
    fn start(role: &str, directory: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(ROLE, format!("{role} {directory}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let told = BufReader::new(process.stdout.take().unwrap());
        Self { process, told }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.process.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// What it has told, until it has told so much or ends.
    fn told(&mut self, most: usize) -> Vec<(Uuid, u64)> {
        let mut told = Vec::new();
        let mut line = String::new();
        while told.len() < most {
            line.clear();
            if self.told.read_line(&mut line).unwrap() == 0 {
                break;
            }
            // The test's own words are there too; a line that was cut off by a kill has no end.
            let Some(words) = line
                .strip_prefix("told ")
                .and_then(|rest| rest.strip_suffix('\n'))
            else {
                continue;
            };
            let (id, position) = words.split_once(' ').unwrap();
            told.push((id.parse().unwrap(), position.parse().unwrap()));
        }
        told
    }
}

async fn all(store: &EventStore) -> Vec<RecordedEvent> {
    let log: Vec<_> = store
        .read_events("t", Read::all())
        .try_collect()
        .await
        .unwrap();
    let mut versions = HashMap::new();
    for (event, position) in log.iter().zip(1..) {
        assert_eq!(event.position.get(), position, "positions have no gap");
        let version = versions.entry(event.stream.clone()).or_insert(0);
        *version += 1;
        assert_eq!(event.version.get(), *version, "versions have no gap");
    }
    assert_eq!(
        store.verify_topic("t").await.unwrap().events,
        log.len() as u64
    );
    log
}

/// Each event that was told is there once, where it was told to be.
fn check(log: &[RecordedEvent], told: &[(Uuid, u64)]) {
    let mut there = HashMap::new();
    for event in log {
        assert_eq!(
            there.insert(event.id, event.position.get()),
            None,
            "an event twice"
        );
    }
    for (id, position) in told {
        assert_eq!(there.get(id), Some(position), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_race_on_one_stream_each_win_their_turns() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let store = open(directory).await;
    store.create_topic(topic(directory)).await.unwrap();
    let mut others: Vec<_> = (0..4).map(|_| Other::start("race:25", directory)).collect();
    let mut told = Vec::new();
    for other in &mut others {
        let some = other.told(usize::MAX);
        assert_eq!(some.len(), 25);
        told.extend(some);
        assert!(other.process.wait().unwrap().success());
    }
    let log = all(&store).await;
    assert_eq!(log.len(), 100);
    check(&log, &told);
    // Each names the version that its writer expected: it is the one before.
    for event in &log {
        assert_eq!(event.version.get(), event.json::<u64>().unwrap() + 1);
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_processes_acknowledged_before_they_were_killed_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let store = open(directory).await;
    store.create_topic(topic(directory)).await.unwrap();
    let mut told = Vec::new();
    for round in 0..12 {
        let mut others = [
            Other::start("append", directory),
            Other::start("append", directory),
        ];
        for (nth, other) in others.iter_mut().enumerate() {
            told.extend(other.told(8 + round * 3 + nth * 5));
            other.signal("-KILL");
            told.extend(other.told(usize::MAX));
            other.process.wait().unwrap();
        }
    }
    let log = all(&store).await;
    check(&log, &told);
    assert!(told.len() > 400, "{}", told.len());
    println!("{} events told, {} recorded", told.len(), log.len());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_stand_still_past_the_grace_period_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let store = open(directory).await;
    store.create_topic(topic(directory)).await.unwrap();
    let mut sleeper = Other::start("append", directory);
    let mut busy = Other::start("append", directory);
    let mut told = sleeper.told(5);
    told.extend(busy.told(5));
    for _ in 0..3 {
        sleeper.signal("-STOP");
        // The other goes on until what the first knew is merged and collected.
        let until = Instant::now() + Duration::from_millis(2500);
        while Instant::now() < until {
            told.extend(busy.told(20));
        }
        sleeper.signal("-CONT");
        told.extend(sleeper.told(20));
    }
    for other in [&mut sleeper, &mut busy] {
        other.signal("-KILL");
        told.extend(other.told(usize::MAX));
        other.process.wait().unwrap();
    }
    let log = all(&store).await;
    check(&log, &told);
    println!("{} events told, {} recorded", told.len(), log.len());
    store.close().await.unwrap();
}

/// Plays its part when it is started as another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let Ok(role) = std::env::var(ROLE) else {
        // Started as a test: there is nobody to play with, and nothing to check.
        return;
    };
    let (role, directory) = role.split_once(' ').unwrap();
    let store = open(directory).await;
    let Some(count) = role.strip_prefix("race:") else {
        loop {
            let id = Uuid::new_v4();
            let event = NewEvent::json("E", &id).unwrap().id(id);
            let append = Append::new([event]).stream(format!("s-{}", std::process::id()));
            let receipt = store.append_events("t", append).await.unwrap();
            println!("told {id} {}", receipt.first);
        }
    };
    let mut won = 0;
    while won < count.parse().unwrap() {
        let version = match store.get_stream("t", "contended").await {
            Ok(state) => state.version.get(),
            Err(Error::StreamNotFound { .. }) => 0,
            Err(error) => panic!("{error:?}"),
        };
        let id = Uuid::new_v4();
        let append = Append::new([NewEvent::json("Won", &version).unwrap().id(id)])
            .stream("contended")
            .expected(ExpectedVersion::exact(version));
        match store.append_events("t", append).await {
            Ok(receipt) => {
                println!("told {id} {}", receipt.first);
                won += 1;
            }
            Err(Error::WrongExpectedVersion { actual, .. }) => assert!(actual.get() > version),
            Err(error) => panic!("{error:?}"),
        }
    }
    store.close().await.unwrap();
}
