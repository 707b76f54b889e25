//! How long to wait before something that failed is tried again.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// Pauses that grow, each by chance up to half longer or shorter, so that those who failed together
/// do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// What was tried has succeeded.
    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = self.longest.min(pause * 2);
        // The keys of every new state are random.
        let chance = RandomState::new().build_hasher().finish() % 1000;
        pause / 2 + pause * u32::try_from(chance).unwrap_or_default() / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for most in [150, 300, 600, 1200, 1500, 1500, 1500] {
            let pause = backoff.pause();
            assert!(pause < Duration::from_millis(most), "{pause:?}, {most}");
            assert!(pause >= Duration::from_millis(most / 3).min(Duration::from_millis(500)));
        }
        backoff.reset();
        assert!(backoff.pause() < Duration::from_millis(150));
    }
}
