//! What waits for a topic's committer.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{desk::Fetched, shared::Moment, slot::Kind};
use crate::{
    models::{AppendReceipt, Error, EventFilter, Position, Result, Timestamp},
    repository::{
        AppendBatch,
        import::{Rest, Written},
    },
};

/// An append that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) batch: Arc<AppendBatch>,
    pub(super) now: Timestamp,
    /// When it came: what refuses it has to be known to hold after that.
    pub(super) came: Moment,
    /// How many bytes it takes.
    pub(super) weight: usize,
    pub(super) reply: oneshot::Sender<Result<AppendReceipt>>,
    /// Its room in the queue, given back with it.
    pub(super) _room: OwnedSemaphorePermit,
    /// What was fetched to decide on it.
    pub(super) fetched: Fetched,
    pub(super) checked: Checked,
}

/// How far the condition of an append was checked before it came to the committer, so that a long
/// look holds up nobody else.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checked {
    /// No event that matches is after the condition's position and up to here, but for `matched`.
    pub(super) up_to: Position,
    pub(super) matched: Option<Position>,
}

/// Whatever waits for the committer.
#[derive(Debug)]
pub(super) enum Work {
    Append(Request),
    Import(Rest, oneshot::Sender<Result<Written>>),
    Mark(Kind, Position, oneshot::Sender<Result<Position>>),
}

/// The part of a condition that still has to be checked, up to the end of the segments.
pub(super) fn unchecked(
    batch: &AppendBatch,
    checked: Checked,
    segments_end: Position,
) -> Option<(EventFilter, Position)> {
    let condition = batch.condition.as_ref()?;
    let after = condition.after.max(checked.up_to);
    (checked.matched.is_none() && after < segments_end).then(|| (condition.filter.clone(), after))
}

impl Request {
    pub(super) fn answer(self, outcome: Result<AppendReceipt>) {
        // Who asked may have stopped waiting.
        drop(self.reply.send(outcome));
    }

    pub(super) fn fail(self, error: Error) {
        self.answer(Err(error));
    }
}
