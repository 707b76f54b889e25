//! The gate that every call passes: it counts the calls under way, and closes for good.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

use crate::models::{Error, Result};

/// Set in the count once the gate is closed.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Counts the calls under way; after it is closed, none gets in.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicUsize,
    idle: Notify,
    closing: watch::Sender<bool>,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    /// Lets a call in.
    pub(crate) fn enter(&self) -> Result<Pass<'_>> {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        let pass = Pass(self);
        if before & CLOSED == 0 {
            Ok(pass)
        } else {
            Err(Error::Closed)
        }
    }

    /// Whether no further call is let in.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Waits until no further call is let in.
    pub(crate) async fn closing(&self) {
        // It fails where the sender is gone, and that is here.
        drop(self.closing.subscribe().wait_for(|closing| *closing).await);
    }

    /// Lets no further call in, and waits until those that are in have left.
    pub(crate) async fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        self.closing.send_replace(true);
        loop {
            let left = self.idle.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.state.load(Ordering::Acquire) == CLOSED {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(1, Ordering::AcqRel) == CLOSED + 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn closing_waits_for_those_inside_and_refuses_those_outside() {
        let gate = Arc::new(Gate::default());
        let pass = gate.enter().unwrap();
        let closing = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.close().await }
        });
        tokio::task::yield_now().await;
        while gate.enter().is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!closing.is_finished());
        drop(pass);
        closing.await.unwrap();
        gate.close().await;
        assert!(matches!(gate.enter(), Err(Error::Closed)));
    }
}
