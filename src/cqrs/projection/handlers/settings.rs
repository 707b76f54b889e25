//! What a projection is run with, whatever its handler is.

use std::{sync::Arc, time::Duration};

use crate::{
    Checkpoint, EventFilter, EventStore, Result, TopicCheckpoints, repository::Checkpoints,
};

/// What is done with an event that its handler refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// It is tried again until it is handled; those behind it wait. One that cannot be read stops the
    /// projection.
    #[default]
    Retry,
    /// After so many tries it is put into the topic `TOPIC.parked`, and those behind it are handled. One
    /// that cannot be read is put there at once.
    Park {
        /// How often it is tried.
        tries: u32,
    },
    /// After so many tries the projection stops, before that event.
    Stop {
        /// How often it is tried.
        tries: u32,
    },
}

/// What is the same for every kind of handler.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) topics: Vec<String>,
    pub(super) filter: EventFilter,
    pub(super) on_failure: OnFailure,
    pub(super) backoff: (Duration, Duration),
    pub(super) commit_every: (usize, Duration),
    /// How many events are handed over at once.
    pub(super) batch: usize,
    pub(super) lease: Duration,
    pub(super) checkpoints: Option<Arc<dyn Checkpoints>>,
    pub(super) generation: u64,
}

impl Settings {
    /// Where checkpoints of a topic are kept.
    pub(super) async fn checkpoints_of(
        &self,
        store: &EventStore,
        topic: &str,
    ) -> Result<Arc<dyn Checkpoints>> {
        Ok(match &self.checkpoints {
            Some(checkpoints) => Arc::clone(checkpoints),
            None => Arc::new(TopicCheckpoints::beside(store, topic).await?),
        })
    }
}

/// Checkpoints that others keep, too.
#[derive(Debug)]
pub(super) struct Kept(pub(super) Arc<dyn Checkpoints>);

#[async_trait::async_trait]
impl Checkpoints for Kept {
    async fn load(&self, consumer: &str) -> Result<Checkpoint> {
        self.0.load(consumer).await
    }

    async fn replace(&self, consumer: &str, next: &Checkpoint) -> Result<u64> {
        self.0.replace(consumer, next).await
    }
}
