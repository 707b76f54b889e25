//! What all commands share: their events are recorded once, and a command that comes again is recognised
//! by its key.

use futures_util::TryStreamExt;
use serde::{Serialize, de::DeserializeOwned};

use super::{Metadata, Schema};
use crate::{
    Append, AppendReceipt, Error, EventStore, ExpectedVersion, NewEvent, Position, Read,
    RecordedEvent, Result, Version,
};

/// How often a command is decided, unless it is told another number.
pub(super) const ATTEMPTS: u32 = 10;
/// How often an append whose outcome is unknown is repeated to find out.
const TRIES: u32 = 5;
/// The type of an event that is never recorded.
const PROBE: &str = "Probe";

/// Where commands are recorded.
#[derive(Debug)]
pub(super) struct Execution<E> {
    pub(super) store: EventStore,
    pub(super) topic: String,
    pub(super) schema: Schema<E>,
    pub(super) attempts: u32,
}

/// What came of an append.
pub(super) enum Recorded<E> {
    Now(AppendReceipt),
    /// By the same command, earlier.
    Earlier(Earlier<E>),
    /// Somebody else wrote first.
    Conflict(Error),
}

/// What the same command has recorded before.
pub(super) struct Earlier<E> {
    pub(super) receipt: AppendReceipt,
    pub(super) events: Vec<E>,
}

impl<E> Execution<E> {
    pub(super) fn new(store: &EventStore, topic: impl Into<String>) -> Self {
        Self {
            store: store.clone(),
            topic: topic.into(),
            schema: Schema::new(),
            attempts: ATTEMPTS,
        }
    }
}

impl<E: Serialize + DeserializeOwned> Execution<E> {
    pub(super) fn encode(&self, event: &E, metadata: &Metadata) -> Result<NewEvent> {
        // A new stream is written before anything is read.
        self.schema.check()?;
        self.schema.encode(event, metadata)
    }

    /// Records what was decided, of which at least one event is in the stream, if there is one.
    pub(super) async fn record(
        &self,
        append: Append,
        key: Option<&str>,
        stream: Option<&str>,
    ) -> Result<Recorded<E>> {
        let append = match key {
            Some(key) => append.idempotency_key(key),
            None => append,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let appended = self.store.append_events(&self.topic, append.clone()).await;
            return match (appended, key) {
                (Ok(receipt), Some(key)) if receipt.duplicate => {
                    let earlier = self.earlier_at(key, stream, receipt.first).await?;
                    Ok(Recorded::Earlier(earlier))
                }
                (Ok(receipt), _) => Ok(Recorded::Now(receipt)),
                // Decided on what it has recorded itself, it decides otherwise.
                (Err(Error::IdempotencyConflict { position, .. }), Some(key)) => {
                    let earlier = self.earlier_at(key, stream, position).await?;
                    Ok(Recorded::Earlier(earlier))
                }
                (Err(Error::OutcomeUnknown { .. }), _) if tries < TRIES => continue,
                (Err(error), _) if error.is_conflict() => Ok(Recorded::Conflict(error)),
                (Err(error), _) => Err(error),
            };
        }
    }

    /// What the same command has recorded before, if it has. Nothing is written.
    pub(super) async fn earlier(
        &self,
        key: Option<&str>,
        stream: Option<&str>,
    ) -> Result<Option<Earlier<E>>> {
        let Some(key) = key else {
            return Ok(None);
        };
        // A key is looked for before the version, and no stream is at this one.
        let probe = Append::new([NewEvent::json_text(PROBE, "null")])
            .stream(stream.unwrap_or_default())
            .expected(ExpectedVersion::Exact(Version::MAX))
            .idempotency_key(key);
        match self.store.append_events(&self.topic, probe).await {
            Err(Error::IdempotencyConflict { position, .. }) => {
                self.earlier_at(key, stream, position).await.map(Some)
            }
            Err(Error::WrongExpectedVersion { .. } | Error::StreamDeleted { .. }) | Ok(_) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what a command with this key has recorded from a position on.
    async fn earlier_at(
        &self,
        key: &str,
        stream: Option<&str>,
        first: Position,
    ) -> Result<Earlier<E>> {
        let from = Read::all().after(first.previous());
        let mut recorded = self.store.read_events(&self.topic, from);
        let mut events = Vec::new();
        let (mut last, mut version) = (first, Version::NONE);
        for index in 0.. {
            let Some(event) = recorded.try_next().await? else {
                break;
            };
            if event.id != Append::keyed_id(key, index) {
                break;
            }
            if stream.is_none_or(|stream| event.stream.as_str() == stream) {
                version = event.version;
            }
            last = event.position;
            events.extend(self.schema.decode(&event)?);
        }
        if version == Version::NONE {
            return Err(Error::IdempotencyConflict {
                reason: format!("the key {key:?} was used for another stream"),
                position: first,
            });
        }
        let receipt = AppendReceipt::new(first, last, version).duplicate();
        Ok(Earlier { receipt, events })
    }

    /// An event as a value.
    pub(super) fn decode(&self, event: &RecordedEvent) -> Result<Option<E>> {
        self.schema.decode(event)
    }
}

impl<E> Clone for Execution<E> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            topic: self.topic.clone(),
            schema: self.schema.clone(),
            attempts: self.attempts,
        }
    }
}
