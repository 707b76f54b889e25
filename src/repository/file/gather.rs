//! How long a writer waits for more before it writes the next group.
//!
//! Clients that append one after the other come back as soon as they are answered, each a little
//! later than the one before. Whoever writes at once writes the first of them alone, and all
//! others wait for two syncs instead of one. So a writer whose last group had company waits a
//! moment, much less than a sync takes, for as many as there were before. Where they do not come,
//! because clients take their time, it soon stops waiting.

use std::{
    thread,
    time::{Duration, Instant},
};

/// The longest wait.
const LONGEST: Duration = Duration::from_micros(100);
/// How often a wait may be in vain before no more are tried, but for a probe now and then.
const PATIENCE: u32 = 4;
/// Every so many groups a wait is tried all the same.
const PROBE: u32 = 32;

/// What the last groups taught.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// Waits in vain, less those that paid.
    vain: u32,
    /// Groups since a wait was tried.
    skipped: u32,
}

impl Gather {
    /// Waits until `clients` requests are `waiting`, if it is worth it. `clients` is how many there
    /// were when the last group was answered, in it or behind it; `sync` is how long its sync took.
    pub(super) fn wait(&mut self, clients: usize, sync: Duration, waiting: impl Fn() -> usize) {
        self.wait_at_most((sync / 2).min(LONGEST), clients, waiting);
    }

    fn wait_at_most(&mut self, longest: Duration, clients: usize, waiting: impl Fn() -> usize) {
        if clients < 2 || waiting() >= clients {
            return;
        }
        if self.vain >= PATIENCE && self.skipped < PROBE {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        let end = Instant::now() + longest;
        loop {
            if waiting() >= clients {
                self.vain = self.vain.saturating_sub(1);
                return;
            }
            if Instant::now() >= end {
                // Most of them are as good as all.
                let most = waiting() * 4 >= clients * 3;
                self.vain = if most {
                    self.vain.saturating_sub(1)
                } else {
                    (self.vain + 1).min(PATIENCE)
                };
                return;
            }
            // What is waited for may need this very core.
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SYNC: Duration = Duration::from_micros(200);

    #[test]
    fn it_waits_for_as_many_as_there_were_and_no_longer() {
        let asked = Cell::new(0);
        let waiting = || {
            asked.set(asked.get() + 1);
            usize::from(asked.get() > 5) * 3
        };
        Gather::default().wait_at_most(Duration::from_secs(60), 3, waiting);
        assert!(asked.get() > 5);
    }

    #[test]
    fn one_client_never_waits() {
        let asked = Cell::new(0);
        let waiting = || {
            asked.set(asked.get() + 1);
            0
        };
        Gather::default().wait(1, SYNC, waiting);
        assert_eq!(asked.get(), 0);
    }

    #[test]
    fn where_nobody_comes_it_stops_waiting_but_for_a_probe() {
        let mut gather = Gather::default();
        let mut waited = 0;
        for _ in 0..PATIENCE + 2 * (PROBE + 1) {
            let asked = Cell::new(0);
            gather.wait(3, SYNC, || {
                asked.set(asked.get() + 1);
                0
            });
            waited += u32::from(asked.get() > 2);
        }
        assert_eq!(waited, PATIENCE + 2);
    }
}
