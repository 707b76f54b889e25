//! The places in which tests of the store put their topics: each adapter once.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "no test program uses all of it"
)]

use annals::{
    Append, ConfigurationStream, EventStore, EventStoreConfig, NewEvent, Read, RecordedEvent,
    TopicConfig,
};
use std::time::Duration;

/// Long enough for anything that is not stuck.
const SOON: Duration = Duration::from_secs(30);

/// A place of one adapter that nobody else uses.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) adapter: &'static str,
    pub(crate) connection: String,
    _directory: Option<tempfile::TempDir>,
}

impl Kind {
    pub(crate) fn all() -> Vec<Self> {
        let kinds = [Self::memory(), Self::file()];
        #[cfg(feature = "postgres")]
        let kinds = kinds
            .into_iter()
            .chain([Self::at(crate::servers::postgres())]);
        #[cfg(feature = "blob")]
        let kinds = kinds.into_iter().chain([Self::blob()]);
        kinds.into_iter().collect()
    }

    pub(crate) fn memory() -> Self {
        Self {
            adapter: "memory",
            connection: "here".to_owned(),
            _directory: None,
        }
    }

    pub(crate) fn memory_named(name: &str) -> Self {
        Self {
            connection: name.to_owned(),
            ..Self::memory()
        }
    }

    pub(crate) fn file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            adapter: "file",
            connection: directory.path().display().to_string(),
            _directory: Some(directory),
        }
    }

    #[cfg(feature = "blob")]
    pub(crate) fn blob() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            adapter: "blob",
            connection: format!(
                "file://{}/objects?compact_slots=8",
                directory.path().display()
            ),
            _directory: Some(directory),
        }
    }

    /// Files in a directory that is kept.
    pub(crate) const fn file_in(directory: String) -> Self {
        Self {
            adapter: "file",
            connection: directory,
            _directory: None,
        }
    }

    /// A database at this URL.
    pub(crate) const fn in_postgres(url: String) -> Self {
        Self {
            adapter: "postgres",
            connection: url,
            _directory: None,
        }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn at(server: &crate::servers::Postgres) -> Self {
        Self {
            adapter: "postgres",
            connection: server.fresh(),
            _directory: None,
        }
    }

    pub(crate) fn topic(&self, name: &str) -> TopicConfig {
        TopicConfig::new(name, self.adapter, &self.connection)
    }

    pub(crate) async fn open(&self) -> EventStore {
        let configuration = ConfigurationStream::new(self.adapter, &self.connection);
        EventStore::open(EventStoreConfig::new(configuration))
            .await
            .unwrap()
    }

    /// A store with the topic `t`.
    pub(crate) async fn open_with_topic(&self) -> EventStore {
        let store = self.open().await;
        store.create_topic(self.topic("t")).await.unwrap();
        store
    }

    /// A further store on the same configuration, where there can be one in this process.
    pub(crate) async fn open_another(&self) -> Option<EventStore> {
        if self.adapter == "memory" {
            return None;
        }
        Some(self.open().await)
    }
}

/// Appends this many events to a stream, as one append.
pub(crate) async fn append(store: &EventStore, topic: &str, stream: &str, count: u64) {
    let events: Vec<_> = (0..count)
        .map(|number| NewEvent::json("Given", &number).unwrap())
        .collect();
    let appended = store.append_events(topic, Append::new(events).stream(stream));
    appended.await.unwrap();
}

/// Every event of a topic.
pub(crate) async fn log(store: &EventStore, topic: &str) -> Vec<RecordedEvent> {
    let read = Read::all().limit(u64::MAX);
    store.get_events(topic, read).await.unwrap()
}

/// What `work` gives, if it is not stuck.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} takes too long"),
    }
}
