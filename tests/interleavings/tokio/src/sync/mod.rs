//! Tokio's own channels and locks, with switches around what is done with them.

pub use ::tokio::sync::{
    MutexGuard, OnceCell, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot,
};

mod notify;
pub mod watch;

pub use notify::{Notified, Notify};

/// A lock that is held over awaits.
#[derive(Debug, Default)]
pub struct Mutex<T>(::tokio::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock that nobody holds.
    pub fn new(value: T) -> Self {
        Self(::tokio::sync::Mutex::new(value))
    }

    /// Waits for it.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        crate::switch();
        self.0.lock().await
    }
}
