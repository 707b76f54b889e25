//! Tasks of shuttle, as tokio has them.

use std::{
    any::Any,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

pub use shuttle::future::yield_now;

/// A task.
#[derive(Debug)]
pub struct JoinHandle<T>(shuttle::future::JoinHandle<T>);

/// A task that was aborted. One that panics ends the schedule.
#[derive(Debug)]
pub struct JoinError;

/// Runs a task.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    crate::switch();
    JoinHandle(shuttle::future::spawn(future))
}

/// Gives up the turn, or goes on.
pub async fn consume_budget() {
    if crate::chance() {
        yield_now().await;
    } else {
        crate::switch();
    }
}

impl<T> JoinHandle<T> {
    /// Ends the task.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        crate::switch();
        self.0.is_finished()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map_err(|shuttle::future::JoinError::Cancelled| JoinError)
    }
}

impl JoinError {
    /// There is none.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        Err(self)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was aborted")
    }
}

impl std::error::Error for JoinError {}
