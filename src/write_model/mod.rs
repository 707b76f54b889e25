//! The write model: the topics as the configuration stream has them, kept up to date.
//!
//! It reads and writes through one repository that it is handed, and holds nothing that is not in
//! the stream: deleting it and folding again gives the same.

mod events;
mod fold;
mod follow;
mod silence;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::RwLock;
use tokio::sync::{Mutex, watch};

pub(crate) use events::{
    ConfigurationEvent, Extra, FormerRemoved, MoveAborted, MoveStarted, MoveStep, StoreCreated,
    TopicCreated, TopicNamed, TopicUpdated,
};
pub(crate) use fold::{Model, Moving, Topic};
pub(crate) use follow::Following;
pub(crate) use silence::MoveWatch;

use crate::{
    models::{
        ContentType, Error, EventType, ExpectedVersion, Placement, Position, Result, StreamId,
        Tags, Version,
    },
    repository::{AppendBatch, BatchEvent, EventRepository, ReadPlan},
};

/// How often an append whose outcome is unknown is repeated to find out.
const TRIES: usize = 5;

/// The topics, and the stream that they come from.
#[derive(Debug)]
pub(crate) struct WriteModel {
    repository: Arc<dyn EventRepository>,
    placement: Placement,
    /// Replaced as a whole; readers hold the lock for as long as it takes to clone the pointer.
    model: RwLock<Arc<Model>>,
    /// Held by the one who reads what is new.
    refreshing: Mutex<()>,
    /// The position up to which the model is folded, for those who wait for changes.
    changed: watch::Sender<Position>,
    following: follow::Slot,
}

/// What came of a decision.
#[derive(Debug)]
pub(crate) enum Commit {
    /// It is recorded, and the model has it.
    Recorded(Arc<Model>),
    /// Somebody else was faster. This is the model now: decide again.
    Overtaken(Arc<Model>),
}

impl WriteModel {
    pub(crate) fn new(repository: Arc<dyn EventRepository>, placement: Placement) -> Self {
        Self {
            repository,
            placement,
            model: RwLock::default(),
            refreshing: Mutex::default(),
            changed: watch::Sender::default(),
            following: follow::Slot::default(),
        }
    }

    /// The model as it is known here.
    pub(crate) fn current(&self) -> Arc<Model> {
        Arc::clone(&self.model.read())
    }

    /// A topic that is in use, as it is known here.
    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.model.read().topic(name).cloned()
    }

    /// Reads what is new in the configuration stream.
    pub(crate) async fn refresh(&self) -> Result<Arc<Model>> {
        let _one = self.refreshing.lock().await;
        let mut model = self.current();
        let mut pages = self
            .repository
            .read(&self.placement, ReadPlan::all_after(model.position));
        while let Some(page) = pages.next().await {
            for event in page?.events {
                Arc::make_mut(&mut model).apply(&event)?;
            }
        }
        *self.model.write() = Arc::clone(&model);
        self.changed.send_if_modified(|position| {
            std::mem::replace(position, model.position) != model.position
        });
        Ok(model)
    }

    /// Tells when the model has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<Position> {
        self.changed.subscribe()
    }

    /// Records what was decided on `model`, if nothing was recorded since.
    pub(crate) async fn commit(&self, event: &ConfigurationEvent, model: &Model) -> Result<Commit> {
        let event = event.to_event()?;
        let batch = Arc::new(AppendBatch {
            stream: StreamId::default(),
            // All events of the stream are in its default stream, so positions are versions.
            expected: ExpectedVersion::Exact(Version::new(model.position.get())),
            condition: None,
            events: vec![BatchEvent {
                id: event.id,
                stream: StreamId::default(),
                event_type: EventType::new(event.event_type)?,
                payload: event.payload,
                content_type: ContentType::JSON,
                metadata: Bytes::new(),
                tags: Tags::default(),
            }],
            beyond: None,
        });
        let mut tries = 0;
        let mut unknown = None;
        loop {
            tries += 1;
            match self
                .repository
                .append(&self.placement, Arc::clone(&batch))
                .await
            {
                Ok(_) => {
                    let model = self.refresh().await;
                    return model
                        .map(Commit::Recorded)
                        .map_err(|error| Error::OutcomeUnknown {
                            reason:
                                "the change is recorded, but the configuration could not be read"
                                    .to_owned(),
                            source: Some(Box::new(error)),
                        });
                }
                Err(Error::WrongExpectedVersion { .. }) => {
                    return self.refresh().await.map(Commit::Overtaken);
                }
                // The event has an id, so it is recorded once, however often it is sent.
                Err(error @ Error::OutcomeUnknown { .. }) if tries < TRIES => unknown = Some(error),
                // That it fails now does not say that it failed before.
                Err(error) => return Err(unknown.unwrap_or(error)),
            }
        }
    }

    /// The position up to which the model is folded.
    pub(crate) fn position(&self) -> Position {
        self.model.read().position
    }
}
