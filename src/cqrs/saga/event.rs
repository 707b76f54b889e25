//! What is recorded of a saga.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// What is recorded of a saga, in its own stream. Its state is the fold of these, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SagaEvent<D> {
    /// It is to be done.
    SagaStarted {
        /// What it knows.
        data: D,
    },
    /// The next step is done.
    StepCompleted {
        /// The step.
        step: String,
        /// What the saga knows now.
        data: D,
        /// Whether it has a compensation.
        undo: bool,
    },
    /// An attempt of the next step has failed.
    StepFailed {
        /// The step.
        step: String,
        /// Which attempt it was.
        attempt: u32,
        /// Why.
        reason: String,
        /// When it is tried again. None where it is not, and the saga is compensated.
        retry_at: Option<Timestamp>,
        /// Whether it may have been done nevertheless and is compensated too.
        undo: bool,
    },
    /// The next step waits until then at most.
    TimerSet {
        /// The step.
        step: String,
        /// Until when.
        due: Timestamp,
    },
    /// Something was heard that a step waits for, or will.
    SignalReceived {
        /// Its name.
        name: String,
        /// What tells it from others: it is recorded once.
        key: String,
        /// What came with it.
        payload: Value,
    },
    /// The last step that was not undone is.
    CompensationCompleted {
        /// The step.
        step: String,
        /// What the saga knows now.
        data: D,
    },
    /// An attempt to undo a step has failed.
    CompensationFailed {
        /// The step.
        step: String,
        /// Which attempt it was.
        attempt: u32,
        /// Why.
        reason: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// All steps are done. This is the end.
    SagaCompleted,
    /// A step has failed, and all that was done is undone. This is the end.
    SagaCompensated,
    /// It cannot go on by itself.
    SagaParked {
        /// Why.
        reason: String,
    },
    /// One that was parked is tried again.
    SagaResumed,
}

/// Names of events that are looked for without being read.
pub(super) mod types {
    pub(in super::super) const STARTED: &str = "SagaStarted";
    pub(in super::super) const SIGNAL: &str = "SignalReceived";
    pub(in super::super) const COMPLETED: &str = "SagaCompleted";
    pub(in super::super) const COMPENSATED: &str = "SagaCompensated";
    pub(in super::super) const PARKED: &str = "SagaParked";
    pub(in super::super) const RESUMED: &str = "SagaResumed";
}
