//! Keeps the write model up to date while somebody needs to hear of changes at once.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::WriteModel;
use crate::models::Error;

/// The first and the longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Keeps the write model up to date for as long as it is held.
#[derive(Debug)]
pub(crate) struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The one [`Following`] of a write model, where there is one.
pub(super) type Slot = Mutex<Weak<Following>>;

impl WriteModel {
    /// Keeps the model up to date for as long as what is returned is held: changes that other
    /// stores make are read when the repository tells of them.
    pub(crate) fn follow(self: &Arc<Self>) -> Arc<Following> {
        let mut slot = self.following.lock();
        match slot.upgrade() {
            // A task ends with its runtime, and another one may be asking.
            Some(following) if !following.0.is_finished() => following,
            _ => {
                let following = Arc::new(Following(tokio::spawn(follow(Arc::clone(self)))));
                *slot = Arc::downgrade(&following);
                following
            }
        }
    }
}

async fn follow(model: Arc<WriteModel>) {
    let (mut pause, longest) = RETRY;
    loop {
        let position = model.position();
        let waited = model.repository.wait_beyond(&model.placement, position);
        let refreshed = match waited.await {
            Ok(_) => model.refresh().await.map(drop),
            Err(error) => Err(error),
        };
        match refreshed {
            Ok(()) => pause = RETRY.0,
            Err(Error::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "the configuration stream cannot be followed; trying again");
                tokio::time::sleep(pause).await;
                pause = longest.min(pause * 2);
            }
        }
    }
}
