//! Several processes on one configuration stream: of those that create a topic of one name at the same
//! moment one does, and what one does to a topic all others honour.
//!
//! `ANNALS_RACES` sets how many names are raced for.

#![cfg(all(feature = "postgres", feature = "blob"))]
#![cfg(test)]

mod servers;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Read, TopicConfig,
};

const ROLE: &str = "ANNALS_TEST_RACES_ROLE";
const PROCESSES: usize = 4;

async fn open(url: &str) -> EventStore {
    let adapter = if url.starts_with("postgres") {
        "postgres"
    } else {
        "blob"
    };
    let config = EventStoreConfig::new(ConfigurationStream::new(adapter, url));
    EventStore::open(config.allow_plain_secrets())
        .await
        .unwrap()
}

/// Another process, which does what it is told, line by line.
struct Other {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    fn start(url: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(ROLE, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self {
            orders: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "it ended");
            // The test's own words are there too.
            if let Some(answer) = line.strip_prefix("answer ") {
                return answer.trim_end().to_owned();
            }
        }
    }

    fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn urls(directory: &tempfile::TempDir) -> [String; 2] {
    let blob = format!("file://{}/configuration", directory.path().display());
    [servers::postgres().fresh(), blob]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_processes_that_create_a_topic_of_one_name_one_does() {
    let races: usize = std::env::var("ANNALS_RACES").map_or(60, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    for url in urls(&directory) {
        let store = open(&url).await;
        let mut others: Vec<_> = (0..PROCESSES).map(|_| Other::start(&url)).collect();
        let mut wins = [0; PROCESSES];
        for race in 0..races {
            let order = format!("create race-{race}");
            others.iter_mut().for_each(|other| other.order(&order));
            let answers: Vec<_> = others.iter_mut().map(Other::answer).collect();
            let winners = answers.iter().filter(|answer| *answer == "ok").count();
            assert_eq!(winners, 1, "{answers:?}");
            for (wins, answer) in wins.iter_mut().zip(&answers) {
                *wins += usize::from(answer == "ok");
                assert!(answer == "ok" || answer == "exists", "{answer}");
            }
        }
        println!("{races} names, won {wins:?}");
        assert_eq!(store.list_topics().await.unwrap().len(), races);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_does_to_a_topic_the_others_honour() {
    let directory = tempfile::tempdir().unwrap();
    for (nth, url) in urls(&directory).into_iter().enumerate() {
        let mut others: Vec<_> = (0..PROCESSES).map(|_| Other::start(&url)).collect();
        let store = open(&url).await;
        let place = |place: usize| format!("file://{}/{nth}-{place}", directory.path().display());
        store
            .create_topic(TopicConfig::blob("t", place(0)))
            .await
            .unwrap();
        let mut count = 0;
        for round in 1..4 {
            for other in &mut others {
                assert_eq!(other.ask("append t"), "ok");
                count += 1;
            }
            // One moves it, and the others know.
            let mover = round % PROCESSES;
            let order = format!("move t {}", place(round));
            assert_eq!(others[mover].ask(&order), "ok");
            for other in &mut others {
                assert_eq!(other.ask("append t"), "ok");
                count += 1;
                assert_eq!(other.ask("count t"), count.to_string());
            }
            // One deletes it, and nobody appends.
            assert_eq!(others[(mover + 1) % PROCESSES].ask("delete t"), "ok");
            for other in &mut others {
                assert_eq!(other.ask("append t"), "not found");
                assert_eq!(other.ask("count t"), "not found");
            }
            assert_eq!(others[(mover + 2) % PROCESSES].ask("restore t"), "ok");
        }
        let log = store.get_events("t", Read::all()).await.unwrap();
        assert_eq!(log.len(), count);
        store.close().await.unwrap();
    }
}

/// Plays its part when it is started as another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let Ok(url) = std::env::var(ROLE) else {
        // Started as a test: there is nobody to play with, and nothing to check.
        return;
    };
    let store = open(&url).await;
    let orders = std::io::stdin().lines().map_while(Result::ok);
    for order in orders {
        let words: Vec<_> = order.split(' ').collect();
        let done = match words[..] {
            ["create", name] => store
                .create_topic(TopicConfig::memory(name))
                .await
                .map(|_| "ok".to_owned()),
            ["append", name] => {
                let event = NewEvent::json("Given", &1).unwrap();
                store
                    .append_events(name, Append::new([event]))
                    .await
                    .map(|_| "ok".to_owned())
            }
            ["move", name, to] => store
                .update_topic(TopicConfig::blob(name, to))
                .await
                .map(|_| "ok".to_owned()),
            ["delete", name] => store.delete_topic(name).await.map(|()| "ok".to_owned()),
            ["restore", name] => store.restore_topic(name).await.map(|_| "ok".to_owned()),
            ["count", name] => store
                .get_events(name, Read::all())
                .await
                .map(|events| events.len().to_string()),
            _ => panic!("{order}"),
        };
        let answer = match done {
            Ok(answer) => answer,
            Err(Error::TopicAlreadyExists { .. }) => "exists".to_owned(),
            Err(Error::TopicNotFound { .. }) => "not found".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        println!("answer {answer}");
    }
    // Nobody listens any more.
    tokio::time::sleep(Duration::from_millis(1)).await;
}
