//! Kills a process that appends, at random moments, and checks what it had acknowledged.
//!
//! The process under test is this test binary, started anew with a directory to write to. It tells
//! each acknowledgement over a pipe; what the pipe has is what the process had promised. After the
//! kill the store is opened here: every acknowledged event is at its place with its bytes, appends
//! are whole, and nothing has gaps or is there twice. Several topics are appended to at once, so that
//! they share syncs, with segments of different sizes; streams are deleted and restored meanwhile, and
//! one topic is created, deleted, restored and purged again and again.
//!
//! `ANNALS_KILLS` sets how many kills (200), `ANNALS_SEED` the seed, which is printed.

#![cfg(feature = "file")]
use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, ExpectedVersion, NewEvent,
    Position, Read, TopicConfig,
};
use futures_util::TryStreamExt;
use uuid::Uuid;

const DIRECTORY: &str = "ANNALS_CRASH_DIRECTORY";
const SEED: &str = "ANNALS_CRASH_SEED";
/// Appending tasks; each topic has two of them.
const TASKS: u64 = 8;
/// The topics, and the sizes of their segments.
const TOPICS: [(&str, &str); 4] = [
    ("a", "40000"),
    ("b", "4096"),
    ("c", "134217728"),
    ("d", "16384"),
];
/// The topic that is created, deleted, restored and purged in this order.
const CHURN: &str = "churn";
const CYCLE: [Operation; 6] = [
    Operation::Create,
    Operation::Append,
    Operation::Delete,
    Operation::Restore,
    Operation::Delete,
    Operation::Purge,
];

#[derive(Clone, Copy)]
enum Operation {
    Create,
    Append,
    Delete,
    Restore,
    Purge,
}

/// Kills on one directory before a new one is begun.
const KILLS_EACH: u64 = 20;

/// A small generator (xorshift64*), so that a run can be repeated by its seed.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// The payload that belongs to an event: its append, its place in it, and bytes that follow.
fn payload(append: Uuid, index: u64, count: u64) -> Vec<u8> {
    let length = (append.as_u128() as u64 ^ index.wrapping_mul(7919)) % 700;
    let mut bytes = format!("{append}/{index}/{count}/").into_bytes();
    bytes.extend((0..length).map(|at| (append.as_u128() as u64).wrapping_add(at * index) as u8));
    bytes
}

fn event_id(append: Uuid, index: u64) -> Uuid {
    Uuid::from_u128(append.as_u128() ^ (u128::from(index) << 80))
}

async fn open(directory: &Path) -> EventStore {
    let stream = ConfigurationStream::file(directory.display().to_string());
    EventStore::open(EventStoreConfig::new(stream))
        .await
        .expect("the store opens")
}

/// The process that is killed. Does nothing when it is run as one test among the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_appends_until_it_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let seed: u64 = std::env::var(SEED)
        .expect("a seed")
        .parse()
        .expect("a number");
    let directory = Path::new(&directory);
    let store = open(directory).await;
    let place = directory.display().to_string();
    for (topic, segment_bytes) in TOPICS {
        let topic = TopicConfig::file(topic, &place).option("segment_bytes", segment_bytes);
        match store.create_topic(topic).await {
            Ok(_) | Err(Error::TopicAlreadyExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let out = Arc::new(Mutex::new(std::io::stdout()));
    let mut tasks = vec![tokio::spawn(churn(store.clone(), Arc::clone(&out), place))];
    for task in 0..TASKS {
        tasks.push(tokio::spawn(append_for_ever(
            store.clone(),
            TOPICS[task as usize % TOPICS.len()].0,
            Arc::clone(&out),
            Random::new(seed * TASKS + task),
        )));
    }
    for task in tasks {
        task.await.expect("a task ends by the kill only");
    }
}

fn tell(out: &Mutex<std::io::Stdout>, line: &str) {
    let mut out = out.lock().expect("the pipe");
    out.write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .expect("the pipe is open");
}

/// Goes through the life of a topic again and again, and tells each step that is done.
async fn churn(store: EventStore, out: Arc<Mutex<std::io::Stdout>>, place: String) {
    // What the process before has left.
    let topics = store.list_topics().await.expect("topics are listed");
    if topics.iter().any(|one| one.name.as_str() == CHURN) {
        store.delete_topic(CHURN).await.expect("it is deleted");
    }
    match store.purge_topic(CHURN).await {
        Ok(()) | Err(Error::TopicNotFound { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    tell(&out, "DID 0\n");
    for (done, operation) in (1..).zip(CYCLE.into_iter().cycle()) {
        let outcome = match operation {
            Operation::Create => store
                .create_topic(TopicConfig::file(CHURN, &place))
                .await
                .map(drop),
            Operation::Append => {
                let event = NewEvent::json("Churned", &done).expect("a number");
                store.append_events(CHURN, event).await.map(drop)
            }
            Operation::Delete => store.delete_topic(CHURN).await,
            Operation::Restore => store.restore_topic(CHURN).await.map(drop),
            Operation::Purge => store.purge_topic(CHURN).await,
        };
        outcome.expect("a step of the topic's life");
        tell(&out, &format!("DID {done}\n"));
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

/// What is found after so many steps: the events of the topic, if it is in use, and how many of its
/// name are deleted.
const fn churned(done: u64) -> (Option<usize>, usize) {
    match done % CYCLE.len() as u64 {
        1 => (Some(0), 0),
        2 | 4 => (Some(1), 0),
        3 | 5 => (None, 1),
        _ => (None, 0),
    }
}

async fn append_for_ever(
    store: EventStore,
    topic: &'static str,
    out: Arc<Mutex<std::io::Stdout>>,
    mut random: Random,
) {
    loop {
        let append = Uuid::new_v4();
        let count = 1 + random.below(5);
        let stream = format!("s{}", random.below(10));
        if random.below(30) == 0 {
            match store.delete_stream(topic, &stream).await {
                Ok(_) => {
                    let restored = store.restore_stream(topic, &stream).await;
                    restored.expect("a stream is restored");
                }
                Err(Error::StreamNotFound { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let events = (0..count).map(|index| {
            NewEvent::binary(
                "Written",
                "application/octet-stream",
                payload(append, index, count),
            )
            .id(event_id(append, index))
        });
        let mut request = Append::new(events).stream(&stream);
        if random.below(2) == 0 {
            let state = store
                .get_stream(topic, &stream)
                .await
                .expect("the stream is read");
            request = request.expected(ExpectedVersion::Exact(state.version));
        }
        match store.append_events(topic, request).await {
            Ok(receipt) => {
                let line = format!(
                    "ACK {append} {count} {} {stream} {} {topic}\n",
                    receipt.first, receipt.version
                );
                tell(&out, &line);
            }
            Err(Error::WrongExpectedVersion { .. }) => {}
            // The process before was killed between deleting it and restoring it, or another task
            // is there.
            Err(Error::StreamDeleted { .. }) => {
                let restored = store.restore_stream(topic, &stream).await;
                restored.expect("a stream is restored");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a killed process had acknowledged.
struct Acknowledged {
    append: Uuid,
    count: u64,
    first: u64,
    stream: String,
    version: u64,
    topic: String,
}

/// What a killed process had told.
#[derive(Default)]
struct Told {
    appends: Vec<Acknowledged>,
    /// The last step of the life of the one topic.
    done: Option<u64>,
}

fn parse(line: &str) -> Option<Acknowledged> {
    // The test harness of the child may have written in front of it.
    let line = line.split_once("ACK ")?.1;
    let mut words = line.split(' ');
    Some(Acknowledged {
        append: words.next()?.parse().ok()?,
        count: words.next()?.parse().ok()?,
        first: words.next()?.parse().ok()?,
        stream: words.next()?.to_owned(),
        version: words.next()?.parse().ok()?,
        topic: words.next()?.to_owned(),
    })
}

fn parse_step(line: &str) -> Option<u64> {
    line.split_once("DID ")?.1.parse().ok()
}

/// Starts the process, kills it after a while, and returns what it had told.
fn run_and_kill(directory: &Path, seed: u64, delay: Duration) -> Told {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "--exact",
            "child_that_appends_until_it_is_killed",
            "--nocapture",
        ])
        .env(DIRECTORY, directory)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let reader = std::thread::spawn(move || {
        let mut told = Told::default();
        for line in lines.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            told.appends.extend(parse(&line));
            told.done = parse_step(&line).or(told.done);
        }
        told
    });
    std::thread::sleep(delay);
    assert!(
        child.try_wait().expect("the child is asked").is_none(),
        "the child ended by itself"
    );
    child.kill().expect("the child is killed");
    child.wait().expect("the child is gone");
    // A line that the kill cut short was not told; what was told is whole.
    reader.join().expect("the reader")
}

async fn check(directory: &Path, acknowledged: &[Acknowledged], done: Option<u64>) -> u64 {
    let store = open(directory).await;
    let topics = store.list_topics().await.expect("topics are listed");
    let mut events = 0;
    for (topic, _) in TOPICS {
        let of_topic: Vec<_> = acknowledged
            .iter()
            .filter(|one| one.topic == topic)
            .collect();
        if topics.iter().any(|one| one.name.as_str() == topic) {
            events += check_topic(&store, topic, &of_topic).await;
        } else {
            assert!(of_topic.is_empty(), "topic {topic} is gone");
        }
    }
    if let Some(done) = done {
        let active = match topics.iter().any(|one| one.name.as_str() == CHURN) {
            true => {
                let read = store.get_events(CHURN, Read::all()).await;
                Some(read.expect("the topic is read").len())
            }
            false => None,
        };
        let deleted = store.list_deleted_topics().await.expect("they are listed");
        let found = (active, deleted.len());
        let allowed = [churned(done), churned(done + 1)];
        assert!(
            allowed.contains(&found),
            "{found:?} after step {done}, not {allowed:?}"
        );
    }
    store.close().await.expect("the store closes");
    events
}

async fn check_topic(store: &EventStore, topic: &str, acknowledged: &[&Acknowledged]) -> u64 {
    let events: Vec<_> = store
        .read_events(topic, Read::all().after(Position::START))
        .try_collect()
        .await
        .expect("all is read");
    let mut ids = HashSet::new();
    let mut versions: HashMap<String, u64> = HashMap::new();
    let mut left = 0_u64;
    for (event, position) in events.iter().zip(1_u64..) {
        assert_eq!(event.position.get(), position, "a gap");
        assert!(ids.insert(event.id), "{} is there twice", event.id);
        let version = versions.entry(event.stream.to_string()).or_default();
        *version += 1;
        assert_eq!(
            event.version.get(),
            *version,
            "a gap in stream {}",
            event.stream
        );
        if event.event_type.is_reserved() {
            assert_eq!(left, 0, "half an append before {position}");
            continue;
        }
        let text = String::from_utf8_lossy(&event.payload);
        let mut parts = text.split('/');
        let append: Uuid = parts.next().expect("the append").parse().expect("its id");
        let index: u64 = parts.next().expect("the index").parse().expect("a number");
        let count: u64 = parts.next().expect("the count").parse().expect("a number");
        assert_eq!(
            event.payload,
            payload(append, index, count),
            "other bytes at {position}"
        );
        assert_eq!(event.id, event_id(append, index));
        assert_eq!(index == 0, left == 0, "half an append before {position}");
        left = count - index - 1;
    }
    assert_eq!(left, 0, "half an append at the end");
    for one in acknowledged {
        for index in 0..one.count {
            let at = one.first + index;
            let event = events
                .get(at as usize - 1)
                .unwrap_or_else(|| panic!("{at} was acknowledged and is gone"));
            assert_eq!(
                event.id,
                event_id(one.append, index),
                "another event at {at}"
            );
            assert_eq!(event.stream, one.stream.as_str());
            assert_eq!(event.version.get(), one.version + 1 + index - one.count);
        }
    }
    let verified = store.verify_topic(topic).await;
    verified.expect("everything is whole");
    events.len() as u64
}

#[test]
fn what_was_acknowledged_survives_any_kill() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let kills = number("ANNALS_KILLS").unwrap_or(200);
    let seed = number("ANNALS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("ANNALS_SEED={seed}");
    let mut random = Random::new(seed);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut directory, mut acknowledged) = (tempfile::tempdir().expect("a directory"), Vec::new());
    let (mut events, mut promises, mut steps) = (0, 0, 0);
    for kill in 0..kills {
        if kill % KILLS_EACH == 0 {
            directory = tempfile::tempdir().expect("a directory");
            acknowledged = Vec::new();
        }
        // Some kills hit while the store opens, most while it writes.
        let most = if random.below(5) == 0 { 10_000 } else { 80_000 };
        let delay = Duration::from_micros(random.below(most));
        let found = run_and_kill(directory.path(), seed.wrapping_add(kill), delay);
        promises += found.appends.len();
        steps += found.done.unwrap_or(0);
        acknowledged.extend(found.appends);
        events += runtime.block_on(check(directory.path(), &acknowledged, found.done));
    }
    println!(
        "{kills} kills, {promises} acknowledged appends, {steps} steps of a topic's life, {events} events read back and checked"
    );
    assert!(promises > 0, "nothing was acknowledged in {kills} kills");
}
