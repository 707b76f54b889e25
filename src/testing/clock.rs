//! A clock that stands still until it is told to move.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::models::{Clock, Timestamp};

/// A clock that stands still until it is set, forward or backward.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// A clock that stands at this moment.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_micros()))
    }

    /// Moves the clock by this many microseconds, backward where they are negative, and tells
    /// where it is then.
    pub fn advance(&self, micros: i64) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(micros, Ordering::SeqCst) + micros)
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::at(Timestamp::from_micros(1_800_000_000_000_000))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
