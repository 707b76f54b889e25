//! Where the time comes from.

use std::{fmt, time::SystemTime};

use super::Timestamp;

/// Tells the time at which events are recorded. Give one of your own to make tests repeatable.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The moment now. It may run backwards: a repository never lets `recorded_at` do so.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}
