//! Clients of stores in several processes, on topics in every kind of repository that move to and fro,
//! while processes are killed and stopped and servers go away. Every call and answer is written down, and
//! checked against what is left in the end.
//!
//! `ANNALS_TORTURE_SECONDS` sets how long each test goes on, `ANNALS_TORTURE_SEED` what it does: a seed
//! replays the plan, though not the moments at which the machine carries it out.

#![cfg(all(feature = "file", feature = "postgres", feature = "blob"))]
#![cfg(test)]

mod child;
#[path = "../history/mod.rs"]
mod history;
#[path = "../servers/mod.rs"]
mod servers;
mod work;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use annals::{EventStore, Read, TopicConfig};
use child::Child;
use futures_util::TryStreamExt;
use history::{
    Entry, Logs, Rule, check,
    random::Random,
    record::{AppendAnswer, Call, MoveAnswer},
};
use servers::Postgres;
use work::{World, work_on};

fn seconds() -> u64 {
    std::env::var("ANNALS_TORTURE_SECONDS").map_or(8, |text| text.parse().unwrap())
}

fn seed() -> u64 {
    let seed = std::env::var("ANNALS_TORTURE_SEED").map_or_else(
        |_| u64::from(std::process::id()),
        |text| text.parse().unwrap(),
    );
    println!("ANNALS_TORTURE_SEED={seed}");
    seed
}

/// Reads every topic whole, once nothing moves any more.
async fn logs(store: &EventStore, topics: &[String]) -> Logs {
    let mut logs = BTreeMap::new();
    for topic in topics {
        let begun = Instant::now();
        while store.get_topic(topic).await.unwrap().moving.is_some() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it moves for ever"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let read = Read::all().include_deleted();
        let log: Vec<_> = store.read_events(topic, read).try_collect().await.unwrap();
        let verified = store.verify_topic(topic).await.unwrap();
        assert_eq!(verified.events, log.len() as u64);
        logs.insert(topic.clone(), log);
    }
    logs
}

/// Writes a history that was found wrong, and the logs, to where they can be looked at.
fn keep(entries: &[Entry], logs: &Logs) {
    let directory = std::env::temp_dir().join(format!("annals-torture-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut history = std::fs::File::create(directory.join("history")).unwrap();
    for entry in entries {
        history::lines::write(&mut history, entry).unwrap();
    }
    for (topic, log) in logs {
        let lines = log.iter().map(|event| format!("{event:?}\n"));
        std::fs::write(directory.join(topic), lines.collect::<String>()).unwrap();
    }
    println!("the history is in {}", directory.display());
}

/// Checks a history, and says what was in it.
fn judge(entries: &[Entry], logs: &Logs, seed: u64) {
    let mut found = check(entries, logs);
    // Where a server crashed, or a topic moved, a store sends an append again by itself; it may meet then
    // what it had recorded the first time.
    found.retain(|one| one.rule != Rule::DuplicateOfNothing);
    let appends = |meant: fn(&AppendAnswer) -> bool| {
        let calls = entries.iter().filter_map(|entry| match &entry.call {
            Call::Append(call) => Some(&call.answer),
            _ => None,
        });
        calls.filter(|answer| meant(answer)).count()
    };
    let moves = |meant| {
        let moved = |entry: &&Entry| matches!(&entry.call, Call::Move(answer) if *answer == meant);
        entries.iter().filter(moved).count()
    };
    let recorded = appends(|answer| matches!(answer, AppendAnswer::Recorded(_)));
    println!(
        "{} calls; appends recorded {recorded}, duplicate {}, refused {}, unknown {}; moves done {}, not or unknown {}; {} events",
        entries.len(),
        appends(|answer| matches!(answer, AppendAnswer::Duplicate(_))),
        appends(|answer| matches!(answer, AppendAnswer::Refused(_))),
        appends(|answer| matches!(answer, AppendAnswer::Unknown)),
        moves(MoveAnswer::Moved),
        moves(MoveAnswer::Unknown),
        logs.values().map(Vec::len).sum::<usize>(),
    );
    if !found.is_empty() {
        keep(entries, logs);
    }
    let listed: Vec<_> = found.iter().take(20).map(ToString::to_string).collect();
    assert!(found.is_empty(), "seed {seed}:\n{}", listed.join("\n"));
    assert!(recorded > 100, "too little came of it");
    assert!(moves(MoveAnswer::Moved) > 3, "too little came of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_on_topics_that_move_between_all_repositories() {
    let seed = seed();
    let mut random = Random(seed);
    let server = Arc::new(Postgres::start(&[]));
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(&directory, "memory", "");
    let places = [
        ("memory", "here".to_owned()),
        ("file", world.path("files")),
        ("postgres", server.fresh()),
        ("blob", world.url("objects")),
        ("memory", "there".to_owned()),
        ("file", world.path("further")),
    ];
    let world = world.with_places(places.to_vec());
    let store = world.open().await;
    let topics: Vec<String> = (0..3).map(|nth| format!("t-{nth}")).collect();
    for topic in &topics {
        let config = world.place(random.below(6) as usize, topic);
        store.create_topic(config).await.unwrap();
    }
    let until = Instant::now() + Duration::from_secs(seconds());
    let going_away = tokio::spawn({
        let (server, mut random) = (Arc::clone(&server), Random(seed ^ 1));
        async move {
            while Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(2000 + random.below(3000))).await;
                let server = Arc::clone(&server);
                let away = Duration::from_millis(random.below(700));
                let gone = tokio::task::spawn_blocking(move || {
                    server.kill();
                    std::thread::sleep(away);
                    server.start_again();
                });
                gone.await.unwrap();
            }
        }
    });
    let stop = move || Instant::now() >= until;
    let entries = work_on(&store, &world, &topics, (0, seed), None, stop).await;
    going_away.await.unwrap();
    let logs = logs(&store, &topics).await;
    judge(&entries, &logs, seed);
    store.close().await.unwrap();
}

/// Children that share topics, of which one after the other is killed, or stands still for a while.
async fn processes(
    world: &World,
    topics: &[String],
    (children, seed): (usize, u64),
    server: Option<&Arc<Postgres>>,
) {
    let mut random = Random(seed);
    let until = Instant::now() + Duration::from_secs(seconds());
    let mut files = Vec::new();
    let mut next = 0;
    let mut start = |files: &mut Vec<_>| {
        next += 1;
        let child = Child::start(world, topics, next, seed);
        files.push(child.file.clone());
        child
    };
    let mut running: Vec<_> = (0..children).map(|_| start(&mut files)).collect();
    let (mut kills, mut stops, mut crashes) = (0, 0, 0);
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(200 + random.below(800)));
        let victim = random.below(running.len() as u64) as usize;
        match random.below(10) {
            0..4 => {
                running[victim].kill();
                running[victim] = start(&mut files);
                kills += 1;
            }
            4..8 => {
                running[victim].signal("-STOP");
                std::thread::sleep(Duration::from_millis(random.below(2500)));
                running[victim].signal("-CONT");
                stops += 1;
            }
            8 => {
                if let Some(server) = server {
                    server.kill();
                    std::thread::sleep(Duration::from_millis(random.below(500)));
                    server.start_again();
                    crashes += 1;
                }
            }
            _ => {}
        }
    }
    for child in &mut running {
        child.end();
    }
    println!("{kills} kills, {stops} stops, {crashes} crashes of the server");
    let mut entries = Vec::new();
    for file in files {
        let file = std::fs::File::open(file).unwrap();
        let mut own = Vec::new();
        history::lines::read(std::io::BufReader::new(file), &mut own).unwrap();
        entries.extend(own);
    }
    let store = world.open().await;
    let logs = logs(&store, topics).await;
    judge(&entries, &logs, seed);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_a_configuration_in_a_database() {
    let seed = seed();
    let server = Arc::new(Postgres::start(&[]));
    let directory = tempfile::tempdir().unwrap();
    let url = server.fresh();
    let world = World::new(&directory, "postgres", &url);
    let places = vec![
        ("postgres", server.fresh()),
        ("blob", world.url("objects")),
        ("postgres", url),
        ("blob", world.url("further")),
    ];
    several(world.with_places(places), seed, Some(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_a_configuration_in_an_object_store() {
    let seed = seed();
    let server = Arc::new(Postgres::start(&[]));
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}/configuration", directory.path().display());
    let world = World::new(&directory, "blob", &url);
    let places = vec![
        ("blob", world.url("objects")),
        ("postgres", server.fresh()),
        ("blob", world.url("further")),
    ];
    several(world.with_places(places), seed, None).await;
}

async fn several(world: World, seed: u64, server: Option<&Arc<Postgres>>) {
    let topics: Vec<String> = (0..2).map(|nth| format!("t-{nth}")).collect();
    let store = world.open().await;
    for (nth, topic) in topics.iter().enumerate() {
        store.create_topic(world.place(nth, topic)).await.unwrap();
    }
    store.close().await.unwrap();
    processes(&world, &topics, (3, seed), server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_on_a_configuration_in_files() {
    let seed = seed();
    let server = Arc::new(Postgres::start(&[]));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("configuration");
    let world = World::new(&directory, "file", path.to_str().unwrap());
    let places = vec![
        ("file", world.path("files")),
        ("blob", world.url("objects")),
        ("file", path.display().to_string()),
        ("postgres", server.fresh()),
    ];
    let world = world.with_places(places);
    let topics: Vec<String> = (0..2).map(|nth| format!("t-{nth}")).collect();
    let store = world.open().await;
    for (nth, topic) in topics.iter().enumerate() {
        store.create_topic(world.place(nth, topic)).await.unwrap();
    }
    store.close().await.unwrap();
    processes(&world, &topics, (1, seed), None).await;
}

/// Plays its part when it is started as another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    child::play().await;
}

/// The topic of this name in one of the places.
impl World {
    fn place(&self, nth: usize, topic: &str) -> TopicConfig {
        let (adapter, connection) = &self.places[nth % self.places.len()];
        let config = TopicConfig::new(topic, adapter, connection);
        match adapter.as_str() {
            // So that merging, collecting and rolling have their turn.
            "blob" => config
                .option("compact_slots", "8")
                .option("grace_ms", "2000"),
            "file" => config.option("segment_bytes", "16384"),
            _ => config,
        }
    }
}
