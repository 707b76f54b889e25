//! Takes a lease, and gives back one that nobody waits for any more.

use std::{pin::pin, time::Duration};

use tokio::sync::oneshot;

use crate::{Consume, Consumer, Error, EventStore, Result};

/// How long the write of a lease may take that nobody waits for any more.
const FINISH: Duration = Duration::from_secs(2);

/// Takes the lease. Where this is dropped while it is just being taken, it is given back, and not left to
/// whoever comes next to be waited for.
pub(super) async fn lease(store: &EventStore, topic: &str, consume: Consume) -> Result<Consumer> {
    let (mut give, taken) = oneshot::channel();
    let (store, topic) = (store.clone(), topic.to_owned());
    tokio::spawn(async move {
        let mut taking = pin!(store.consume(&topic, consume));
        let leased = tokio::select! {
            leased = &mut taking => leased,
            () = give.closed() => match tokio::time::timeout(FINISH, taking).await {
                Ok(leased) => leased,
                Err(_) => return,
            },
        };
        drop(give.send(leased));
    });
    taken.await.unwrap_or(Err(Error::Closed))
}
