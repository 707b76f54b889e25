//! One event in the hands of a member.

use tokio::sync::mpsc;

use crate::{Position, RecordedEvent};

/// Which entry of a member is meant, and which try of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) partition: u32,
    /// The place in what the partition reads.
    pub(super) place: Position,
    pub(super) tries: u32,
}

/// What a member hears of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is in the user's hands.
    Taken,
    /// It was never in the user's hands.
    Untaken,
    Done,
    Failed(String),
    Park(String),
}

/// An event that is to be processed. One that is dropped without an answer has failed.
#[derive(Debug)]
pub struct Delivery {
    event: RecordedEvent,
    ticket: Ticket,
    answers: mpsc::UnboundedSender<(Ticket, Answer)>,
    in_hand: bool,
    answered: bool,
}

impl Delivery {
    pub(super) const fn new(
        event: RecordedEvent,
        ticket: Ticket,
        answers: mpsc::UnboundedSender<(Ticket, Answer)>,
    ) -> Self {
        Self {
            event,
            ticket,
            answers,
            in_hand: false,
            answered: false,
        }
    }

    pub(super) fn taken(mut self) -> Self {
        self.in_hand = true;
        self.send(Answer::Taken);
        self
    }

    /// The event.
    #[must_use]
    pub const fn event(&self) -> &RecordedEvent {
        &self.event
    }

    /// Which try this is, from 1 on.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.ticket.tries
    }

    /// It is processed.
    pub fn done(mut self) {
        self.answer(Answer::Done);
    }

    /// It could not be processed: it comes again after a pause, and is parked after its last try.
    pub fn failed(mut self, reason: impl Into<String>) {
        self.answer(Answer::Failed(reason.into()));
    }

    /// It is not to be tried again: it is parked.
    pub fn park(mut self, reason: impl Into<String>) {
        self.answer(Answer::Park(reason.into()));
    }

    /// Nobody has tried it: it comes again at once, as though it had not been given.
    #[cfg(feature = "server")]
    pub(crate) fn untried(mut self) {
        self.answer(Answer::Untaken);
    }

    fn answer(&mut self, answer: Answer) {
        self.answered = true;
        self.send(answer);
    }

    /// Where the member is gone, nobody waits for the answer, and the event is delivered again.
    fn send(&self, answer: Answer) {
        drop(self.answers.send((self.ticket, answer)));
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.in_hand {
            self.send(Answer::Untaken);
        } else if !self.answered {
            self.send(Answer::Failed(
                "it was dropped without an answer".to_owned(),
            ));
        }
    }
}
