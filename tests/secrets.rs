//! A secret in a connection is shown nowhere and, where it is given by `${NAME}`, recorded nowhere:
//! not in `Debug` or `Display`, errors and their causes, health, logs, or any file.

#![cfg(feature = "file")]
#![cfg(test)]

use std::{
    error::Error as _,
    fmt::{Debug, Write as _},
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use annals::{
    ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Options, Read, Result,
    TopicConfig,
    repository::{EventRepository, OpenRequest, RepositoryFactory, memory::MemoryFactory},
};
use async_trait::async_trait;
use futures_util::StreamExt;
use tempfile::TempDir;
use tracing_subscriber::fmt::MakeWriter;

const CANARY: &str = "canary-7c1f0e";
const RESOLVED: &str = "custom://annals:canary-7c1f0e@db.example/annals?sslmode=require";
const LITERAL: &str = RESOLVED;
const REFERENCE: &str = "custom://annals:${ANNALS_CANARY}@db.example/annals?sslmode=require";

/// Opens repositories at an address with a password; refuses while it is down.
#[derive(Debug, Default)]
struct Custom {
    memory: MemoryFactory,
    down: AtomicBool,
    seen: Mutex<Vec<String>>,
}

#[async_trait]
impl RepositoryFactory for Custom {
    fn normalise(&self, connection: &str, options: &Options) -> Result<String> {
        self.memory.normalise(connection, options)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        self.seen.lock().unwrap().push(request.connection.clone());
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::RepositoryUnavailable {
                repository: request.name,
                reason: "it does not answer".to_owned(),
                source: None,
            });
        }
        self.memory.open(request).await
    }
}

/// Everything that was written to it.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Collects all that a user can see.
#[derive(Default)]
struct Seen(String);

impl Seen {
    fn value(&mut self, value: &impl Debug) {
        write!(self.0, "{value:?}\n{value:#?}\n").unwrap();
    }

    fn error(&mut self, error: &Error) {
        self.value(error);
        writeln!(self.0, "{error}").unwrap();
        let mut cause = error.source();
        while let Some(inner) = cause {
            write!(self.0, "{inner}\n{inner:?}\n").unwrap();
            cause = inner.source();
        }
    }

    fn answer<T: Debug>(&mut self, answer: &Result<T>) {
        match answer {
            Ok(value) => self.value(value),
            Err(error) => self.error(error),
        }
    }

    #[track_caller]
    fn has_no_canary(&self) {
        if let Some(at) = self.0.find(CANARY) {
            let from = self.0[..at].rfind('\n').map_or(0, |at| at + 1);
            let to = self.0[at..].find('\n').map_or(self.0.len(), |to| at + to);
            panic!("the secret is shown: {}", &self.0[from..to]);
        }
    }
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes
        .windows(part.len())
        .any(|window| window == part.as_bytes())
}

/// The files below a directory that hold `part`.
fn files_with(directory: &Path, part: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with(&path, part, found);
        } else if contains(&std::fs::read(&path).unwrap(), part)
            || path.to_string_lossy().contains(part)
        {
            found.push(path.display().to_string());
        }
    }
}

fn config(directory: &TempDir, custom: &Arc<Custom>) -> EventStoreConfig {
    let custom: Arc<dyn RepositoryFactory> = Arc::<Custom>::clone(custom);
    let files = ConfigurationStream::file(directory.path().to_str().unwrap());
    EventStoreConfig::new(files)
        .adapter("custom", custom)
        .resolver(|name| (name == "ANNALS_CANARY").then(|| CANARY.to_owned()))
}

/// Uses a topic at `connection` in every way, also while its repository is down, and collects all
/// that can be seen.
async fn use_everything(config: EventStoreConfig, custom: &Custom, connection: &str) -> Seen {
    let mut seen = Seen::default();
    seen.value(&config);
    let store = EventStore::open(config).await.unwrap();
    let topic = TopicConfig::new("audit", "custom", connection);
    seen.value(&topic);

    custom.down.store(true, Ordering::Relaxed);
    let refused = store.create_topic(topic.clone()).await;
    assert!(
        matches!(refused, Err(Error::RepositoryUnavailable { .. })),
        "{refused:?}"
    );
    seen.answer(&refused);
    seen.value(&store.health().await);
    custom.down.store(false, Ordering::Relaxed);

    let wrong_option = topic.clone().option("colour", "red");
    seen.answer(&store.create_topic(wrong_option).await);
    let created = store.create_topic(topic.clone()).await;
    created.as_ref().unwrap();
    seen.answer(&created);
    seen.answer(&store.create_topic(topic.clone()).await);
    let event = NewEvent::json("Counted", &1).unwrap();
    seen.answer(&store.append_events("audit", event).await);
    seen.answer(&store.get_events("audit", Read::all()).await);
    let mut read = store.read_events("audit", Read::all());
    seen.value(&read);
    seen.answer(&read.next().await.unwrap());
    seen.answer(&store.verify_topic("audit").await);
    seen.answer(&store.update_topic(topic.clone()).await);
    let wrong_option = topic.clone().option("colour", "red");
    seen.answer(&store.update_topic(wrong_option).await);
    let moved = store.update_topic(TopicConfig::memory("audit")).await;
    seen.answer(&moved);
    assert_eq!(moved.unwrap().former.len(), 1);
    let info = store.get_topic("audit").await;
    seen.answer(&info);
    let back = store.update_topic(topic).await;
    back.as_ref().unwrap();
    seen.answer(&back);
    seen.answer(&store.remove_former("audit").await);
    seen.answer(&store.get_topic("audit").await);
    seen.answer(&store.list_topics().await);
    seen.value(&store.health().await);
    seen.value(&store);
    seen.answer(&store.delete_topic("audit").await);
    seen.answer(&store.list_deleted_topics().await);
    seen.answer(&store.restore_topic("audit").await);
    seen.answer(&store.sweep().await);
    store.close().await.unwrap();
    seen.value(&store.health().await);
    seen
}

/// Uses a store that was opened anew while the topic's repository is down.
async fn use_while_down(config: EventStoreConfig, custom: &Custom) -> Seen {
    custom.down.store(true, Ordering::Relaxed);
    let mut seen = Seen::default();
    let store = EventStore::open(config).await.unwrap();
    let event = NewEvent::json("Counted", &1).unwrap();
    let refused = store.append_events("audit", event).await;
    assert!(
        matches!(refused, Err(Error::RepositoryUnavailable { .. })),
        "{refused:?}"
    );
    seen.answer(&refused);
    seen.answer(&store.get_topic("audit").await);
    seen.answer(&store.get_latest_version("audit").await);
    seen.value(&store.health().await);
    seen.answer(&store.delete_topic("audit").await);
    let unfinished = store.purge_topic("audit").await;
    assert!(unfinished.is_err());
    seen.answer(&unfinished);
    seen.answer(&store.sweep().await);
    store.close().await.unwrap();
    seen
}

/// All that is logged while `run` runs, at the finest level.
async fn logged<T>(run: impl Future<Output = T>) -> (T, Seen) {
    let sink = Sink::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(sink.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let done = run.await;
    drop(guard);
    let bytes = std::mem::take(&mut *sink.0.lock().unwrap());
    (done, Seen(String::from_utf8(bytes).unwrap()))
}

#[tokio::test]
async fn a_secret_given_by_reference_is_shown_and_recorded_nowhere() {
    let directory = TempDir::new().unwrap();
    let custom = Arc::new(Custom::default());
    let ((seen, down), log) = logged(async {
        let seen = use_everything(config(&directory, &custom), &custom, REFERENCE).await;
        let down = use_while_down(config(&directory, &custom), &custom).await;
        (seen, down)
    })
    .await;
    seen.has_no_canary();
    down.has_no_canary();
    log.has_no_canary();
    // The adapter has got it, so there was something to hide, and the log has all.
    let opened = custom.seen.lock().unwrap().clone();
    assert!(!opened.is_empty() && opened.iter().all(|one| one == RESOLVED));
    assert!(log.0.contains("create_topic") && log.0.contains("custom:"));
    assert!(seen.0.contains("${ANNALS_CANARY}"), "infos show the name");
    let mut files = Vec::new();
    files_with(directory.path(), CANARY, &mut files);
    assert!(files.is_empty(), "{files:?}");
    files_with(directory.path(), "${ANNALS_CANARY}", &mut files);
    assert!(!files.is_empty(), "the reference is recorded");
}

#[tokio::test]
async fn a_literal_secret_is_refused_and_recorded_nowhere() {
    let directory = TempDir::new().unwrap();
    let custom = Arc::new(Custom::default());
    let (seen, log) = logged(async {
        let mut seen = Seen::default();
        let store = EventStore::open(config(&directory, &custom)).await.unwrap();
        let good = TopicConfig::new("good", "custom", REFERENCE);
        store.create_topic(good.clone()).await.unwrap();
        for connection in [
            LITERAL.to_owned(),
            format!("custom://{CANARY}:{CANARY}@host"),
            format!("custom://host/path?password={CANARY}"),
            format!("custom://host/path?a=b&secret_access_key={CANARY}"),
            format!("host=db password={CANARY} user=annals"),
            format!("custom://annals:${{ANNALS_CANARY}}{CANARY}@host"),
        ] {
            for refused in [
                store
                    .create_topic(TopicConfig::new("bad", "custom", &connection))
                    .await,
                store
                    .update_topic(TopicConfig::new("good", "custom", &connection))
                    .await,
            ] {
                assert!(
                    matches!(&refused, Err(Error::InvalidConfig { reason, .. })
                        if reason.contains("allow_plain_secrets")),
                    "{refused:?}"
                );
                seen.answer(&refused);
            }
        }
        for key in ["password", "auth_token", "SECRET"] {
            let option = good.clone().option(key, CANARY);
            seen.value(&option);
            let refused = store.update_topic(option).await;
            assert!(
                matches!(refused, Err(Error::InvalidConfig { .. })),
                "{refused:?}"
            );
            seen.answer(&refused);
        }
        seen.value(&store.health().await);
        store.close().await.unwrap();
        seen
    })
    .await;
    seen.has_no_canary();
    log.has_no_canary();
    let mut files = Vec::new();
    files_with(directory.path(), CANARY, &mut files);
    assert!(files.is_empty(), "{files:?}");
}

#[tokio::test]
async fn a_literal_secret_that_is_allowed_is_recorded_but_not_shown() {
    let directory = TempDir::new().unwrap();
    let custom = Arc::new(Custom::default());
    let open = || config(&directory, &custom).allow_plain_secrets();
    let ((seen, down), log) = logged(async {
        let seen = use_everything(open(), &custom, LITERAL).await;
        let down = use_while_down(open(), &custom).await;
        (seen, down)
    })
    .await;
    seen.has_no_canary();
    down.has_no_canary();
    log.has_no_canary();
    assert!(seen.0.contains("custom://annals:***@db.example/annals"));
}

#[tokio::test]
async fn a_secret_of_the_configuration_stream_is_not_shown() {
    let custom = Arc::new(Custom::default());
    let adapter = |configuration| {
        let custom: Arc<dyn RepositoryFactory> = Arc::<Custom>::clone(&custom);
        EventStoreConfig::new(configuration)
            .adapter("custom", custom)
            .resolver(|name| (name == "ANNALS_CANARY").then(|| CANARY.to_owned()))
    };
    let (seen, log) = logged(async {
        let mut seen = Seen::default();
        for connection in [REFERENCE, LITERAL] {
            let configuration =
                ConfigurationStream::new("custom", connection).option("password", CANARY);
            seen.value(&configuration);
            seen.value(&adapter(configuration.clone()));
            seen.answer(&EventStore::open(adapter(configuration)).await);
            let configuration = ConfigurationStream::new("custom", connection);
            custom.down.store(true, Ordering::Relaxed);
            seen.answer(&EventStore::open(adapter(configuration.clone())).await);
            custom.down.store(false, Ordering::Relaxed);
            let store = EventStore::open(adapter(configuration)).await.unwrap();
            seen.value(&store);
            seen.value(&store.health().await);
            store.close().await.unwrap();
            seen.value(&store.health().await);
        }
        seen
    })
    .await;
    seen.has_no_canary();
    log.has_no_canary();
}

#[tokio::test]
async fn what_a_reference_stands_for_is_shown_nowhere_wherever_it_stands() {
    for (connection, value) in [
        ("${ANNALS_CANARY}", RESOLVED),
        ("custom://${ANNALS_CANARY}@db.example/annals", CANARY),
        ("custom://db.example/${ANNALS_CANARY}/annals", CANARY),
        (
            "custom://annals:${ANNALS_CANARY}@db.example",
            "a/b?c#d&e=canary-7c1f0e@x",
        ),
        (
            "host=db password=${ANNALS_CANARY} user=annals",
            "a,b canary-7c1f0e",
        ),
        (
            "custom://db.example/?password=${ANNALS_CANARY}&a=b",
            "a&canary-7c1f0e",
        ),
    ] {
        let directory = TempDir::new().unwrap();
        let custom = Arc::new(Custom::default());
        let open = || {
            config(&directory, &custom)
                .resolver(move |name| (name == "ANNALS_CANARY").then(|| value.to_owned()))
        };
        let ((seen, down), log) = logged(async {
            let seen = use_everything(open(), &custom, connection).await;
            let down = use_while_down(open(), &custom).await;
            (seen, down)
        })
        .await;
        seen.has_no_canary();
        down.has_no_canary();
        log.has_no_canary();
        let mut files = Vec::new();
        files_with(directory.path(), CANARY, &mut files);
        assert!(files.is_empty(), "{files:?}");
        assert!(custom.seen.lock().unwrap()[0].contains(CANARY));
    }
}
