//! Waits until a topic has more. However many wait, one of them at a time has a look, for all.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::Row;

use super::{
    codec::number,
    errors::{Failure, Kind},
    shared::{Args, Shared},
    topic::Core,
};

/// How long nobody who waits has a look, unless something is told.
const POLL: Duration = Duration::from_millis(750);

/// Waits until the topic is beyond a position, and returns its head.
pub(super) async fn wait(
    shared: &Arc<Shared>,
    core: &Arc<Core>,
    position: u64,
) -> Result<u64, Failure> {
    let mut seen = core.seen.subscribe();
    // What was recorded before is to be found: a look that began earlier does not count.
    let mut since = Instant::now();
    loop {
        let told = *seen.borrow_and_update();
        if told.gone {
            return Err(Failure::new(Kind::Gone, "it was removed"));
        }
        if told.head > position {
            return Ok(told.head);
        }
        look(shared, core, since).await?;
        let told = *seen.borrow();
        if told.gone || told.head > position {
            continue;
        }
        since = Instant::now();
        // One who was told of something that is not enough for him need not ask.
        tokio::select! {
            _ = seen.wait_for(|seen| seen.gone || seen.head > position) => {}
            () = shared.heads.stirred() => since = Instant::now(),
            // Others may have had a look meanwhile, and have told what they found.
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Has a look at the head, and tells it, unless somebody has begun to do so after `since`.
///
/// It is done in a task: who waits may be dropped, or never polled again, while others wait for him.
async fn look(shared: &Arc<Shared>, core: &Arc<Core>, since: Instant) -> Result<(), Failure> {
    let (shared, core) = (Arc::clone(shared), Arc::clone(core));
    let task = tokio::spawn(async move {
        let mut looked = core.looked.lock().await;
        if looked.is_some_and(|at| at > since) {
            return Ok(());
        }
        let begun = Instant::now();
        let arguments = Args::new().with(None::<&str>);
        let rows = shared.fetch(Arc::clone(&core.sql.state), arguments).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        shared.heads.tell(core.storage, number(row.try_get(1)?));
        *looked = Some(begun);
        Ok(())
    });
    task.await
        .unwrap_or_else(|_| Err(Failure::new(Kind::Unreachable, "the runtime shuts down")))
}
