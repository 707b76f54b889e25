//! What events are handed to: the two kinds of handlers, as the worker sees them.

use tokio::sync::watch;

use super::generations::Generations;
use crate::{BoxError, Checkpoint, Commit, Error, Position, RecordedEvent};

/// Takes events.
pub(in super::super) trait Sink: Send + 'static {
    /// Whether it records itself what it has handled.
    const RECORDS: bool;

    /// Makes ready, each time that the leases were taken.
    fn prepare(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Handles events in order, and tells how many are handled, and what is wrong with the next one.
    /// May stop early where `stop` says so.
    fn handle(
        &mut self,
        turn: Turn<'_>,
        stop: &watch::Receiver<bool>,
    ) -> impl Future<Output = (usize, Option<Failure>)> + Send;

    /// Makes what was handled lasting, before that is recorded.
    fn flush(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Puts this generation in the place of the one before, and records that.
    fn switch(
        &mut self,
        generations: &Generations,
        next: &Checkpoint,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Events of one topic, and what proves that they may be handled.
#[derive(Clone, Debug)]
pub(in super::super) struct Turn<'a> {
    pub(in super::super) events: &'a [RecordedEvent],
    /// Where the one event is parked, where it was.
    pub(in super::super) parked: Option<Position>,
    pub(in super::super) pending: Commit,
}

#[cfg_attr(
    not(feature = "postgres"),
    expect(dead_code, reason = "only those who record ask")
)]
impl Turn<'_> {
    /// Where an event stands in what is consumed.
    pub(in super::super) fn place(&self, event: &RecordedEvent) -> Position {
        self.parked.unwrap_or(event.position)
    }

    /// What is to be recorded when all up to an event is handled.
    pub(in super::super) fn commit(&self, event: &RecordedEvent) -> Commit {
        Commit {
            position: self.place(event),
            ..self.pending.clone()
        }
    }
}

/// What has gone wrong.
#[derive(Debug)]
pub(in super::super) enum Failure {
    /// The handler has refused.
    Handler(BoxError),
    /// The event cannot be read: it will not be otherwise when tried again.
    Unreadable(Error),
    /// It is not about the event.
    Store(Error),
}
