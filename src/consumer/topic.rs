//! Checkpoints as events of a topic: for every repository, whatever adapter it has.

use async_trait::async_trait;

use crate::{
    Append, Checkpoint, Error, EventStore, ExpectedVersion, NewEvent, Read, Result, TopicConfig,
    repository::Checkpoints,
};

/// The type of the events.
const TYPE: &str = "CheckpointStored";
/// How often an append whose outcome is unknown is repeated to find out.
const TRIES: usize = 5;

/// Checkpoints in a topic: a stream for each consumer, an event for each time that its checkpoint was
/// replaced, and the newest counts. What replaces a checkpoint expects the version that it has read.
///
/// It is a topic like any other: it can be read, verified, moved and purged. It grows by an event for
/// each commit and each renewal of a lease, so commit after some events and not after each.
#[derive(Clone, Debug)]
pub struct TopicCheckpoints {
    store: EventStore,
    topic: String,
}

impl TopicCheckpoints {
    /// Checkpoints in this topic, which is there already.
    pub fn new(store: &EventStore, topic: impl Into<String>) -> Self {
        Self {
            store: store.clone(),
            topic: topic.into(),
        }
    }

    /// Checkpoints in the topic `TOPIC.consumers`, which is created in the repository of `topic` where
    /// it is missing: there, both are lost or both are kept.
    ///
    /// # Errors
    /// Those of [`EventStore::create_topic`].
    pub async fn beside(store: &EventStore, topic: &str) -> Result<Self> {
        let name = format!("{topic}.consumers");
        store.create_beside(topic, &name).await?;
        Ok(Self::new(store, name))
    }
}

impl EventStore {
    /// Creates a topic in the repository of another one, if it is not there.
    pub(crate) async fn create_beside(&self, topic: &str, name: &str) -> Result<()> {
        if self.get_topic(name).await.is_ok() {
            return Ok(());
        }
        let placement = self.placement(topic).await?;
        let config = TopicConfig::new(name, placement.adapter, placement.connection);
        let config = placement
            .options
            .into_iter()
            .fold(config, |config, (key, value)| config.option(key, value));
        match self.create_topic(config).await {
            Ok(_) | Err(Error::TopicAlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Checkpoints for TopicCheckpoints {
    async fn load(&self, consumer: &str) -> Result<Checkpoint> {
        let newest = Read::stream(consumer).backward().limit(1);
        let events = self.store.get_events(&self.topic, newest).await?;
        let Some(event) = events.first() else {
            return Ok(Checkpoint::default());
        };
        Ok(Checkpoint {
            revision: event.version.get(),
            ..event.json()?
        })
    }

    async fn replace(&self, consumer: &str, next: &Checkpoint) -> Result<u64> {
        let conflict = || Error::CheckpointConflict {
            consumer: consumer.to_owned(),
        };
        let found = self.load(consumer).await?;
        // What is looked at here is what the append expects.
        let back = found.origin == next.origin && found.position > next.position;
        if found.revision != next.revision || back {
            return Err(conflict());
        }
        let append = Append::new([NewEvent::json(TYPE, next)?])
            .stream(consumer)
            .expected(ExpectedVersion::exact(next.revision));
        let mut tries = 0;
        loop {
            tries += 1;
            return match self.store.append_events(&self.topic, append.clone()).await {
                Ok(receipt) => Ok(receipt.version.get()),
                Err(Error::OutcomeUnknown { .. }) if tries < TRIES => continue,
                Err(Error::WrongExpectedVersion { .. }) => Err(conflict()),
                Err(error) => Err(error),
            };
        }
    }
}
