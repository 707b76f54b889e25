//! Builds a model in memory anew, and puts it in the place of the one before.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::{
    super::{
        Rebuild,
        board::{heads, stopped},
    },
    ReadModel,
    feed::Fed,
    shared::Shared,
};
use crate::Result;

pub(super) fn rebuild<M: ReadModel>(shared: &Arc<Shared<M>>) -> Rebuild {
    let fed = shared.start();
    let board = Arc::clone(&fed.core.board);
    let store = shared.store().clone();
    let (tell, told) = oneshot::channel();
    // The model ends with its last handle, also while it is rebuilt.
    let weak = Arc::downgrade(shared);
    let rebuilding = tokio::spawn(async move {
        drop(tell.send(build(weak, fed).await));
    });
    let before = shared.rebuilding.lock().replace(rebuilding.abort_handle());
    if let Some(before) = before {
        before.abort();
    }
    Rebuild::new(store, board, told)
}

async fn build<M: ReadModel>(shared: Weak<Shared<M>>, fed: Arc<Fed<M>>) -> Result<()> {
    let board = Arc::clone(&fed.core.board);
    let upgrade = || {
        let shared = shared.upgrade();
        shared.ok_or_else(|| stopped(board.name(), None))
    };
    let targets = targets(&*upgrade()?).await?;
    board.reach_all(&targets).await?;
    let shared = upgrade()?;
    let before = shared.current();
    if before.core.board.is_stopped() {
        shared.switch(fed);
        return Ok(());
    }
    // The one before stands still until the new one is where it is, so that no reader is taken back. If
    // that fails, it goes on.
    let (_held, targets) = before.core.hold();
    board.reach_all(&targets).await?;
    shared.switch(fed);
    Ok(())
}

/// How far the new one has to come before it is worth looking closer.
async fn targets<M: ReadModel>(shared: &Shared<M>) -> Result<Vec<(String, crate::Position)>> {
    let before = shared.current();
    if before.core.board.is_stopped() {
        return heads(shared.store(), shared.topics()).await;
    }
    Ok(before.core.board.positions())
}
