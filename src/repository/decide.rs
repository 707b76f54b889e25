//! The one law by which every repository admits, recognises or refuses an append.

use crate::models::{
    AppendReceipt, Error, EventFilter, Position, RecordedEvent, Result, STREAM_RESTORED, StreamId,
    StreamState, TopicName,
};

use super::{AppendBatch, BatchEvent};
use uuid::Uuid;

/// What [`decide`] may ask of a topic. All answers are of one moment, and hold until what was
/// decided is written.
pub trait LogView {
    /// The topic, for errors.
    fn topic(&self) -> &TopicName;
    /// Whether the placement takes no appends.
    fn is_sealed(&self) -> bool;
    /// Where the event with this id is recorded.
    ///
    /// # Errors
    /// Where it cannot be found out.
    fn position_of(&self, id: Uuid) -> Result<Option<Position>>;
    /// The event at this position, which is recorded.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn event_at(&self, position: Position) -> Result<RecordedEvent>;
    /// The state of this stream.
    ///
    /// # Errors
    /// Where it cannot be found out.
    fn stream(&self, stream: &StreamId) -> Result<StreamState>;
    /// The first event that matches after this position.
    ///
    /// # Errors
    /// Where it cannot be found out.
    fn first_match(&self, filter: &EventFilter, after: Position) -> Result<Option<Position>>;
}

/// What is to be done with an append that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Record it; this is the state of the append's stream before.
    Write(StreamState),
    /// It is recorded already; this is its first receipt.
    Duplicate(AppendReceipt),
}

/// Decides on an append, in this order:
///
/// 1. a sealed placement takes nothing;
/// 2. ids that are recorded make it a duplicate, whatever it expects, if they are recorded one
///    after the other, in order, and with the same content; else an idempotency conflict;
/// 3. a stream that is deleted takes nothing but its restoration;
/// 4. the expected version;
/// 5. the condition.
///
/// # Errors
/// [`Error::TopicSealed`], [`Error::IdempotencyConflict`], [`Error::StreamDeleted`],
/// [`Error::WrongExpectedVersion`] or [`Error::ConditionFailed`], and what `view` fails with.
pub fn decide(view: &impl LogView, batch: &AppendBatch) -> Result<Verdict> {
    if view.is_sealed() {
        return Err(Error::TopicSealed {
            topic: view.topic().clone(),
        });
    }
    if let Some(receipt) = recognise(view, batch)? {
        return Ok(Verdict::Duplicate(receipt));
    }
    let state = view.stream(&batch.stream)?;
    refuse_deleted(view, batch, state)?;
    if !batch.expected.admits(state) {
        return Err(Error::WrongExpectedVersion {
            stream: batch.stream.clone(),
            expected: batch.expected,
            actual: state.version,
        });
    }
    if let Some(condition) = &batch.condition
        && let Some(position) = view.first_match(&condition.filter, condition.after)?
    {
        return Err(Error::ConditionFailed { position });
    }
    Ok(Verdict::Write(state))
}

/// The receipt of the append if it is recorded already.
fn recognise(view: &impl LogView, batch: &AppendBatch) -> Result<Option<AppendReceipt>> {
    let mut first = None;
    let mut unknown = 0_usize;
    for (event, ordinal) in batch.events.iter().zip(0_u64..) {
        match (view.position_of(event.id)?, first) {
            (None, _) => unknown += 1,
            (Some(position), None) => first = Some((position, ordinal)),
            (Some(position), Some((start, from))) if position == start.forward(ordinal - from) => {}
            (Some(position), Some(_)) => return conflict(position, "not one after the other"),
        }
    }
    let Some((first, ordinal)) = first else {
        return match batch
            .beyond
            .map(|id| view.position_of(id))
            .transpose()?
            .flatten()
        {
            Some(position) => conflict(position, "the key was used for other events"),
            None => Ok(None),
        };
    };
    if unknown > 0 || ordinal > 0 {
        return conflict(first, "not all of them");
    }
    let mut version = None;
    let mut last = first;
    for (event, position) in batch.events.iter().zip((0..).map(|n| first.forward(n))) {
        let recorded = view.event_at(position)?;
        if !event.is_recorded_as(&recorded) {
            return conflict(position, &difference(event, &recorded));
        }
        if recorded.stream == batch.stream {
            version = Some(recorded.version);
        }
        last = position;
    }
    if let Some(beyond) = batch.beyond
        && let Some(position) = view.position_of(beyond)?
    {
        return conflict(position, "the key was used for more events than these");
    }
    let version = match version {
        Some(version) => version,
        None => view.stream(&batch.stream)?.version,
    };
    Ok(Some(AppendReceipt::new(first, last, version).duplicate()))
}

fn conflict<T>(position: Position, reason: &str) -> Result<T> {
    Err(Error::IdempotencyConflict {
        reason: reason.to_owned(),
        position,
    })
}

/// Which part of an event differs from what is recorded under its id.
fn difference(event: &BatchEvent, recorded: &RecordedEvent) -> String {
    let part = if event.stream != recorded.stream {
        "stream"
    } else if event.event_type != recorded.event_type {
        "type"
    } else if event.payload != recorded.payload {
        "payload"
    } else if event.content_type != recorded.content_type {
        "content type"
    } else if event.metadata != recorded.metadata {
        "metadata"
    } else {
        "tags"
    };
    format!("the event {} has another {part}", event.id)
}

/// Refuses an append to a stream that is deleted, unless it restores it. `state` is that of the
/// batch's own stream.
fn refuse_deleted(view: &impl LogView, batch: &AppendBatch, state: StreamState) -> Result<()> {
    let mut checked = &batch.stream;
    let mut deleted = state.deleted;
    for event in &batch.events {
        if event.stream != *checked {
            checked = &event.stream;
            deleted = view.stream(checked)?.deleted;
        }
        if deleted && event.event_type != STREAM_RESTORED {
            return Err(Error::StreamDeleted {
                stream: event.stream.clone(),
            });
        }
    }
    Ok(())
}
