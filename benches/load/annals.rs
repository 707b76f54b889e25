//! Annals under load.

use annals::{
    Append, ConfigurationStream, EventStore, EventStoreConfig, ExpectedVersion, NewEvent, Read,
    TopicConfig,
};
use async_trait::async_trait;
use futures_util::TryStreamExt;

use super::{
    draft::Draft,
    target::{Result, Target},
};

/// A store with some topics.
#[derive(Debug)]
pub(crate) struct Annals {
    pub(crate) store: EventStore,
    topics: Vec<String>,
}

impl Annals {
    /// A store whose topics are files in a directory.
    pub(crate) async fn files(
        directory: &str,
        topics: usize,
        options: &[(&str, &str)],
    ) -> Result<Self> {
        let config = EventStoreConfig::new(ConfigurationStream::file(directory));
        let configure = |name: &str| {
            let config = TopicConfig::file(name, directory);
            options
                .iter()
                .fold(config, |config, (key, value)| config.option(*key, *value))
        };
        Self::open(config, topics, configure).await
    }

    /// A store whose topics are in memory.
    pub(crate) async fn memory() -> Result<Self> {
        let config = EventStoreConfig::new(ConfigurationStream::memory());
        Self::open(config, 1, |name| TopicConfig::memory(name)).await
    }

    pub(crate) async fn open(
        config: EventStoreConfig,
        topics: usize,
        configure: impl Fn(&str) -> TopicConfig,
    ) -> Result<Self> {
        let store = EventStore::open(config).await?;
        let known = store.list_topics().await?;
        let topics: Vec<_> = (0..topics).map(|nth| format!("orders-{nth}")).collect();
        for topic in &topics {
            if !known
                .iter()
                .any(|one| one.placement.topic.as_str() == topic)
            {
                store.create_topic(configure(topic)).await?;
            }
        }
        Ok(Self { store, topics })
    }

    /// A store that has this topic.
    pub(crate) fn of(store: EventStore, topic: &str) -> Self {
        Self {
            store,
            topics: vec![topic.to_owned()],
        }
    }

    /// Reads what `read` asks for, and tells how many events that were.
    pub(crate) async fn count(&self, read: Read) -> Result<u64> {
        let mut events = self.store.read_events(&self.topics[0], read);
        let (mut count, mut bytes) = (0, 0);
        while let Some(event) = events.try_next().await? {
            count += 1;
            bytes += event.payload.len();
        }
        std::hint::black_box(bytes);
        Ok(count)
    }
}

#[async_trait]
impl Target for Annals {
    fn name(&self) -> &'static str {
        "annals"
    }

    async fn append(&self, topic: usize, events: Vec<Draft>) -> Result<()> {
        if let Some(append) = append_of(events) {
            self.store
                .append_events(&self.topics[topic], append)
                .await?;
        }
        Ok(())
    }

    async fn scan(&self) -> Result<u64> {
        self.count(Read::all()).await
    }

    async fn stream(&self, stream: &str) -> Result<u64> {
        self.count(Read::stream(stream)).await
    }

    async fn close(&self) -> Result<()> {
        Ok(self.store.close().await?)
    }
}

/// The append of events of one stream; none if there are none.
pub(crate) fn append_of(events: Vec<Draft>) -> Option<Append> {
    let first = events.first()?;
    let expected = match first.before {
        None => ExpectedVersion::Any,
        Some(0) => ExpectedVersion::NoStream,
        Some(before) => ExpectedVersion::exact(before),
    };
    let stream = first.stream.clone();
    let events = events.into_iter().map(|draft| {
        let event = NewEvent::json_text(draft.event_type, draft.payload).id(draft.id);
        draft.tag.into_iter().fold(event, NewEvent::tag)
    });
    Some(Append::new(events).stream(stream).expected(expected))
}
