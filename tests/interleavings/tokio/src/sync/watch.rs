//! `watch` with switches: before each use, and after those by which others learn of something.
//!
//! There is none while a value is borrowed, since the lock of tokio's channel is held then.

use std::{future::Future, pin::pin, task::Poll};

use ::tokio::sync::watch;
pub use ::tokio::sync::watch::{Ref, error};

/// Holds a value, and tells of each new one.
#[derive(Debug, Default)]
pub struct Sender<T>(watch::Sender<T>);

/// Sees the value.
#[derive(Clone, Debug)]
pub struct Receiver<T>(watch::Receiver<T>);

impl<T> Sender<T> {
    /// Holds a value.
    pub fn new(value: T) -> Self {
        Self(watch::Sender::new(value))
    }

    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        crate::switch();
        self.0.borrow()
    }

    /// One who sees the value, and has seen that of now.
    pub fn subscribe(&self) -> Receiver<T> {
        crate::switch();
        Receiver(self.0.subscribe())
    }

    /// How many see the value. No switch: it is asked while the value is changed.
    pub fn receiver_count(&self) -> usize {
        self.0.receiver_count()
    }

    /// Replaces the value.
    pub fn send_replace(&self, value: T) -> T {
        crate::switch();
        let before = self.0.send_replace(value);
        crate::switch();
        before
    }

    /// Replaces the value, where somebody sees it.
    pub fn send(&self, value: T) -> Result<(), error::SendError<T>> {
        crate::switch();
        let sent = self.0.send(value);
        crate::switch();
        sent
    }

    /// Changes the value, and tells of it where that is so.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        crate::switch();
        let modified = self.0.send_if_modified(modify);
        crate::switch();
        modified
    }
}

impl<T> Receiver<T> {
    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        crate::switch();
        self.0.borrow()
    }

    /// The value, which was seen then.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        crate::switch();
        self.0.borrow_and_update()
    }

    /// Takes the value that is there for seen.
    pub fn mark_unchanged(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits for a value that was not seen.
    pub async fn changed(&mut self) -> Result<(), error::RecvError> {
        switching(self.0.changed()).await
    }

    /// Waits for a value.
    pub async fn wait_for(
        &mut self,
        good: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, error::RecvError> {
        switching(self.0.wait_for(good)).await
    }
}

/// Switches before each poll.
async fn switching<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|context| -> Poll<F::Output> {
        crate::switch();
        future.as_mut().poll(context)
    })
    .await
}
