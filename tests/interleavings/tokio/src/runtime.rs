//! The runtime that is there while shuttle runs a schedule.

use std::future::Future;

use crate::task::{self, JoinHandle};

/// Never made.
#[derive(Clone, Copy, Debug)]
pub struct TryCurrentError;

/// A handle of it.
#[derive(Clone, Copy, Debug)]
pub struct Handle;

impl Handle {
    /// It is always there.
    pub const fn try_current() -> Result<Self, TryCurrentError> {
        Ok(Self)
    }

    /// Runs a task.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        task::spawn(future)
    }
}
