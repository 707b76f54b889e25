//! What a step is given beside the data, and how it says that it has failed.

use std::fmt;

use uuid::Uuid;

/// How much of a reason is recorded, in bytes: services answer with whole pages.
const REASON_BYTES: usize = 4096;

/// Which step of which saga runs, and under which key.
#[derive(Clone, Debug)]
pub struct StepContext {
    pub(super) saga: String,
    pub(super) step: String,
    pub(super) attempt: u32,
    pub(super) keys: StepKeys,
}

/// The keys of a step: of what it does, and of undoing that.
#[derive(Clone, Debug)]
pub(super) struct StepKeys {
    action: String,
    compensation: String,
    undoing: bool,
}

impl StepKeys {
    /// They are made from the id of the event that started the saga: so they are the same whoever runs it
    /// and whenever, and others for a saga that has its name and its id in another topic.
    pub(super) fn new(started: Uuid, step: &str, undoing: bool) -> Self {
        let key =
            |direction: &str| Uuid::new_v5(&started, format!("{direction} {step}").as_bytes());
        Self {
            action: key("do").to_string(),
            compensation: key("undo").to_string(),
            undoing,
        }
    }
}

impl StepContext {
    /// The id of the saga, without the name of its definition.
    #[must_use]
    pub fn saga_id(&self) -> &str {
        &self.saga
    }

    /// The name of the step.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Which attempt this is, from 1. One that a crash has cut short is not counted.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The key of this step of this saga, in this direction: the same for every attempt and after every
    /// restart. Hand it to the service that the step calls, which does what has this key once.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        if self.keys.undoing {
            &self.keys.compensation
        } else {
            &self.keys.action
        }
    }

    /// In a compensation, the key under which the step did what is to be undone.
    ///
    /// The step may not have reached the service at all, and may even reach it later than its
    /// compensation, where an attempt took too long. A service that notes a key as undone, whether it
    /// knows it or not, and refuses it from then on, is right in every case.
    #[must_use]
    pub fn undoes(&self) -> Option<&str> {
        self.keys.undoing.then_some(&*self.keys.action)
    }
}

/// That a step, or a compensation, was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepError {
    pub(super) reason: String,
    pub(super) retry: bool,
}

impl StepError {
    /// It may go better another time, or nobody knows whether it was done: tried again, as often as the
    /// step's [`Retry`](super::Retry) has it.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self {
            reason: cut(&reason),
            retry: true,
        }
    }

    /// It was not done and will not be: the steps before it are compensated now. A compensation that says
    /// so parks its saga.
    pub fn fail(reason: impl fmt::Display) -> Self {
        Self {
            reason: cut(&reason),
            retry: false,
        }
    }
}

/// The text, or what it begins with.
fn cut(reason: &impl fmt::Display) -> String {
    let mut text = reason.to_string();
    if text.len() > REASON_BYTES {
        text.truncate(text.floor_char_boundary(REASON_BYTES));
        text.push('…');
    }
    text
}

impl StepError {
    /// Whether it is tried again.
    #[must_use]
    pub const fn is_retry(&self) -> bool {
        self.retry
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for StepError {}
