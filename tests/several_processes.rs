//! Several processes on one file repository: one writes, others are locked out or follow.
//!
//! The test binary runs itself again as the other process: `ROLE` tells the test that is run there
//! which part it plays. Both talk by lines over pipes.

#![cfg(feature = "file")]
#![cfg(test)]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, ExpectedVersion, NewEvent,
    Read, Result, TopicConfig,
};
use futures_util::FutureExt;
use tempfile::TempDir;

const ROLE: &str = "ANNALS_TEST_ROLE";
const DIRECTORY: &str = "ANNALS_TEST_DIRECTORY";
/// Stands before every line that the other process says, as the test harness prints lines too.
const SAYS: &str = "other> ";

fn config(directory: &Path) -> EventStoreConfig {
    let files = ConfigurationStream::file(directory.to_str().unwrap());
    EventStoreConfig::new(files)
}

async fn open(directory: &Path) -> Result<EventStore> {
    EventStore::open(config(directory)).await
}

/// A topic in small segments, so that many are begun.
fn topic(name: &str, directory: &Path) -> TopicConfig {
    TopicConfig::file(name, directory.to_str().unwrap()).option("segment_bytes", "4096")
}

fn event(number: u64) -> NewEvent {
    NewEvent::json("Counted", &format!("{number}{}", "x".repeat(300))).unwrap()
}

async fn head(store: &EventStore, topic: &str) -> u64 {
    store.get_latest_version(topic).await.unwrap().get()
}

/// Reads a topic whole and checks that it is whole: `events` of them, without a gap.
async fn assert_whole(store: &EventStore, topic: &str, events: u64) {
    let read = Read::all().limit(u64::MAX);
    let read = store.get_events(topic, read).await.unwrap();
    assert_eq!(read.len() as u64, events);
    for (event, number) in read.iter().zip(1..) {
        assert_eq!(event.position.get(), number);
        assert_eq!(event.version.get(), number);
        let payload: String = event.json().unwrap();
        assert_eq!(payload.trim_end_matches('x'), number.to_string());
    }
}

/// The other process.
struct Other {
    process: Child,
    hears: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Other {
    fn start(role: &str, directory: &Path) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(ROLE, role)
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let hears = process.stdin.take().unwrap();
        let says = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            hears,
            says,
        }
    }

    /// The next thing that it says; none once it has ended.
    fn listen(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.says.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // The harness leaves its own line unfinished.
            if let Some((_, said)) = line.trim_end_matches('\n').split_once(SAYS) {
                return Some(said.to_owned());
            }
        }
    }

    /// Tells it to go on, and waits for what it says then.
    fn ask(&mut self, what: &str) -> String {
        writeln!(self.hears, "{what}").unwrap();
        self.hears.flush().unwrap();
        self.listen().expect("the other process has ended")
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn say(what: &str) {
    println!("{SAYS}{what}");
}

/// The next line from the process that has started this one; none once it has gone.
fn hear() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).unwrap();
    (read > 0).then(|| line.trim_end().to_owned())
}

#[tokio::test]
async fn the_other_process() {
    let Ok(role) = env::var(ROLE) else {
        return;
    };
    let directory = env::var(DIRECTORY).unwrap();
    let directory = Path::new(&directory);
    match role.as_str() {
        "writes" => write(directory).await,
        "follows" => follow(directory).await,
        "tries" => match open(directory).await {
            Ok(_) => say("open"),
            Err(Error::RepositoryLocked { .. }) => say("locked"),
            Err(error) => say(&format!("{error:?}")),
        },
        "storms" => storm(directory).await,
        other => panic!("{other}"),
    }
}

/// Does what it is told: `create NAME`, `append NAME`, `delete NAME` and others like them.
async fn write(directory: &Path) {
    let store = open(directory).await.unwrap();
    say("ready");
    while let Some(line) = hear() {
        let (what, name) = line.split_once(' ').unwrap_or((&line, ""));
        match what {
            "create" => drop(store.create_topic(topic(name, directory)).await.unwrap()),
            "delete" => store.delete_topic(name).await.unwrap(),
            "restore" => drop(store.restore_topic(name).await.unwrap()),
            "purge" => store.purge_topic(name).await.unwrap(),
            "append" => {
                let next = head(&store, name).await + 1;
                let receipt = store.append_events(name, event(next)).await.unwrap();
                assert_eq!(receipt.first.get(), next);
            }
            "close" => store.close().await.unwrap(),
            other => panic!("{other}"),
        }
        say("done");
    }
}

/// Follows, and answers with what it sees.
async fn follow(directory: &Path) {
    let store = EventStore::open(config(directory).read_only())
        .await
        .unwrap();
    say("ready");
    while let Some(line) = hear() {
        let (what, name) = line.split_once(' ').unwrap_or((&line, ""));
        match what {
            "head" => say(&head(&store, name).await.to_string()),
            "read" => {
                let head = head(&store, name).await;
                assert_whole(&store, name, head).await;
                say(&head.to_string());
            }
            "topics" => {
                let topics = store.list_topics().await.unwrap();
                let names: Vec<_> = topics.iter().map(|one| one.name.as_str()).collect();
                say(&names.join(","));
            }
            other => panic!("{other}"),
        }
    }
}

/// Appends without end, and says each version that was acknowledged.
async fn storm(directory: &Path) {
    let store = open(directory).await.unwrap();
    if store.get_topic("storm").await.is_err() {
        store.create_topic(topic("storm", directory)).await.unwrap();
    }
    say("ready");
    let mut next = head(&store, "storm").await + 1;
    loop {
        let pair =
            Append::new([event(next), event(next + 1)]).expected(ExpectedVersion::exact(next - 1));
        let receipt = store.append_events("storm", pair).await.unwrap();
        say(&receipt.last.to_string());
        next = receipt.last.get() + 1;
    }
}

#[tokio::test]
async fn a_second_process_that_would_write_is_told_at_once_that_it_cannot() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    let started = std::time::Instant::now();
    let mut other = Other::start("tries", directory.path());
    assert_eq!(other.listen().as_deref(), Some("locked"));
    assert!(started.elapsed() < Duration::from_secs(2));
    // The one that has it is not disturbed.
    store
        .create_topic(topic("orders", directory.path()))
        .await
        .unwrap();
    store.append_events("orders", event(1)).await.unwrap();
    store.close().await.unwrap();
    let mut other = Other::start("tries", directory.path());
    assert_eq!(other.listen().as_deref(), Some("open"));
    drop(other);

    let mut writer = Other::start("writes", directory.path());
    assert_eq!(writer.listen().as_deref(), Some("ready"));
    let started = std::time::Instant::now();
    let locked = open(directory.path()).await;
    assert!(started.elapsed() < Duration::from_secs(1), "it waited");
    assert!(
        matches!(&locked, Err(error @ Error::RepositoryLocked { .. }) if error.is_retryable()),
        "{locked:?}"
    );
    assert_eq!(writer.ask("close"), "done");
    let store = open(directory.path()).await.unwrap();
    assert_eq!(head(&store, "orders").await, 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_topic_in_a_repository_that_another_process_writes_is_refused_and_the_rest_works() {
    let (own, foreign) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut writer = Other::start("writes", foreign.path());
    assert_eq!(writer.listen().as_deref(), Some("ready"));
    let store = open(own.path()).await.unwrap();
    let locked = store.create_topic(topic("there", foreign.path())).await;
    assert!(
        matches!(locked, Err(Error::RepositoryLocked { .. })),
        "{locked:?}"
    );
    store.create_topic(topic("here", own.path())).await.unwrap();
    store.append_events("here", event(1)).await.unwrap();
    assert_eq!(writer.ask("close"), "done");
    store
        .create_topic(topic("there", foreign.path()))
        .await
        .unwrap();
    store.append_events("there", event(1)).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_reader_in_another_process_sees_each_event_once_its_append_has_returned() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    let mut reader = Other::start("follows", directory.path());
    assert_eq!(reader.listen().as_deref(), Some("ready"));
    assert_eq!(reader.ask("topics"), "");
    store
        .create_topic(topic("orders", directory.path()))
        .await
        .unwrap();
    assert_eq!(reader.ask("topics"), "orders");
    for number in 1..=120 {
        store.append_events("orders", event(number)).await.unwrap();
        assert_eq!(reader.ask("head orders"), number.to_string());
        if number % 40 == 0 {
            assert_eq!(reader.ask("read orders"), number.to_string());
        }
    }
    let storage = store.get_topic("orders").await.unwrap().placement.storage;
    let files = directory.path().join("topics").join(storage.to_string());
    let many = std::fs::read_dir(files).unwrap().count();
    assert!(many > 10, "{many} files: segments were begun");
    store.delete_topic("orders").await.unwrap();
    assert_eq!(reader.ask("topics"), "");
    store.close().await.unwrap();
    store_again_after(&mut reader, directory.path()).await;
}

/// The reader follows the next writer too.
async fn store_again_after(reader: &mut Other, directory: &Path) {
    let store = open(directory).await.unwrap();
    store.restore_topic("orders").await.unwrap();
    assert_eq!(reader.ask("topics"), "orders");
    store.append_events("orders", event(121)).await.unwrap();
    assert_eq!(reader.ask("read orders"), "121");
    store.close().await.unwrap();
    assert_eq!(reader.ask("read orders"), "121");
}

#[tokio::test]
async fn a_store_that_only_reads_follows_the_writer_of_another_process_and_writes_nothing() {
    let directory = TempDir::new().unwrap();
    let mut writer = Other::start("writes", directory.path());
    assert_eq!(writer.listen().as_deref(), Some("ready"));
    let reader = EventStore::open(config(directory.path()).read_only())
        .await
        .unwrap();
    let unknown = reader.get_latest_version("orders").await;
    assert!(matches!(unknown, Err(Error::TopicNotFound { .. })));
    writer.ask("create orders");
    assert_eq!(head(&reader, "orders").await, 0);
    for number in 1..=40 {
        writer.ask("append orders");
        assert_eq!(head(&reader, "orders").await, number);
        assert_whole(&reader, "orders", number).await;
    }
    fn refused<T: std::fmt::Debug>(answer: Result<T>) {
        assert!(matches!(answer, Err(Error::ReadOnly { .. })), "{answer:?}");
    }
    refused(reader.append_events("orders", event(41)).await);
    refused(reader.create_topic(topic("new", directory.path())).await);
    refused(reader.update_topic(topic("orders", directory.path())).await);
    refused(reader.delete_topic("orders").await);
    refused(reader.restore_topic("orders").await);
    refused(reader.purge_topic("orders").await);
    refused(reader.delete_stream("orders", "").await);
    refused(reader.restore_stream("orders", "").await);
    refused(reader.sweep().await);
    assert_eq!(reader.verify_topic("orders").await.unwrap().events, 40);

    writer.ask("delete orders");
    let hidden = reader.get_topic("orders").await;
    assert!(matches!(hidden, Err(Error::TopicNotFound { .. })));
    writer.ask("purge orders");
    writer.ask("create orders");
    assert_eq!(head(&reader, "orders").await, 0, "created anew");
    writer.ask("append orders");
    assert_whole(&reader, "orders", 1).await;
    reader.close().await.unwrap();
}

#[tokio::test]
async fn a_writer_that_is_killed_leaves_what_it_has_acknowledged_to_the_next_one() {
    let directory = TempDir::new().unwrap();
    let mut reader: Option<EventStore> = None;
    for round in 1..=6 {
        let mut writer = Other::start("storms", directory.path());
        assert_eq!(writer.listen().as_deref(), Some("ready"));
        let reader = match &reader {
            Some(reader) => reader,
            None => reader.insert(
                EventStore::open(config(directory.path()).read_only())
                    .await
                    .unwrap(),
            ),
        };
        let mut acknowledged = 0;
        for _ in 0..round * 7 {
            acknowledged = writer.listen().unwrap().parse().unwrap();
            let seen = head(reader, "storm").await;
            assert!(seen >= acknowledged && seen % 2 == 0, "{seen}");
        }
        writer.kill();

        let store = open(directory.path()).await.unwrap();
        let found = head(&store, "storm").await;
        assert!(found >= acknowledged && found % 2 == 0, "{found}");
        assert_whole(&store, "storm", found).await;
        assert_eq!(store.verify_topic("storm").await.unwrap().events, found);
        assert_eq!(head(reader, "storm").await, found);
        assert_whole(reader, "storm", found).await;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_is_dropped_leaves_the_writers_of_its_process_as_they_were() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    store
        .create_topic(topic("orders", directory.path()))
        .await
        .unwrap();
    store.close().await.unwrap();
    drop(store);
    let reader = EventStore::open(config(directory.path()).read_only())
        .await
        .unwrap();
    let first = open(directory.path()).await.unwrap();
    first.append_events("orders", event(1)).await.unwrap();
    assert_eq!(head(&reader, "orders").await, 1);
    reader.close().await.unwrap();
    drop(reader);
    let second = open(directory.path()).await.unwrap();
    second.append_events("orders", event(2)).await.unwrap();
    first.append_events("orders", event(3)).await.unwrap();
    assert_whole(&second, "orders", 3).await;
    for store in [first, second] {
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_open_do_not_keep_a_writer_from_opening() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await.unwrap();
    store
        .create_topic(topic("orders", directory.path()))
        .await
        .unwrap();
    store.close().await.unwrap();
    drop(store);
    let path = directory.path().to_owned();
    let readers = tokio::spawn(async move {
        for _ in 0..200 {
            let reader = EventStore::open(config(&path).read_only()).await.unwrap();
            head(&reader, "orders").await;
            reader.close().await.unwrap();
        }
    });
    while !readers.is_finished() {
        let writer = open(directory.path()).await.unwrap();
        writer.close().await.unwrap();
        drop(writer);
        tokio::task::yield_now().await;
    }
    readers.await.unwrap();
}

#[tokio::test]
async fn a_close_that_was_given_up_is_finished_by_the_next_one() {
    let directory = TempDir::new().unwrap();
    for round in 0..5_u64 {
        let store = open(directory.path()).await.unwrap();
        let name = format!("orders-{round}");
        store
            .create_topic(topic(&name, directory.path()))
            .await
            .unwrap();
        // Nobody waits for these, but they are accepted, and keep the writer busy.
        for _ in 0..8 {
            let large = NewEvent::binary("Large", "text/plain", vec![b'x'; 1 << 20]);
            drop(store.append_events(&name, large).now_or_never());
        }
        drop(store.close().now_or_never());
        store.close().await.unwrap();
        let mut other = Other::start("tries", directory.path());
        assert_eq!(other.listen().as_deref(), Some("open"), "{round}");
    }
}
