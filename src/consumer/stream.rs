//! Consumers as users hold them.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use futures_core::Stream;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::watch;

use super::{Lease, lease::Standing};
use crate::{Commit, Error, Position, RecordedEvent, Result, Subscription};

/// A subscription that has a name, keeps how far it has come, and of which one instance goes on at a
/// time.
///
/// Process what it gives, then [`commit`](Self::commit). What was processed and not committed when an
/// instance dies, the next one gets again: **at least once**. Where the read model is in PostgreSQL,
/// the position can be committed with it, in one transaction: **exactly once**, see
/// `PostgresCheckpoints`.
///
/// **One instance**: who has lost the lease (it was paused for longer than the lease, say, and another
/// instance has taken over) can commit nothing more, and gets [`LeaseLost`](Error::LeaseLost) as its
/// last item.
pub struct Consumer {
    live: Subscription,
    lease: Lease,
    standing: watch::Receiver<Standing>,
    /// Waits for the standing to change.
    changing: Option<BoxFuture<'static, ()>>,
    ended: bool,
}

impl Consumer {
    pub(super) fn new(live: Subscription, lease: Lease) -> Self {
        Self {
            live,
            standing: lease.standing(),
            lease,
            changing: None,
            ended: false,
        }
    }

    /// The position up to which everything that matches was given.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.live.position()
    }

    /// Whether it has caught up.
    #[must_use]
    pub const fn is_caught_up(&self) -> bool {
        self.live.is_caught_up()
    }

    /// Records that all events that were given are processed.
    ///
    /// # Errors
    /// [`LeaseLost`](Error::LeaseLost) where another instance goes on: what was processed since the
    /// last commit, it processes again. [`RepositoryUnavailable`](Error::RepositoryUnavailable) and
    /// [`OutcomeUnknown`](Error::OutcomeUnknown): it can be tried again.
    pub async fn commit(&mut self) -> Result<()> {
        self.commit_to(self.position()).await
    }

    /// Records that all events up to a position are processed.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit); [`CheckpointConflict`](Error::CheckpointConflict) for a
    /// position before the one that was committed last.
    pub async fn commit_to(&mut self, position: Position) -> Result<()> {
        self.lease.commit(position, None).await
    }

    /// What proves that all events that were given are processed: to be written with a read model, in
    /// one transaction, in place of [`commit`](Self::commit).
    #[must_use]
    pub fn pending(&self) -> Commit {
        self.lease.pending(self.position())
    }

    /// Gives the lease back, so that another instance can go on at once. Who drops a consumer does so
    /// too, in the background.
    ///
    /// # Errors
    /// Where that could not be written: the lease ends by itself then.
    pub async fn release(self) -> Result<()> {
        self.lease.release().await
    }

    /// Ready where the lease is held.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            let standing = *self.standing.borrow_and_update();
            match standing {
                Standing::Lost => {
                    let Commit { consumer, .. } = self.pending();
                    return Poll::Ready(Err(Error::LeaseLost { consumer }));
                }
                Standing::Until(end) if Instant::now() < end => return Poll::Ready(Ok(())),
                // It could not be renewed in time, and perhaps it still can.
                Standing::Until(_) => {}
            }
            if self.poll_change(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut standing = self.standing.clone();
        let changing = self.changing.get_or_insert_with(|| {
            async move {
                drop(standing.changed().await);
            }
            .boxed()
        });
        let polled = changing.poll_unpin(context);
        if polled.is_ready() {
            self.changing = None;
        }
        polled
    }
}

impl Stream for Consumer {
    type Item = Result<RecordedEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = match self.poll_held(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => Some(Err(error)),
            Poll::Ready(Ok(())) => match Pin::new(&mut self.live).poll_next(context) {
                Poll::Ready(item) => item,
                // Whoever waits for an event hears also that the lease is lost.
                Poll::Pending => {
                    while self.poll_change(context).is_ready() {
                        if *self.standing.borrow_and_update() == Standing::Lost {
                            context.waker().wake_by_ref();
                        }
                    }
                    return Poll::Pending;
                }
            },
        };
        self.ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("subscription", &self.live)
            .finish_non_exhaustive()
    }
}
