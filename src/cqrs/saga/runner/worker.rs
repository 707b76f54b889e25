//! Works on one saga until it comes to rest: calls what is next, records what came of it, and goes on.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::super::{
    Next, Saga, SagaData, SagaEvent, SagaState, StepContext,
    context::StepKeys,
    log::{Fence, Found, Loaded, SagaLog},
    perform::perform,
    state::Phase,
    step::{Action, Kind},
};
use crate::{Clock, Error, Result, Timestamp, Version};

/// What all workers share.
#[derive(Debug)]
pub(super) struct Worker<D> {
    pub(super) saga: Arc<Saga<D>>,
    pub(super) log: SagaLog<D>,
    pub(super) fence: Arc<Fence>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) closing: watch::Receiver<bool>,
}

/// How a saga has come to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Waits(Timestamp),
    Parked,
    Completed,
    Compensated,
    /// It had ended before.
    Gone,
}

impl<D: SagaData> Worker<D> {
    /// Works on a saga. Waits for as long as the topic cannot be reached.
    ///
    /// # Errors
    /// [`Error::ConditionFailed`] where another runner has taken the sagas over; where the store was
    /// closed.
    pub(super) async fn work(&self, id: &str) -> Result<Rest> {
        let mut saga = match self.load(id).await? {
            Ok(saga) => saga,
            Err(rest) => return Ok(rest),
        };
        if saga.state.is_ended() {
            return Ok(Rest::Gone);
        }
        loop {
            let now = self.clock.now();
            let next = self.saga.next(&saga.state, now);
            let event = match &next {
                Next::Ended if saga.state.phase == Phase::Completed => return Ok(Rest::Completed),
                Next::Ended => return Ok(Rest::Compensated),
                Next::Parked => return Ok(Rest::Parked),
                Next::Wait { until } => return Ok(Rest::Waits(*until)),
                // Its place is where it stands; the next runner goes on from there.
                _ if *self.closing.borrow() => return Ok(Rest::Waits(now)),
                Next::Record(event) => event.clone(),
                Next::Step { .. } | Next::Compensate { .. } => {
                    match self.call(&saga, id, &next).await {
                        Some(event) => event,
                        None => return Ok(Rest::Parked),
                    }
                }
            };
            saga = match self.record(id, saga, &next, event).await? {
                Ok(saga) => saga,
                Err(rest) => return Ok(rest),
            };
        }
    }

    async fn load(&self, id: &str) -> Result<Result<Loaded<D>, Rest>> {
        let found = match self.patiently(|| self.log.load(id)).await {
            Err(Error::StreamDeleted { .. }) => return Ok(Err(Rest::Gone)),
            found => found?,
        };
        Ok(match found {
            Found::Saga(mut saga) => {
                // An earlier runner may have called what is next, and died before it recorded that.
                if saga.reached < self.fence.position() {
                    saga.state.may_have_begun();
                }
                Ok(saga)
            }
            Found::Missing | Found::Ended => Err(Rest::Gone),
            Found::Parked { .. } => Err(Rest::Parked),
            Found::Unreadable { version, error } => {
                let reason = format!("it cannot be read: {}", with_source(&error));
                Err(self.park(id, version, reason).await?)
            }
        })
    }

    /// Calls a step, or the compensation of one.
    async fn call(&self, saga: &Loaded<D>, id: &str, next: &Next<D>) -> Option<SagaEvent<D>> {
        let (name, attempt, undoing) = match next {
            Next::Step { step, attempt } => (step, *attempt, false),
            Next::Compensate { step, attempt } => (step, *attempt, true),
            _ => return None,
        };
        let step = self.saga.steps.iter().find(|step| step.name == *name)?;
        let action: &Action<D> = match &step.kind {
            _ if undoing => step.compensation.as_ref()?,
            Kind::Act(action) => action,
            Kind::Wait(_) | Kind::Signal { .. } => return None,
        };
        let context = StepContext {
            saga: id.to_owned(),
            step: name.clone(),
            attempt,
            keys: StepKeys::new(saga.started, name, undoing),
        };
        let data = saga.state.data.clone();
        let result = perform(action, context, data, step.timeout).await;
        if let Err(failure) = &result {
            let reason = &failure.reason;
            tracing::debug!(
                saga = id,
                step = name,
                attempt,
                undoing,
                reason,
                "attempt failed"
            );
        }
        self.saga.ended(next, result, &saga.state, self.clock.now())
    }

    /// Records an event and all that follows from it. Where something else was recorded meanwhile, it
    /// counts only if the same was still to be done.
    async fn record(
        &self,
        id: &str,
        mut saga: Loaded<D>,
        next: &Next<D>,
        event: SagaEvent<D>,
    ) -> Result<Result<Loaded<D>, Rest>> {
        loop {
            let mut state = saga.state.clone();
            let events = self
                .saga
                .follow(&mut state, event.clone(), self.clock.now());
            let appending = || {
                self.log
                    .append(id, saga.version, &events, Some(&self.fence))
            };
            let receipt = match self.patiently(appending).await {
                Ok(receipt) => receipt,
                Err(Error::WrongExpectedVersion { .. }) => {
                    saga = match self.load(id).await? {
                        Ok(saga) => saga,
                        Err(rest) => return Ok(Err(rest)),
                    };
                    if is_still(&self.saga, &saga.state, next, self.clock.now()) {
                        continue;
                    }
                    return Ok(Ok(saga));
                }
                Err(Error::StreamDeleted { .. }) => return Ok(Err(Rest::Gone)),
                Err(
                    error @ (Error::TooLarge { .. }
                    | Error::Serialization { .. }
                    | Error::InvalidEvent { .. }),
                ) => {
                    let reason = format!(
                        "what came of it cannot be recorded: {}",
                        with_source(&error)
                    );
                    return Ok(Err(self.park(id, saga.version, reason).await?));
                }
                Err(error) => return Err(error),
            };
            saga.state = state;
            saga.version = receipt.version;
            saga.last = receipt.last;
            saga.reached = receipt.last;
            if let Some(reason) = &saga.state.parked {
                tracing::warn!(saga = id, reason, "a saga is parked");
            }
            return Ok(Ok(saga));
        }
    }

    async fn park(&self, id: &str, version: Version, reason: String) -> Result<Rest> {
        tracing::warn!(saga = id, reason, "a saga is parked");
        let parked = [SagaEvent::SagaParked { reason }];
        let appending = || self.log.append(id, version, &parked, Some(&self.fence));
        match self.patiently(appending).await {
            Ok(_) => Ok(Rest::Parked),
            // Somebody has recorded something meanwhile: looked at again at once.
            Err(Error::WrongExpectedVersion { .. }) => Ok(Rest::Waits(self.clock.now())),
            Err(error) => Err(error),
        }
    }

    /// Tries again for as long as the topic cannot be reached.
    async fn patiently<T, F>(&self, mut work: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut pause = Duration::from_millis(50);
        loop {
            match work().await {
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "sagas wait for their topic");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                done => return done,
            }
        }
    }
}

/// Whether this is what is to be done next.
fn is_still<D: SagaData>(
    saga: &Saga<D>,
    state: &SagaState<D>,
    next: &Next<D>,
    now: Timestamp,
) -> bool {
    match (next, saga.next(state, now)) {
        (
            Next::Step {
                step: a,
                attempt: n,
            },
            Next::Step {
                step: b,
                attempt: m,
            },
        )
        | (
            Next::Compensate {
                step: a,
                attempt: n,
            },
            Next::Compensate {
                step: b,
                attempt: m,
            },
        ) => *a == b && *n == m,
        // What follows from what is recorded follows again.
        _ => false,
    }
}

/// The error with its cause, for a log or a reason.
pub(super) fn with_source(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
