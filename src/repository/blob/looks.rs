//! Looks at the end of a topic's log, and who shares them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared as SharedFuture},
};
use tokio::time::sleep;

use super::{core::Core, failure::Failure};

/// How often a topic is looked at for what others record, at most and at least.
const SHORTEST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_secs(1);
/// A look, which those who wait for it share.
pub(super) type Look = SharedFuture<BoxFuture<'static, Result<(), Failure>>>;

/// A look that is under way, and one that begins behind it.
#[derive(Debug, Default)]
pub(super) struct Looks {
    running: Option<Look>,
    next: Option<Look>,
}

impl Core {
    /// Looks at the end of the log. Those who ask while another look is under way wait for one that
    /// begins after they asked, and share it. It goes on also where nobody polls for it.
    pub(super) fn look(self: &Arc<Self>) -> Look {
        let mut looks = self.looks.lock();
        let under_way = looks.running.clone().filter(|one| one.peek().is_none());
        let Some(running) = under_way else {
            let look = looks.next.take().filter(|one| one.peek().is_none());
            let look = look.unwrap_or_else(|| self.spawn_look(None));
            looks.running = Some(look.clone());
            return look;
        };
        if let Some(next) = &looks.next {
            return next.clone();
        }
        let next = self.spawn_look(Some(running));
        looks.next = Some(next.clone());
        next
    }

    fn spawn_look(self: &Arc<Self>, after: Option<Look>) -> Look {
        let core = Arc::clone(self);
        let task = tokio::spawn(async move {
            if let Some(before) = after {
                // Whatever it found, this one looks for itself.
                drop(before.await);
                let mut looks = core.looks.lock();
                if let Some(next) = looks.next.take() {
                    looks.running = Some(next);
                }
            }
            core.catch_up().await
        });
        async move { task.await.unwrap_or(Err(Failure::Closed)) }
            .boxed()
            .shared()
    }

    /// Looks for what others record, for as long as somebody waits for it.
    pub(super) fn poll_while_awaited(self: &Arc<Self>) {
        if self.polling.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = Arc::clone(self);
        tokio::spawn(async move {
            let mut pause = SHORTEST_POLL;
            loop {
                sleep(pause).await;
                if core.seen.receiver_count() == 0 || *core.shared.closed.borrow() {
                    break;
                }
                let before = core.seen.borrow().head;
                // A store that is away is asked again later.
                drop(core.look().await);
                let moved = core.seen.borrow().head > before;
                pause = if moved {
                    SHORTEST_POLL
                } else {
                    (pause * 2).min(LONGEST_POLL)
                };
            }
            core.polling.store(false, Ordering::Release);
            // Somebody may have come just then.
            if core.seen.receiver_count() > 0 && !*core.shared.closed.borrow() {
                core.poll_while_awaited();
            }
        });
    }
}
