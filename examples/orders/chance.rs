//! Failures at random, from a seed.

use std::sync::atomic::{AtomicU64, Ordering};

/// What goes wrong with a call to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It does not reach the service.
    NotReached,
    /// The service does it, and its answer is lost.
    NoAnswer,
}

/// Decides by a seed what goes wrong.
#[derive(Debug)]
pub(crate) struct Chance {
    seed: u64,
    calls: AtomicU64,
}

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            seed,
            calls: AtomicU64::new(0),
        }
    }

    /// A number that follows from the seed and `what`, below `limit`.
    pub(crate) fn of(&self, what: &str, limit: u64) -> u64 {
        let start = mix(self.seed);
        let mixed = what
            .bytes()
            .fold(start, |mixed, byte| mix(mixed ^ u64::from(byte)));
        mixed % limit
    }

    /// Whether a service refuses an order for good: the same whenever it is asked.
    pub(crate) fn refuses(&self, service: &str, order: &str, percent: u64) -> bool {
        self.of(&format!("{service} refuses {order}"), 100) < percent
    }

    /// What goes wrong with this call: another thing for each.
    pub(crate) fn mishap(&self) -> Option<Mishap> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match mix(self.seed ^ mix(call)) % 100 {
            0..8 => Some(Mishap::NotReached),
            8..16 => Some(Mishap::NoAnswer),
            _ => None,
        }
    }
}

/// splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
const fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
