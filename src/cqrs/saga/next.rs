//! What is to be done next, and what is recorded of how that went: pure functions of the definition, the
//! state and the time.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use super::{
    Saga, SagaEvent, SagaState, Step, StepError,
    state::Phase,
    step::{Kind, Receive, Retry},
};
use crate::Timestamp;

/// What is to be done next with a saga.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<D> {
    /// A step is to be called.
    Step {
        /// The step.
        step: String,
        /// Which attempt it is.
        attempt: u32,
    },
    /// The compensation of a step is to be called.
    Compensate {
        /// The step.
        step: String,
        /// Which attempt it is.
        attempt: u32,
    },
    /// This follows from what is recorded, and is recorded with it.
    Record(SagaEvent<D>),
    /// Nothing until then, unless a signal comes.
    Wait {
        /// Until when.
        until: Timestamp,
    },
    /// Nothing, until it is resumed.
    Parked,
    /// Nothing any more.
    Ended,
}

impl<D: Clone> Saga<D> {
    /// What is to be done next.
    pub(in super::super) fn next(&self, state: &SagaState<D>, now: Timestamp) -> Next<D> {
        if state.is_ended() {
            return Next::Ended;
        }
        if state.parked.is_some() {
            return Next::Parked;
        }
        if let Err(reason) = self.fits(state) {
            return Next::Record(SagaEvent::SagaParked { reason });
        }
        if let Some(until) = state.retry_at
            && now < until
        {
            return Next::Wait { until };
        }
        let attempt = state.failed.saturating_add(1);
        if state.phase == Phase::Forward {
            let Some(step) = self.steps.get(state.done.len()) else {
                return Next::Record(SagaEvent::SagaCompleted);
            };
            return match &step.kind {
                Kind::Act(_) => Next::Step {
                    step: step.name.clone(),
                    attempt,
                },
                Kind::Wait(time) => pass(step, &**time, state, now),
                Kind::Signal { within, receive } => hear(step, *within, receive, state, now),
            };
        }
        match state.done.iter().rev().find(|done| done.undo) {
            Some(done) => Next::Compensate {
                step: done.step.clone(),
                attempt,
            },
            None => Next::Record(SagaEvent::SagaCompensated),
        }
    }

    /// What is recorded of an attempt of what was to be done next.
    pub(in super::super) fn ended(
        &self,
        next: &Next<D>,
        result: Result<D, StepError>,
        state: &SagaState<D>,
        now: Timestamp,
    ) -> Option<SagaEvent<D>> {
        let (name, attempt, undoing) = match next {
            Next::Step { step, attempt } => (step, *attempt, false),
            Next::Compensate { step, attempt } => (step, *attempt, true),
            _ => return None,
        };
        let definition = self.steps.iter().find(|step| step.name == *name)?;
        let step = name.clone();
        let retry = if undoing {
            definition.compensation_retry
        } else {
            definition.retry
        };
        Some(match (result, undoing) {
            (Ok(data), false) => done(definition, data),
            (Ok(data), true) => SagaEvent::CompensationCompleted { step, data },
            (Err(failure), false) => {
                let retry_at = again(&failure, retry, attempt, now);
                SagaEvent::StepFailed {
                    step,
                    attempt,
                    undo: retry_at.is_none()
                        && definition.compensation.is_some()
                        && (failure.retry || state.uncertain),
                    reason: failure.reason,
                    retry_at,
                }
            }
            (Err(failure), true) => match again(&failure, retry, attempt, now) {
                Some(retry_at) => SagaEvent::CompensationFailed {
                    step,
                    attempt,
                    reason: failure.reason,
                    retry_at,
                },
                None => SagaEvent::SagaParked {
                    reason: format!(
                        "{step:?} is not compensated after {attempt} attempts: {}",
                        failure.reason
                    ),
                },
            },
        })
    }

    /// Takes in an event, and all that follows from it: what is recorded together.
    pub(in super::super) fn follow(
        &self,
        state: &mut SagaState<D>,
        event: SagaEvent<D>,
        now: Timestamp,
    ) -> Vec<SagaEvent<D>> {
        let mut events = vec![event.clone()];
        state.apply(event);
        while let Next::Record(event) = self.next(state, now) {
            events.push(event.clone());
            state.apply(event);
        }
        events
    }
}

/// When it is tried again.
fn again(failure: &StepError, retry: Retry, attempt: u32, now: Timestamp) -> Option<Timestamp> {
    let pause = retry.pause(attempt).filter(|_| failure.retry)?;
    Some(later(now, pause))
}

fn later(now: Timestamp, time: Duration) -> Timestamp {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_add(micros))
}

fn done<D>(step: &Step<D>, data: D) -> SagaEvent<D> {
    SagaEvent::StepCompleted {
        step: step.name.clone(),
        data,
        undo: step.compensation.is_some(),
    }
}

fn parked<D>(step: &Step<D>, reason: &str) -> Next<D> {
    Next::Record(SagaEvent::SagaParked {
        reason: format!("{:?}: {reason}", step.name),
    })
}

/// A step that lets time pass.
fn pass<D: Clone>(
    step: &Step<D>,
    time: &(dyn Fn(&D) -> Duration + Send + Sync),
    state: &SagaState<D>,
    now: Timestamp,
) -> Next<D> {
    match state.due {
        Some(due) if now < due => Next::Wait { until: due },
        Some(_) => Next::Record(done(step, state.data.clone())),
        None => match catch_unwind(AssertUnwindSafe(|| time(&state.data))) {
            Ok(time) => Next::Record(SagaEvent::TimerSet {
                step: step.name.clone(),
                due: later(now, time),
            }),
            Err(panic) => parked(step, &panicked(&*panic)),
        },
    }
}

/// A step that waits for a signal.
fn hear<D: Clone>(
    step: &Step<D>,
    within: Duration,
    receive: &Receive<D>,
    state: &SagaState<D>,
    now: Timestamp,
) -> Next<D> {
    let failed = |reason| {
        Next::Record(SagaEvent::StepFailed {
            step: step.name.clone(),
            attempt: 1,
            reason,
            retry_at: None,
            undo: false,
        })
    };
    let Some(payload) = state.signals.get(&step.name) else {
        return match state.due {
            Some(due) if now < due => Next::Wait { until: due },
            Some(_) => failed(format!("no signal within {within:?}")),
            None => Next::Record(SagaEvent::TimerSet {
                step: step.name.clone(),
                due: later(now, within),
            }),
        };
    };
    let received = AssertUnwindSafe(|| receive(state.data.clone(), payload));
    match catch_unwind(received) {
        Ok(Ok(data)) => Next::Record(done(step, data)),
        Ok(Err(error)) if !error.retry => failed(error.reason),
        Ok(Err(error)) => parked(step, &format!("the signal cannot be read: {error}")),
        Err(panic) => parked(step, &panicked(&*panic)),
    }
}

/// What a panic said.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("no reason was given"))
}
