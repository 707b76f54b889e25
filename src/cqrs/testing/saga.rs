//! Given, when, then for sagas: without a store, a clock or a runner.

use std::{fmt::Debug, time::Duration};

use serde::Serialize;

use crate::{
    Timestamp,
    cqrs::{Next, Saga, SagaData, SagaEvent, SagaOutcome, SagaState, StepError},
};

/// A saga under test: what was recorded of it, then what happens, then what is recorded and what is next.
///
/// ```
/// use std::time::Duration;
/// use annals::cqrs::{Next, Saga, SagaEvent, Step, StepContext, StepError, testing::GivenSaga};
///
/// # async fn ok(_: StepContext, order: u32) -> Result<u32, StepError> { Ok(order) }
/// let saga = Saga::<u32>::named("fulfilment")
///     .step(Step::new("reserve", ok).compensate(ok))
///     .step(Step::new("charge", ok));
/// GivenSaga::started(&saga, 7)
///     .when_step_returns(Ok(8))
///     .then_recorded([SagaEvent::StepCompleted { step: "reserve".into(), data: 8, undo: true }])
///     .then_next(Next::Step { step: "charge".into(), attempt: 1 })
///     .when_step_returns(Err(StepError::fail("no money")))
///     .then_next(Next::Compensate { step: "reserve".into(), attempt: 1 })
///     .when_step_returns(Err(StepError::retry("busy")))
///     .when_time_passes(Duration::from_secs(1))
///     .then_next(Next::Compensate { step: "reserve".into(), attempt: 2 });
/// ```
#[derive(Debug)]
pub struct GivenSaga<'a, D> {
    saga: &'a Saga<D>,
    state: SagaState<D>,
    now: Timestamp,
    /// What the last thing that happened had recorded.
    recorded: Vec<SagaEvent<D>>,
}

impl<'a, D: SagaData + Debug + PartialEq> GivenSaga<'a, D> {
    /// A saga that was started with these data, at 1970-01-01T00:00:00Z, and has done nothing.
    pub fn started(saga: &'a Saga<D>, data: D) -> Self {
        Self::events(saga, [SagaEvent::SagaStarted { data }])
    }

    /// A saga of which this is recorded. The time is 1970-01-01T00:00:00Z.
    ///
    /// # Panics
    /// Where the first event is not that it was started, or the definition cannot be used.
    #[expect(clippy::panic, reason = "so a test fails")]
    pub fn events(saga: &'a Saga<D>, events: impl IntoIterator<Item = SagaEvent<D>>) -> Self {
        if let Err(error) = saga.check() {
            panic!("the definition cannot be used: {error}");
        }
        let Some(state) = SagaState::fold(events) else {
            panic!("a saga begins with SagaStarted");
        };
        Self {
            saga,
            state,
            now: Timestamp::from_micros(0),
            recorded: Vec::new(),
        }
    }

    /// The step, or the compensation, that is next was called and returned this. One that takes too long
    /// or panics has the same consequence as [`StepError::retry`].
    ///
    /// # Panics
    /// Where none is to be called.
    #[expect(clippy::panic, reason = "so a test fails")]
    pub fn when_step_returns(mut self, result: Result<D, StepError>) -> Self {
        let next = self.saga.next(&self.state, self.now);
        let Some(event) = self.saga.ended(&next, result, &self.state, self.now) else {
            panic!("no step is to be called, but: {next:?}");
        };
        self.recorded = self.saga.follow(&mut self.state, event, self.now);
        self
    }

    /// A signal was recorded.
    ///
    /// # Panics
    /// Where the payload cannot be written as JSON, or the saga has ended: it is late then.
    #[expect(clippy::panic, reason = "so a test fails")]
    pub fn when_signalled(self, name: &str, payload: &impl Serialize) -> Self {
        assert!(!self.state.is_ended(), "the saga has ended");
        let payload = match serde_json::to_value(payload) {
            Ok(payload) => payload,
            Err(error) => panic!("the payload is no JSON: {error}"),
        };
        self.when_recorded(SagaEvent::SignalReceived {
            name: name.to_owned(),
            key: "given".to_owned(),
            payload,
        })
    }

    /// One that is parked was resumed.
    ///
    /// # Panics
    /// Where it is not parked.
    pub fn when_resumed(self) -> Self {
        let parked = matches!(self.state.outcome(), Some(SagaOutcome::Parked { .. }));
        assert!(parked, "the saga is not parked");
        self.when_recorded(SagaEvent::SagaResumed)
    }

    /// Something was recorded by somebody else.
    fn when_recorded(mut self, event: SagaEvent<D>) -> Self {
        self.state.apply(event);
        self.when_time_passes(Duration::ZERO)
    }

    /// The runner was started anew, and the one before may have begun what is next: so it is compensated
    /// too where it fails.
    pub const fn when_restarted(mut self) -> Self {
        self.state.may_have_begun();
        self
    }

    /// So much time has passed; what follows is recorded.
    pub fn when_time_passes(mut self, time: Duration) -> Self {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.now = Timestamp::from_micros(self.now.as_micros().saturating_add(micros));
        self.recorded = match self.saga.next(&self.state, self.now) {
            Next::Record(event) => self.saga.follow(&mut self.state, event, self.now),
            _ => Vec::new(),
        };
        self
    }

    /// The definition was changed.
    pub fn when_defined_as(mut self, saga: &'a Saga<D>) -> Self {
        self.saga = saga;
        self.when_time_passes(Duration::ZERO)
    }

    /// What the saga recorded of what has just happened.
    ///
    /// # Panics
    /// Where it is something else.
    pub fn then_recorded(self, events: impl IntoIterator<Item = SagaEvent<D>>) -> Self {
        let events: Vec<_> = events.into_iter().collect();
        assert_eq!(self.recorded, events, "what is recorded");
        self
    }

    /// What is to be done next.
    ///
    /// # Panics
    /// Where it is something else.
    pub fn then_next(self, next: Next<D>) -> Self {
        let found = self.saga.next(&self.state, self.now);
        assert_eq!(found, next, "what is to be done next");
        self
    }

    /// How it has ended; none where it goes on.
    ///
    /// # Panics
    /// Where it is something else.
    pub fn then_outcome(self, outcome: Option<SagaOutcome<D>>) -> Self {
        assert_eq!(self.state.outcome(), outcome, "how it has ended");
        self
    }

    /// The state, to look at.
    pub const fn state(&self) -> &SagaState<D> {
        &self.state
    }
}
