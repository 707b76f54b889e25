//! Clients of a server, over HTTP, on topics in every kind of repository, while the
//! server is killed, stopped and started again, and the database crashes. Every call and answer is
//! written down, and checked against what is left in the end.
//!
//! `ANNALS_TORTURE_SECONDS` sets how long it goes on, `ANNALS_TORTURE_SEED` what it does.

#![cfg(test)]

#[path = "../history/mod.rs"]
mod history;
mod program;
mod served;
#[path = "../servers/mod.rs"]
mod servers;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{ConfigurationStream, EventStore, EventStoreConfig, Read, TopicConfig};
use futures_util::{TryStreamExt, future::join_all};
use history::{
    Entry, Logs, Rule,
    calls::some_call,
    check,
    client::{Client, now},
    random::Random,
    record::{AppendAnswer, Call, Filter},
};
use program::Program;
use served::Server;
use servers::Postgres;

/// Clients of one topic.
const CLIENTS: u32 = 3;
/// A topic that has so many events gets no more: reading it would take all the time.
const MOST_EVENTS: u64 = 9_000;
/// In seconds. What clients saw in a round is kept in memory until the round is judged.
const LONGEST_ROUND: u64 = 150;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

async fn open(data: &str) -> EventStore {
    let config = EventStoreConfig::new(ConfigurationStream::file(data)).allow_plain_secrets();
    EventStore::open(config).await.unwrap()
}

async fn append_and_read(
    mut client: Client<Server>,
    mut random: Random,
    ended: Arc<AtomicBool>,
) -> Vec<Entry> {
    let mut tried = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        client.head().await;
        let head = match client.entries.last().map(|entry| &entry.call) {
            Some(Call::Head(Some(head))) => *head,
            _ => {
                // The server is away.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if head > MOST_EVENTS {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let patience = Duration::from_millis(5);
        some_call(&mut client, &mut random, &mut tried, patience).await;
    }
    client.entries
}

/// Follows over many live streams, each where the one before ended.
async fn follow(
    number: u32,
    server: Server,
    topic: String,
    filter: Filter,
    ended: Arc<AtomicBool>,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut position = 0;
    while !ended.load(Ordering::Relaxed) {
        let begin = now();
        let enough = Duration::from_millis(400);
        let call = server
            .follow(&topic, position, filter.clone(), enough)
            .await;
        position = call.position;
        entries.push(Entry {
            process: 0,
            client: number,
            op: entries.len() as u64,
            topic: topic.clone(),
            begin,
            end: now(),
            call: Call::Subscription(call),
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    entries
}

/// Kills and stops the server, and lets the database crash, until it is time.
fn faults(
    mut program: Program,
    database: &Postgres,
    mut random: Random,
    until: Instant,
) -> Program {
    let (mut kills, mut stops, mut crashes) = (0, 0, 0);
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(300 + random.below(1500)));
        match random.below(5) {
            0 | 1 => {
                program.kill();
                program.start_again();
                kills += 1;
            }
            2 => {
                program.stop();
                std::thread::sleep(Duration::from_millis(random.below(300)));
                program.start_again();
                stops += 1;
            }
            _ => {
                database.kill();
                std::thread::sleep(Duration::from_millis(random.below(700)));
                database.start_again();
                crashes += 1;
            }
        }
    }
    println!("{kills} kills, {stops} stops, {crashes} crashes of the database");
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_of_a_server_saw_can_have_been_whatever_went_away() {
    let seed = number("ANNALS_TORTURE_SEED", u64::from(std::process::id()));
    println!("ANNALS_TORTURE_SEED={seed}");
    let database = Arc::new(Postgres::start(&[]));
    let directory = tempfile::tempdir().unwrap();
    let mut left = number("ANNALS_TORTURE_SECONDS", 8);
    let mut nth = 0;
    while left > 0 {
        let seconds = left.min(LONGEST_ROUND);
        round(nth, seconds, seed + nth, directory.path(), &database).await;
        left -= seconds;
        nth += 1;
    }
}

/// New topics beside those of the rounds before, clients and faults for so many seconds, and judgement.
async fn round(nth: u64, seconds: u64, seed: u64, directory: &Path, database: &Arc<Postgres>) {
    let data = directory.join("data");
    let place = data.to_str().unwrap();
    let kinds = ["in-files", "in-a-database", "in-objects"];
    let topics = kinds.map(|kind| format!("{kind}-{nth}"));
    let store = open(place).await;
    let objects = format!("file://{}/objects", directory.display());
    let files = TopicConfig::file(&topics[0], place).option("segment_bytes", "65536");
    store.create_topic(files).await.unwrap();
    let tables = TopicConfig::postgres(&topics[1], database.fresh());
    store.create_topic(tables).await.unwrap();
    let objects = TopicConfig::blob(&topics[2], objects).option("compact_slots", "8");
    store.create_topic(objects).await.unwrap();
    store.close().await.unwrap();

    let program = Program::start(&data);
    let server = Server::at(&program.address);
    let ended = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    let mut who = 0;
    for topic in &topics {
        for _ in 0..CLIENTS {
            who += 1;
            let client = Client::new(&server, topic, 0, who);
            let random = Random(seed.wrapping_mul(31) ^ u64::from(who));
            let ended = Arc::clone(&ended);
            tasks.push(tokio::spawn(append_and_read(client, random, ended)));
        }
        for filter in [Filter::all(), Filter::tag("seat:1")] {
            who += 1;
            let (server, topic) = (server.clone(), topic.to_owned());
            let ended = Arc::clone(&ended);
            tasks.push(tokio::spawn(follow(who, server, topic, filter, ended)));
        }
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let crashing = Arc::clone(database);
    let faults = move || faults(program, &crashing, Random(seed ^ 7), until);
    let program = tokio::task::spawn_blocking(faults).await.unwrap();
    ended.store(true, Ordering::Relaxed);
    let notes = join_all(tasks).await.into_iter();
    let entries: Vec<_> = notes.flat_map(|notes| notes.unwrap()).collect();
    drop(program);
    let store = open(place).await;
    let logs = logs(&store, &topics).await;
    judge(&entries, &logs, seed);
    store.close().await.unwrap();
}

/// Reads every topic whole.
async fn logs(store: &EventStore, topics: &[String]) -> Logs {
    let mut logs = BTreeMap::new();
    for topic in topics {
        let read = Read::all().include_deleted();
        let log: Vec<_> = store.read_events(topic, read).try_collect().await.unwrap();
        let verified = store.verify_topic(topic).await.unwrap();
        assert_eq!(verified.events, log.len() as u64);
        logs.insert(topic.clone(), log);
    }
    logs
}

/// Checks the history, and says what was in it.
fn judge(entries: &[Entry], logs: &Logs, seed: u64) {
    let mut found = check(entries, logs);
    // Where a server crashed, a store sends an append again by itself; it may meet then what it had
    // recorded the first time. So may a client of HTTP, whose connection was closed while it was kept.
    found.retain(|one| one.rule != Rule::DuplicateOfNothing);
    let (mut recorded, mut duplicate, mut refused, mut unknown, mut delivered) = (0, 0, 0, 0, 0);
    for entry in entries {
        match &entry.call {
            Call::Append(call) => match call.answer {
                AppendAnswer::Recorded(_) => recorded += 1,
                AppendAnswer::Duplicate(_) => duplicate += 1,
                AppendAnswer::Refused(_) => refused += 1,
                AppendAnswer::Unknown => unknown += 1,
            },
            Call::Subscription(call) => delivered += call.delivered.len(),
            _ => {}
        }
    }
    println!(
        "{} calls; appends recorded {recorded}, duplicate {duplicate}, refused {refused}, unknown {unknown}; {delivered} events delivered; {} events in the end",
        entries.len(),
        logs.values().map(Vec::len).sum::<usize>(),
    );
    if !found.is_empty() {
        let path = std::env::temp_dir().join(format!("annals-http-torture-{}", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        for entry in entries {
            history::lines::write(&mut file, entry).unwrap();
        }
        println!("the history is in {}", path.display());
    }
    let listed: Vec<_> = found.iter().take(20).map(ToString::to_string).collect();
    assert!(found.is_empty(), "seed {seed}:\n{}", listed.join("\n"));
    assert!(recorded > 50 && delivered > 50, "too little came of it");
}
