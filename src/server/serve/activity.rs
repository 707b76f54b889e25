//! What a connection is at, so that one that does nothing can be closed.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::server::ServerLimits;

/// What a connection is at.
#[derive(Debug)]
pub(super) struct Activity(Mutex<Phase>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come since the last answer was sent.
    Idle(Instant),
    /// Something has come since then that is not a whole request yet.
    Head(Instant),
    /// As many requests are worked on, or answered.
    Busy(u32),
}

/// Whether a connection may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may, and is to be asked again after this time.
    Ask(Duration),
    /// It has been idle for too long.
    Idle,
    /// The headers of a request take too long to come.
    SlowHead,
}

impl Activity {
    /// Of a connection that was just accepted: its first request is awaited.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Phase::Head(Instant::now())))
    }

    /// Bytes have come.
    pub(super) fn received(&self) {
        let mut phase = self.0.lock();
        if let Phase::Idle(_) = *phase {
            *phase = Phase::Head(Instant::now());
        }
    }

    /// A request has come; it is worked on until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        let mut phase = self.0.lock();
        *phase = match *phase {
            Phase::Busy(requests) => Phase::Busy(requests.saturating_add(1)),
            Phase::Idle(_) | Phase::Head(_) => Phase::Busy(1),
        };
        Busy(Arc::clone(self))
    }

    fn end(&self) {
        let mut phase = self.0.lock();
        *phase = match *phase {
            Phase::Busy(requests) if requests > 1 => Phase::Busy(requests - 1),
            _ => Phase::Idle(Instant::now()),
        };
    }

    pub(super) fn judge(&self, limits: &ServerLimits) -> Verdict {
        // An idle connection can begin to send a head at any time.
        let often = limits.header_timeout.min(limits.keep_alive);
        let left = |since: Instant, limit: Duration| limit.saturating_sub(since.elapsed());
        let (left, late) = match *self.0.lock() {
            Phase::Idle(since) => (left(since, limits.keep_alive), Verdict::Idle),
            Phase::Head(since) => (left(since, limits.header_timeout), Verdict::SlowHead),
            Phase::Busy(_) => (often, Verdict::Idle),
        };
        if left.is_zero() {
            return late;
        }
        Verdict::Ask(left.min(often))
    }
}

/// A request that is worked on, or whose answer is being sent.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.end();
    }
}
