//! The state of one saga: the fold of its events.

use std::collections::BTreeMap;

use serde_json::Value;

use super::SagaEvent;
use crate::Timestamp;

/// The state of one saga.
#[derive(Clone, Debug, PartialEq)]
pub struct SagaState<D> {
    pub(super) data: D,
    pub(super) phase: Phase,
    /// The steps that are done and not undone, in order.
    pub(super) done: Vec<Done>,
    /// The step under way, where something is recorded of it.
    pub(super) current: Option<String>,
    /// How many attempts of what is under way have failed.
    pub(super) failed: u32,
    /// Whether the step under way may have been done, although it is not recorded.
    pub(super) uncertain: bool,
    pub(super) retry_at: Option<Timestamp>,
    pub(super) due: Option<Timestamp>,
    /// The first signal of each name that no step has taken.
    pub(super) signals: BTreeMap<String, Value>,
    /// Why it is compensated.
    pub(super) reason: Option<String>,
    pub(super) parked: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Forward,
    Compensating,
    Completed,
    Compensated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) step: String,
    /// Whether it has a compensation.
    pub(super) undo: bool,
}

/// How a saga has ended, or that it cannot go on by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum SagaOutcome<D> {
    /// All steps are done.
    Completed(D),
    /// A step has failed, and all that was done is undone.
    Compensated {
        /// Why the step has failed.
        reason: String,
        /// What the saga knew in the end.
        data: D,
    },
    /// It cannot go on by itself, and can be [resumed](super::SagaClient::resume).
    Parked {
        /// Why.
        reason: String,
    },
}

impl<D> SagaState<D> {
    /// That of a saga which was started with these data.
    pub(super) const fn started(data: D) -> Self {
        Self {
            data,
            phase: Phase::Forward,
            done: Vec::new(),
            current: None,
            failed: 0,
            uncertain: false,
            retry_at: None,
            due: None,
            signals: BTreeMap::new(),
            reason: None,
            parked: None,
        }
    }

    /// What the saga knows.
    #[must_use]
    pub const fn data(&self) -> &D {
        &self.data
    }

    /// The steps that are done and not undone, in order.
    pub fn done(&self) -> impl Iterator<Item = &str> {
        self.done.iter().map(|done| done.step.as_str())
    }

    /// Why a step has failed, where one has: it is compensated since.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Until when it waits at most: for a timer, a signal, or to try again.
    #[must_use]
    pub fn waits_until(&self) -> Option<Timestamp> {
        self.retry_at.or(self.due)
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Completed | Phase::Compensated)
    }

    /// Takes in what was recorded next.
    pub(in super::super) fn apply(&mut self, event: SagaEvent<D>) {
        match event {
            SagaEvent::SagaStarted { .. } => {}
            SagaEvent::StepCompleted { step, data, undo } => {
                self.signals.remove(&step);
                self.done.push(Done { step, undo });
                self.data = data;
                self.nothing_under_way();
            }
            SagaEvent::StepFailed {
                step,
                attempt,
                reason,
                retry_at,
                undo,
            } => match retry_at {
                Some(_) => self.attempted(step, attempt, retry_at),
                None => {
                    self.reason = Some(format!("{step:?} failed: {reason}"));
                    self.phase = Phase::Compensating;
                    if undo {
                        self.done.push(Done { step, undo });
                    }
                    self.nothing_under_way();
                }
            },
            SagaEvent::TimerSet { step, due } => {
                self.current = Some(step);
                self.due = Some(due);
            }
            SagaEvent::SignalReceived { name, payload, .. } => {
                self.signals.entry(name).or_insert(payload);
            }
            SagaEvent::CompensationCompleted { step, data } => {
                let at = self.done.iter().rposition(|done| done.step == step);
                self.done.truncate(at.unwrap_or(0));
                self.data = data;
                self.nothing_under_way();
            }
            SagaEvent::CompensationFailed {
                step,
                attempt,
                retry_at,
                ..
            } => self.attempted(step, attempt, Some(retry_at)),
            SagaEvent::SagaCompleted => self.phase = Phase::Completed,
            SagaEvent::SagaCompensated => self.phase = Phase::Compensated,
            SagaEvent::SagaParked { reason } => {
                self.parked = Some(reason);
                self.uncertain = true;
            }
            SagaEvent::SagaResumed => {
                self.parked = None;
                self.failed = 0;
                self.retry_at = None;
            }
        }
    }

    /// What is next may have been begun by a runner that recorded nothing of it.
    pub(in super::super) const fn may_have_begun(&mut self) {
        self.uncertain = true;
    }

    fn attempted(&mut self, step: String, attempt: u32, retry_at: Option<Timestamp>) {
        self.current = Some(step);
        self.failed = attempt;
        self.uncertain = true;
        self.retry_at = retry_at;
    }

    fn nothing_under_way(&mut self) {
        self.current = None;
        self.failed = 0;
        self.uncertain = false;
        self.retry_at = None;
        self.due = None;
    }
}

impl<D: Clone> SagaState<D> {
    /// The fold of a saga's events; none where the first is not that it was started.
    pub fn fold(events: impl IntoIterator<Item = SagaEvent<D>>) -> Option<Self> {
        let mut events = events.into_iter();
        let Some(SagaEvent::SagaStarted { data }) = events.next() else {
            return None;
        };
        let mut state = Self::started(data);
        events.for_each(|event| state.apply(event));
        Some(state)
    }

    /// How it has ended, or that it is parked; none where it goes on.
    #[must_use]
    pub fn outcome(&self) -> Option<SagaOutcome<D>> {
        let reason = || self.reason.clone().unwrap_or_default();
        match (self.phase, &self.parked) {
            (Phase::Completed, _) => Some(SagaOutcome::Completed(self.data.clone())),
            (Phase::Compensated, _) => Some(SagaOutcome::Compensated {
                reason: reason(),
                data: self.data.clone(),
            }),
            (_, Some(reason)) => Some(SagaOutcome::Parked {
                reason: reason.clone(),
            }),
            (_, None) => None,
        }
    }
}
