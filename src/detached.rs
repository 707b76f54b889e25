//! Lets work go on that nobody polls.
//!
//! A stream that was polled once may be left alone for as long as its owner likes. What it has begun
//! by then may hold what others wait for: a pass of the gate, the one refresh of the write model, the
//! one opening of a repository. So such work does not depend on being polled.

use std::{future::poll_fn, task::Poll};

use futures_util::future::BoxFuture;
use tokio::task::{JoinError, JoinHandle};

use crate::models::{Error, Result};

/// Ends a task that nobody waits for any more.
struct EndOnDrop<T>(JoinHandle<T>);

impl<T> Drop for EndOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Does the work at once where it need not wait, and else goes on with it in a task of its own,
/// which is ended when the future is dropped.
pub(crate) async fn detached<T: Send + 'static>(
    mut work: BoxFuture<'static, Result<T>>,
) -> Result<T> {
    // Most work is done by the first poll, and needs no task.
    let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    match first {
        Poll::Ready(done) => done,
        Poll::Pending => {
            let mut task = EndOnDrop(tokio::spawn(work));
            (&mut task.0)
                .await
                .unwrap_or_else(|error| Err(ended(error)))
        }
    }
}

/// A task ends before its work is done where it panics, which is passed on, or where the runtime is
/// shut down.
fn ended(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Error::Closed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use tokio::sync::{Mutex, oneshot};

    use super::*;

    #[tokio::test]
    async fn work_that_need_not_wait_is_done_at_once() {
        let done = detached(async { Ok(1) }.boxed()).now_or_never();
        assert!(matches!(done, Some(Ok(1))));
    }

    #[tokio::test]
    async fn work_goes_on_where_nobody_polls_it() {
        let held = Arc::new(Mutex::new(()));
        let (go, wait) = oneshot::channel();
        let work = Arc::clone(&held);
        let mut left = Box::pin(detached(
            async move {
                let _lock = work.lock().await;
                wait.await.map_err(|_| Error::Closed)
            }
            .boxed(),
        ));
        assert!(left.as_mut().now_or_never().is_none());
        assert!(held.try_lock().is_err());
        go.send(2).unwrap();
        drop(held.lock().await);
        assert_eq!(left.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn work_ends_when_it_is_dropped() {
        let held = Arc::new(Mutex::new(()));
        let work = Arc::clone(&held);
        let mut left = Box::pin(detached(
            async move {
                let _lock = work.lock().await;
                std::future::pending::<Result<()>>().await
            }
            .boxed(),
        ));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        drop(held.lock().await);
    }
}
