//! The streams of sagas: read as their state, and appended to at the version that was read.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use uuid::Uuid;

use super::{SagaData, SagaEvent, SagaState, definition::check_name, event::types};
use crate::{
    Append, AppendReceipt, Error, EventFilter, EventStore, ExpectedVersion, NewEvent, Position,
    Read, RecordedEvent, Result, Version,
    cqrs::{Metadata, Schema},
};

/// The sagas of one name in one topic.
#[derive(Debug)]
pub(super) struct SagaLog<D> {
    pub(super) store: EventStore,
    pub(super) topic: String,
    /// What the streams begin with: the name and `-`.
    pub(super) prefix: String,
    schema: Schema<SagaEvent<D>>,
}

/// A saga as it was read.
#[derive(Clone, Debug)]
pub(super) struct Loaded<D> {
    /// The id of the event that started it.
    pub(super) started: Uuid,
    /// Where it came to what is to be done next, or an attempt of that was recorded.
    pub(super) reached: Position,
    pub(super) version: Version,
    pub(super) last: Position,
    pub(super) state: SagaState<D>,
}

/// What a stream holds.
#[derive(Debug)]
pub(super) enum Found<D> {
    Saga(Loaded<D>),
    /// Nothing.
    Missing,
    /// It has ended, although not all of it can be read.
    Ended,
    /// It is parked, although not all of it can be read.
    Parked {
        version: Version,
    },
    /// It cannot be read.
    Unreadable {
        version: Version,
        error: Error,
    },
}

impl<D> Clone for SagaLog<D> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            topic: self.topic.clone(),
            prefix: self.prefix.clone(),
            schema: self.schema.clone(),
        }
    }
}

impl<D: SagaData> SagaLog<D> {
    pub(super) fn new(store: &EventStore, topic: &str, name: &str) -> Result<Self> {
        check_name(name)?;
        Ok(Self {
            store: store.clone(),
            topic: topic.to_owned(),
            prefix: format!("{name}-"),
            schema: Schema::new(),
        })
    }

    /// The stream of a saga. The one without an id is the runner's own.
    pub(super) fn stream(&self, id: &str) -> Result<String> {
        if id.is_empty() {
            return Err(Error::InvalidStreamId {
                reason: "the id of a saga is not empty".to_owned(),
            });
        }
        Ok(format!("{}{id}", self.prefix))
    }

    /// The id of the saga that an event is of.
    pub(super) fn id<'a>(&self, event: &'a RecordedEvent) -> Option<&'a str> {
        let id = event.stream.as_str().strip_prefix(&self.prefix)?;
        (!id.is_empty()).then_some(id)
    }

    /// All sagas.
    pub(super) fn filter(&self) -> EventFilter {
        EventFilter::all().stream_prefix(self.prefix.as_str())
    }

    pub(super) async fn load(&self, id: &str) -> Result<Found<D>> {
        let read = Read::stream(self.stream(id)?);
        let mut events = self.store.read_events(&self.topic, read);
        let mut loaded: Option<Loaded<D>> = None;
        let mut bad = None;
        let mut last = None;
        while let Some(event) = events.try_next().await? {
            match self.schema.decode(&event) {
                Ok(Some(SagaEvent::SagaStarted { data })) if loaded.is_none() => {
                    loaded = Some(Loaded {
                        started: event.id,
                        reached: event.position,
                        version: event.version,
                        last: event.position,
                        state: SagaState::started(data),
                    });
                }
                Ok(value) => {
                    if let Some(loaded) = &mut loaded {
                        loaded.version = event.version;
                        loaded.last = event.position;
                        if event.event_type != types::SIGNAL {
                            loaded.reached = event.position;
                        }
                        value
                            .into_iter()
                            .for_each(|event| loaded.state.apply(event));
                    }
                }
                Err(error) => bad = bad.or(Some(error)),
            }
            last = Some(event);
        }
        Ok(match (last, bad, loaded) {
            (None, ..) => Found::Missing,
            (Some(_), None, Some(loaded)) => Found::Saga(loaded),
            (Some(event), bad, _) => match event.event_type.as_str() {
                types::COMPLETED | types::COMPENSATED => Found::Ended,
                types::PARKED => Found::Parked {
                    version: event.version,
                },
                _ => Found::Unreadable {
                    version: event.version,
                    error: bad.unwrap_or(Error::StreamNotFound {
                        topic: event.topic,
                        stream: event.stream,
                    }),
                },
            },
        })
    }

    pub(super) fn encode(&self, events: &[SagaEvent<D>]) -> Result<Vec<NewEvent>> {
        let metadata = Metadata::new();
        let events = events.iter();
        events
            .map(|event| self.schema.encode(event, &metadata))
            .collect()
    }

    /// Appends to the stream of a saga, if it still has this version.
    pub(super) async fn append(
        &self,
        id: &str,
        version: Version,
        events: &[SagaEvent<D>],
        fence: Option<&Fence>,
    ) -> Result<AppendReceipt> {
        let append = Append::new(self.encode(events)?)
            .stream(self.stream(id)?)
            .expected(ExpectedVersion::Exact(version));
        match fence {
            Some(fence) => self.persist(fence.guard(append)).await,
            None => self.persist(append).await,
        }
    }

    /// Appends, and finds out what came of it where that is not known.
    pub(super) async fn persist(&self, append: Append) -> Result<AppendReceipt> {
        const TRIES: u32 = 5;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.store.append_events(&self.topic, append.clone()).await {
                Err(Error::OutcomeUnknown { .. }) if tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(50) * tries).await;
                }
                appended => return appended,
            }
        }
    }
}

/// That nobody has taken the sagas over since: checked by the store with each append of a runner, so that
/// one that was paused for longer than its lease can record nothing.
#[derive(Clone, Debug)]
pub(super) struct Fence {
    filter: EventFilter,
    after: Position,
}

/// What a runner records when it has taken the sagas over.
const TAKEN: &str = "SagasTaken";

impl Fence {
    /// Takes the sagas over from whoever ran them.
    pub(super) async fn raise<D: SagaData>(log: &SagaLog<D>) -> Result<Arc<Self>> {
        let tag = format!("saga-runner:{}", log.prefix);
        let taken = NewEvent::json(TAKEN, &serde_json::json!({}))?.tag(tag.as_str());
        let append = Append::new([taken]).stream(log.prefix.as_str());
        let receipt = log.persist(append).await?;
        Ok(Arc::new(Self {
            filter: EventFilter::all().tags([tag]),
            after: receipt.first,
        }))
    }

    /// Where the sagas were taken over.
    pub(super) const fn position(&self) -> Position {
        self.after
    }

    /// Has an append refused once somebody else has taken the sagas over.
    pub(super) fn guard(&self, append: Append) -> Append {
        append.unless(self.filter.clone(), self.after)
    }
}
