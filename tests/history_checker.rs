//! Proves the checker of histories: right histories pass, and each fault that is planted in one is
//! found by the rule that is there for it. Then it is used on stores.

#![cfg(test)]

#[path = "history/faults/mod.rs"]
mod faults;
mod history;
#[path = "history/model/mod.rs"]
mod model;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use annals::{ConfigurationStream, EventStore, EventStoreConfig, Read, TopicConfig};
use faults::{FAULTS, Scene};
use futures_util::future::join_all;
use history::{
    Entry, Logs, Rule, Violation,
    calls::some_call,
    check,
    client::Client,
    lines,
    record::{AppendAnswer, AppendCall, Call, Filter, NEVER, ReadAnswer, Start},
};
use model::Random;
use rustix::time::{ClockId, clock_gettime};

fn listed(violations: &[Violation]) -> String {
    let lines: Vec<_> = violations
        .iter()
        .take(20)
        .map(ToString::to_string)
        .collect();
    lines.join("\n")
}

/// How many can be set by `ANNALS_HISTORY_SEEDS`.
#[test]
fn right_histories_pass() {
    let set = std::env::var("ANNALS_HISTORY_SEEDS").ok();
    let seeds = set.and_then(|text| text.parse().ok()).unwrap_or(100);
    for seed in 0..seeds {
        let (entries, logs) = model::history(seed, 400);
        let found = check(&entries, &logs);
        assert!(found.is_empty(), "seed {seed}:\n{}", listed(&found));
    }
}

#[test]
fn every_fault_is_found_by_its_rule() {
    let seeds: Vec<u64> = (1000..1012).collect();
    let histories: Vec<_> = seeds
        .iter()
        .map(|seed| model::history(*seed, 400))
        .collect();
    let mut missed = Vec::new();
    for fault in FAULTS {
        let mut planted = 0;
        for (seed, (entries, logs)) in seeds.iter().zip(&histories) {
            let mut scene = Scene {
                entries: entries.clone(),
                logs: logs.clone(),
                random: Random(*seed),
            };
            if (fault.plant)(&mut scene).is_none() {
                continue;
            }
            planted += 1;
            let found = check(&scene.entries, &scene.logs);
            if !found.iter().any(|violation| violation.rule == fault.rule) {
                let (name, rule, found) = (fault.name, fault.rule, listed(&found));
                missed.push(format!(
                    "{name}, seed {seed}: not by {rule:?}, but:\n{found}"
                ));
            }
            if fault.alone && found.iter().any(|violation| violation.rule != fault.rule) {
                missed.push(format!(
                    "{}, seed {seed}: also {}",
                    fault.name,
                    listed(&found)
                ));
            }
            let elsewhere = found.iter().any(|violation| violation.topic == "u");
            assert!(!elsewhere, "{}: {}", fault.name, listed(&found));
        }
        if planted < 3 {
            missed.push(format!("{} was planted {planted} times only", fault.name));
        }
    }
    assert!(
        missed.is_empty(),
        "{} times:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

#[test]
fn every_rule_has_a_fault() {
    let planted: BTreeSet<Rule> = FAULTS.iter().map(|fault| fault.rule).collect();
    let without: Vec<_> = Rule::ALL
        .iter()
        .filter(|rule| !planted.contains(rule))
        .collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let (entries, _) = model::history(1, 200);
    let mut file = Vec::new();
    for entry in &entries {
        let mut begun = entry.clone();
        begun.end = NEVER;
        lines::write(&mut file, &begun).unwrap();
    }
    for entry in entries.iter().rev() {
        lines::write(&mut file, entry).unwrap();
    }
    let mut read = Vec::new();
    lines::read(&file[..], &mut read).unwrap();
    assert_eq!(read, entries);
}

#[test]
fn a_line_that_was_cut_off_leaves_its_call_as_it_was_begun() {
    let (entries, _) = model::history(2, 20);
    let mut begun = entries[0].clone();
    begun.end = NEVER;
    let mut file = Vec::new();
    lines::write(&mut file, &begun).unwrap();
    lines::write(&mut file, &entries[0]).unwrap();
    let mut read = Vec::new();
    lines::read(&file[..file.len() - 9], &mut read).unwrap();
    assert_eq!(read, [begun]);
    let broken = [b"{}\n", &file[..]].concat();
    assert!(lines::read(&broken[..], &mut Vec::new()).is_err());
}

/// Checks a long history, and tells how many seconds of work that was. Other work on the machine
/// does not count.
fn work_of_a_check(calls: usize) -> f64 {
    let worked = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (entries, logs) = model::history(5, calls);
    let before = worked();
    let found = check(&entries, &logs);
    assert!(found.is_empty(), "{}", listed(&found));
    worked() - before
}

#[test]
fn a_long_history_takes_no_longer_than_it_is_long() {
    let (short, long) = (work_of_a_check(5000), work_of_a_check(40_000));
    // Eight times as long; with anything quadratic it would be 64 times.
    assert!(long < short * 24.0, "{short} s, and then {long} s");
}

#[test]
#[ignore = "takes a while to make; built with --release it tells what a check costs"]
fn a_million_calls_are_checked_in_seconds() {
    let taken = work_of_a_check(500_000);
    eprintln!("a million calls: {taken} s");
    assert!(taken < 60.0, "{taken} s");
}

const CLIENTS: u32 = 8;
const ROUNDS: u32 = 100;

/// What the clients of a store do together.
struct Session {
    store: EventStore,
    working: AtomicU32,
}

impl Session {
    /// Calls of all kinds, by random, on few streams, so that clients meet.
    async fn work(&self, number: u32) -> Vec<Entry> {
        let mut client = Client::new(&self.store, "t", 1, number);
        let mut random = Random(u64::from(number));
        let mut tried: Vec<AppendCall> = Vec::new();
        for _ in 0..ROUNDS {
            let patience = Duration::from_micros(300);
            some_call(&mut client, &mut random, &mut tried, patience).await;
        }
        self.working.fetch_sub(1, Ordering::Relaxed);
        client.entries
    }

    /// Follows until all clients have done their work and it has come to the end.
    async fn follow(&self, number: u32, start: Start, filter: Filter) -> Vec<Entry> {
        let mut client = Client::new(&self.store, "t", 2, number);
        let mut position = start;
        while self.working.load(Ordering::Relaxed) > 0 {
            let begun = Instant::now();
            let enough = |_| begun.elapsed() > Duration::from_millis(20);
            client.follow(position, filter.clone(), enough, false).await;
            if let Some(Call::Subscription(call)) = client.entries.last().map(|entry| &entry.call) {
                position = Start::After(call.position);
            }
        }
        // What was dropped may be recorded yet.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let head = self.store.get_latest_version("t").await.unwrap().get();
        let begun = Instant::now();
        let enough = |at| at >= head || begun.elapsed() > Duration::from_secs(20);
        client.follow(position, filter, enough, true).await;
        client.entries
    }

    /// All that clients and subscribers note, each on a task of its own.
    async fn run(self: Arc<Self>) -> Vec<Entry> {
        let mut tasks = Vec::new();
        for number in 0..CLIENTS {
            let session = Arc::clone(&self);
            tasks.push(tokio::spawn(async move { session.work(number).await }));
        }
        let subscribers = [
            (Start::After(0), Filter::all()),
            (Start::After(0), Filter::tag("seat:1")),
            (Start::Now, Filter::all()),
        ];
        for ((start, filter), number) in subscribers.into_iter().zip(0..) {
            let session = Arc::clone(&self);
            tasks.push(tokio::spawn(async move {
                session.follow(number, start, filter).await
            }));
        }
        let notes = join_all(tasks).await.into_iter();
        notes.flat_map(|notes| notes.unwrap()).collect()
    }
}

async fn check_store(configuration: ConfigurationStream, topic: TopicConfig) {
    let store = EventStore::open(EventStoreConfig::new(configuration))
        .await
        .unwrap();
    store.create_topic(topic).await.unwrap();
    let session = Session {
        store: store.clone(),
        working: AtomicU32::new(CLIENTS),
    };
    let entries = Arc::new(session).run().await;
    let read = Read::all().limit(u64::MAX);
    let log = store.get_events("t", read).await.unwrap();
    let events = log.len();
    let found = check(&entries, &Logs::from([("t".to_owned(), log)]));
    assert!(found.is_empty(), "{}", listed(&found));
    for entry in &entries {
        let failed = match &entry.call {
            Call::Subscription(call) => call.failed.as_ref(),
            Call::Read(call) => match &call.answer {
                ReadAnswer::Broken(error) => Some(error),
                ReadAnswer::Ended | ReadAnswer::StreamDeleted => None,
            },
            _ => None,
        };
        assert!(failed.is_none(), "{entry:?}");
    }
    let calls = |meant: fn(&AppendAnswer) -> bool| {
        let appends = entries.iter().filter_map(|entry| match &entry.call {
            Call::Append(call) => Some(&call.answer),
            _ => None,
        });
        appends.filter(|answer| meant(answer)).count()
    };
    let counts = [
        calls(|answer| matches!(answer, AppendAnswer::Recorded(_))),
        calls(|answer| matches!(answer, AppendAnswer::Duplicate(_))),
        calls(|answer| matches!(answer, AppendAnswer::Refused(_))),
        calls(|answer| matches!(answer, AppendAnswer::Unknown)),
    ];
    eprintln!("{events} events; recorded, duplicate, refused, unknown: {counts:?}");
    let met = counts[0] > 100 && counts[1] > 10 && counts[2] > 10;
    assert!(met, "too little came of it: {counts:?}");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_clients_of_a_store_in_memory() {
    check_store(ConfigurationStream::memory(), TopicConfig::memory("t")).await;
}

#[cfg(feature = "file")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_clients_of_a_store_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let topic = TopicConfig::file("t", place).option("segment_bytes", "8192");
    check_store(ConfigurationStream::file(place), topic).await;
}
