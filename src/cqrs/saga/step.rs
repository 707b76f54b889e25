//! One step of a saga: what it does, how it is undone, and how often it is tried.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{StepContext, StepError};

/// What a step calls.
pub(super) type Action<D> =
    Arc<dyn Fn(StepContext, D) -> BoxFuture<'static, Result<D, StepError>> + Send + Sync>;

/// What a step makes of the payload of a signal.
pub(super) type Receive<D> = Arc<dyn Fn(D, &Value) -> Result<D, StepError> + Send + Sync>;

/// One step of a saga. See [`Saga`](super::Saga).
pub struct Step<D> {
    pub(super) name: String,
    pub(super) kind: Kind<D>,
    pub(super) compensation: Option<Action<D>>,
    pub(super) retry: Retry,
    pub(super) compensation_retry: Retry,
    pub(super) timeout: Duration,
}

/// What a step does.
pub(super) enum Kind<D> {
    Act(Action<D>),
    Wait(Arc<dyn Fn(&D) -> Duration + Send + Sync>),
    Signal {
        within: Duration,
        receive: Receive<D>,
    },
}

impl<D: Send + 'static> Step<D> {
    /// How long an attempt may take, unless another time is set.
    pub const TIMEOUT: Duration = Duration::from_secs(60);

    /// A step that calls something, and returns the data as they are then. It is called **at least once**:
    /// again where a crash, a timeout or an error has hidden how it went; always with the same
    /// [key](StepContext::idempotency_key).
    ///
    /// That it is begun is not recorded. So one that ends the whole process does that again at every
    /// start, without being counted or parked, until the definition is mended or the saga's stream is
    /// deleted; and a definition without a step finds out that a saga had begun it only where an attempt,
    /// or that it waits, is recorded. One that blocks its thread is not stopped by its timeout.
    pub fn new<F>(
        name: impl Into<String>,
        action: impl Fn(StepContext, D) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<D, StepError>> + Send + 'static,
    {
        let action: Action<D> = Arc::new(move |context, data| action(context, data).boxed());
        Self::of(name.into(), Kind::Act(action))
    }

    /// A step that lets time pass. When it is over is recorded, so that a restart does not begin it anew.
    pub fn wait(
        name: impl Into<String>,
        time: impl Fn(&D) -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self::of(name.into(), Kind::Wait(Arc::new(time)))
    }

    /// A step that waits for the first signal of its name, and puts what came with it into the data. The
    /// signal may have come before. It fails, and what was done is compensated, where none comes `within`
    /// this time from when the step is reached, or where `receive` returns an error of either kind.
    ///
    /// A payload that is no `P` parks the saga; it is read again when the saga is resumed, and no later
    /// signal takes its place.
    pub fn await_signal<P: DeserializeOwned>(
        name: impl Into<String>,
        within: Duration,
        receive: impl Fn(D, P) -> Result<D, StepError> + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        // An error that is no refusal is one of reading.
        let receive = move |data, payload: &Value| {
            let payload = P::deserialize(payload).map_err(StepError::retry)?;
            receive(data, payload).map_err(|error| StepError::fail(error.reason))
        };
        let receive: Receive<D> = Arc::new(receive);
        Self::of(name, Kind::Signal { within, receive })
    }

    fn of(name: String, kind: Kind<D>) -> Self {
        Self {
            name,
            kind,
            compensation: None,
            retry: Retry::default(),
            compensation_retry: Retry::new(10),
            timeout: Self::TIMEOUT,
        }
    }

    /// Sets how it is undone, where a later step fails; and where this one does, if it may have been done
    /// nevertheless: an attempt said [`retry`](StepError::retry), took too long or panicked, or the saga
    /// had come to this step before the runner was started, so that the one before it may have begun it.
    /// So it has to do no harm where there is nothing to undo. Without one, the step is left as it is.
    #[must_use]
    pub fn compensate<F>(
        mut self,
        compensation: impl Fn(StepContext, D) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<D, StepError>> + Send + 'static,
    {
        let action: Action<D> = Arc::new(move |context, data| compensation(context, data).boxed());
        self.compensation = Some(action);
        self
    }

    /// Sets how often it is tried.
    #[must_use]
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how often its compensation is tried, before the saga is parked. 10 times, unless set.
    #[must_use]
    pub const fn retry_compensation(mut self, retry: Retry) -> Self {
        self.compensation_retry = retry;
        self
    }

    /// Sets how long an attempt, of it or of its compensation, may take. One that takes longer is dropped,
    /// and counts as failed without anybody knowing what came of it.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<D> fmt::Debug for Step<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", &self.name)
            .field("compensated", &self.compensation.is_some())
            .field("retry", &self.retry)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// How often something is tried, and with which pauses: each is twice the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    attempts: u32,
    first: Duration,
    most: Duration,
}

impl Retry {
    /// Tried this many times at most, and once at least, with pauses from 100 ms up to a minute.
    #[must_use]
    pub const fn new(attempts: u32) -> Self {
        Self {
            attempts: if attempts == 0 { 1 } else { attempts },
            first: Duration::from_millis(100),
            most: Duration::from_secs(60),
        }
    }

    /// Tried once.
    #[must_use]
    pub const fn never() -> Self {
        Self::new(1)
    }

    /// Sets the first pause and the longest.
    #[must_use]
    pub const fn pauses(mut self, first: Duration, most: Duration) -> Self {
        self.first = first;
        self.most = most;
        self
    }

    /// The pause after so many attempts have failed; none where that were all.
    pub(super) fn pause(self, failed: u32) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let factor = 2_u32.saturating_pow(failed.saturating_sub(1));
        Some(self.first.saturating_mul(factor).min(self.most))
    }
}

impl Default for Retry {
    /// Five times.
    fn default() -> Self {
        Self::new(5)
    }
}
