//! Pauses between tries.

use std::time::Duration;

/// Pauses that double, from the first to the longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// Those of one who waits for a store that is away.
    pub(super) const fn for_store() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(2))
    }

    pub(super) const fn reset(&mut self) {
        self.next = self.first;
    }

    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.longest);
        self.next = self.longest.min(pause.saturating_mul(2));
        pause
    }
}
