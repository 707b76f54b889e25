//! Lets other writers have their turn.
//!
//! Who has just won a slot is the first to know the next one, and would win for ever: whoever lost has
//! to read first. So after a number of slots in a row a writer rests for as long as four puts take.
//! Where nobody took the slot meanwhile it rests half as often the next time.

use std::time::Duration;

use tokio::time::sleep;

const FIRST_RUN: u32 = 4;
const LONGEST_RUN: u32 = 128;
const LONGEST_REST: Duration = Duration::from_millis(200);

/// How a writer takes turns with others.
#[derive(Debug)]
pub(super) struct Pace {
    run: u32,
    limit: u32,
    /// How long a put takes, about.
    put: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            run: 0,
            limit: FIRST_RUN,
            put: Duration::ZERO,
        }
    }
}

impl Pace {
    /// A slot was won.
    pub(super) async fn won(&mut self, took: Duration) {
        self.put = if self.put.is_zero() {
            took
        } else {
            (self.put * 7 + took) / 8
        };
        self.run += 1;
        if self.run >= self.limit {
            self.run = 0;
            self.limit = (self.limit * 2).min(LONGEST_RUN);
            sleep((self.put * 4).min(LONGEST_REST)).await;
        }
    }

    /// A slot was lost: there are others.
    pub(super) const fn lost(&mut self) {
        self.run = 0;
        self.limit = FIRST_RUN;
    }
}
