//! What was handed to a connection and is not written to its socket yet.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// How many bytes a connection has to write. What it is given says so when it is let go of, which is
/// when the socket has taken it.
#[derive(Debug, Default)]
pub(super) struct Flight {
    given: AtomicU64,
    written: AtomicU64,
    freed: Notify,
}

/// Bytes that tell when they are let go of.
struct Sent {
    bytes: Bytes,
    flight: Arc<Flight>,
}

impl Flight {
    /// Gives bytes to the connection.
    pub(super) fn send(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.given.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Bytes::from_owner(Sent {
            bytes,
            flight: Arc::clone(self),
        })
    }

    /// How many bytes wait to be written.
    pub(super) fn waiting(&self) -> u64 {
        let written = self.written();
        self.given.load(Ordering::Relaxed).saturating_sub(written)
    }

    /// How many bytes were written in all.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Waits until some were written. To be asked by one.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let bytes = self.bytes.len() as u64;
        self.flight.written.fetch_add(bytes, Ordering::Release);
        self.flight.freed.notify_one();
    }
}
