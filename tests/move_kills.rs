//! A process that moves a topic to and fro between files, PostgreSQL and an object store while it appends,
//! and is killed at any moment: whoever opens the store next finds every event that was acknowledged.
//!
//! `ANNALS_MOVE_KILLS` sets how often it is killed.

#![cfg(all(feature = "file", feature = "postgres", feature = "blob"))]
#![cfg(test)]

mod servers;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, MoveOptions, NewEvent, Read,
    TopicConfig,
};
use futures_util::TryStreamExt;
use uuid::Uuid;

const ROLE: &str = "ANNALS_TEST_MOVE_ROLE";
const LEASE: Duration = Duration::from_millis(300);

/// Where everything is: a directory and a database.
#[derive(Clone)]
struct Places {
    directory: String,
    database: String,
}

impl Places {
    async fn open(&self) -> EventStore {
        let stream = ConfigurationStream::blob(format!("file://{}/configuration", self.directory));
        let config = EventStoreConfig::new(stream)
            .move_lease(LEASE)
            .allow_plain_secrets();
        EventStore::open(config).await.unwrap()
    }

    /// One place after the other, so that every adapter comes before and after every other.
    fn nth(&self, nth: usize) -> TopicConfig {
        let directory = &self.directory;
        match [0, 1, 2, 0, 3, 1, 3, 2, 1, 0, 2, 3][nth % 12] {
            0 => TopicConfig::file("t", format!("{directory}/files")),
            1 => TopicConfig::postgres("t", &self.database),
            2 => TopicConfig::blob("t", format!("file://{directory}/objects")),
            _ => TopicConfig::file("t", format!("{directory}/further")),
        }
    }
}

async fn append(store: &EventStore, stream: &str) -> (Uuid, u64) {
    let id = Uuid::new_v4();
    loop {
        let event = NewEvent::json("Given", &id).unwrap().id(id);
        let append = Append::new([event]).stream(stream);
        match store.append_events("t", append).await {
            Ok(receipt) => return (id, receipt.first.get()),
            Err(error @ Error::OutcomeUnknown { .. }) => eprintln!("{error}"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// What the other process has told until it was killed, after so long: events, and how often it has
/// moved the topic.
fn kill_after(places: &Places, first: usize, time: Duration) -> (Vec<(Uuid, u64)>, usize) {
    let role = format!("{first} {} {}", places.directory, places.database);
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_process", "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = BufReader::new(other.stdout.take().unwrap());
    let reading = std::thread::spawn(move || {
        let (mut told, mut moves) = (Vec::new(), 0);
        for line in output.lines().map_while(Result::ok) {
            // A line that the kill has cut off is no word of anything.
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["told", id, position, "."] => {
                    told.push((id.parse().unwrap(), position.parse().unwrap()));
                }
                ["moved", "."] => moves += 1,
                _ => {}
            }
        }
        (told, moves)
    });
    std::thread::sleep(time);
    other.kill().unwrap();
    other.wait().unwrap();
    reading.join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_while_a_topic_moved_survives_a_kill() {
    let kills = std::env::var("ANNALS_MOVE_KILLS").map_or(10, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let places = Places {
        directory: directory.path().display().to_string(),
        database: servers::postgres().fresh(),
    };
    let store = places.open().await;
    store.create_topic(places.nth(11)).await.unwrap();
    let mut told = vec![append(&store, "own").await];
    store.close().await.unwrap();
    let (mut moves, mut taken_over) = (0, 0);
    for round in 0..kills {
        let time = Duration::from_millis(150 + (round as u64 * 7919) % 900);
        let (some, moved) = kill_after(&places, round * 5, time);
        told.extend(some);
        moves += moved;
        let store = places.open().await;
        let topic = store.get_topic("t").await.unwrap();
        taken_over += usize::from(topic.moving.is_some());
        let began = Instant::now();
        told.push(append(&store, "own").await);
        while store.get_topic("t").await.unwrap().moving.is_some() {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "it moves for ever"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        told.push(append(&store, "own").await);
        check(&store, &told).await;
        store.remove_former("t").await.unwrap();
        store.close().await.unwrap();
    }
    let told = told.len();
    println!("{kills} kills, {moves} moves that were told, {taken_over} taken over, {told} events");
    assert!(moves >= kills / 2 && taken_over >= kills / 10);
}

async fn check(store: &EventStore, told: &[(Uuid, u64)]) {
    let mut there = HashMap::new();
    let mut versions = HashMap::new();
    let mut log = store.read_events("t", Read::all());
    let mut position = 0;
    while let Some(event) = log.try_next().await.unwrap() {
        position += 1;
        assert_eq!(event.position.get(), position, "positions have no gap");
        let version = versions.entry(event.stream.clone()).or_insert(0);
        *version += 1;
        assert_eq!(event.version.get(), *version, "versions have no gap");
        assert_eq!(event.json::<Uuid>().unwrap(), event.id);
        assert_eq!(there.insert(event.id, position), None, "an event twice");
    }
    for (id, position) in told {
        assert_eq!(there.get(id), Some(position), "{id}");
    }
}

/// Plays its part when it is started as another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let Ok(role) = std::env::var(ROLE) else {
        // Started as a test: there is nobody to play with, and nothing to check.
        return;
    };
    let words: Vec<_> = role.split(' ').collect();
    let [first, directory, database] = words[..] else {
        panic!("{role}");
    };
    let places = Places {
        directory: directory.to_owned(),
        database: database.to_owned(),
    };
    let store = places.open().await;
    for number in 0..3 {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let (id, position) = append(&store, &format!("writer-{number}")).await;
                println!("told {id} {position} .");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    for nth in first.parse().unwrap().. {
        match store
            .move_topic(places.nth(nth), MoveOptions::default())
            .await
        {
            Ok(_) => println!("moved ."),
            Err(error) => eprintln!("not moved: {error}"),
        }
    }
}
