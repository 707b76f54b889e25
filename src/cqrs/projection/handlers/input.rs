//! A topic that a projection follows: what it gives, and how far that is handled.

use std::{future::poll_fn, task::Poll, time::Instant};

use super::super::pull::Pull;
use crate::{Consumer, Position, RecordedEvent, Result};

/// A topic that is followed.
pub(super) struct Input {
    pub(super) number: usize,
    pub(super) topic: String,
    pub(super) pull: Pull<Consumer>,
    pub(super) batch: Vec<RecordedEvent>,
    /// Up to where all is handled.
    pub(super) handled: Position,
    pub(super) committed: Position,
    /// What was handled since the last checkpoint: how many events, since when.
    pub(super) uncommitted: usize,
    pub(super) since: Option<Instant>,
    /// Where the event at hand is parked, where it was.
    pub(super) parked: Option<Position>,
}

impl Input {
    pub(super) fn new(number: usize, topic: &str, consumer: Consumer) -> Self {
        let position = consumer.position();
        Self {
            number,
            topic: topic.to_owned(),
            pull: Pull::new(consumer),
            batch: Vec::new(),
            handled: position,
            committed: position,
            uncommitted: 0,
            since: None,
            parked: None,
        }
    }

    pub(super) fn went(&mut self, position: Position, events: usize) {
        self.handled = position;
        self.uncommitted += events;
        if self.handled > self.committed {
            self.since.get_or_insert_with(Instant::now);
        }
    }
}

impl Input {
    /// A checkpoint says how far all is handled.
    pub(super) const fn recorded(&mut self) {
        self.committed = self.handled;
        (self.uncommitted, self.since) = (0, None);
    }
}

/// The next of some topics that has something, from this one on.
pub(super) async fn next(inputs: &mut [Input], from: usize, most: usize) -> (usize, Result<()>) {
    poll_fn(|context| {
        let count = inputs.len().max(1);
        for offset in 0..inputs.len() {
            let number = (from + offset) % count;
            let Some(input) = inputs.get_mut(number) else {
                continue;
            };
            if let Poll::Ready(pulled) = input.pull.poll_next(context, &mut input.batch, most) {
                return Poll::Ready((number, pulled));
            }
        }
        Poll::Pending
    })
    .await
}
