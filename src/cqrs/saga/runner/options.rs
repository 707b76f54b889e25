//! How sagas are run.

use std::time::Duration;

use crate::Consume;

/// How sagas are run.
#[derive(Clone, Copy, Debug)]
pub struct SagaOptions {
    pub(super) concurrency: usize,
    pub(super) lease: Duration,
    pub(super) grace: Duration,
}

impl SagaOptions {
    /// 64 at once, with the lease of a [consumer](Consume::LEASE), and 10 s to finish at the end.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            concurrency: 64,
            lease: Consume::LEASE,
            grace: Duration::from_secs(10),
        }
    }

    /// Sets how many sagas do something at once. Those that wait do nothing; those beyond it wait in the
    /// log.
    #[must_use]
    pub const fn concurrency(mut self, sagas: usize) -> Self {
        self.concurrency = if sagas == 0 { 1 } else { sagas };
        self
    }

    /// Sets how long another runner waits after this one has died; see [`Consume::lease`].
    #[must_use]
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how long steps under way may take when the runner is closed. What takes longer is dropped, and
    /// called again by the next runner.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl Default for SagaOptions {
    fn default() -> Self {
        Self::new()
    }
}
