//! Hears of new heads from other processes, on a connection of its own.
//!
//! When the connection is lost, it is made anew, and whoever waits has a look at once: what was told
//! meanwhile was missed.

use std::{sync::Arc, time::Duration};

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::watch;

use super::{connection::Address, names::channel, notifier, shared::Heads};

/// How long it waits after a failure before it tries again.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Listens until the repository is closed or dropped.
pub(super) async fn listen(address: Address, heads: Arc<Heads>, mut closed: watch::Receiver<bool>) {
    tokio::select! {
        () = forever(&address, &heads) => {}
        // Also where nobody is left who could close.
        _ = closed.wait_for(|closed| *closed) => {}
    }
}

async fn forever(address: &Address, heads: &Heads) {
    let (mut pause, longest) = RETRY;
    loop {
        if let Ok(mut listener) = connect(address).await {
            pause = RETRY.0;
            heads.stir();
            while let Ok(Some(told)) = listener.try_recv().await {
                if let Some((storage, head)) = notifier::read(told.payload()) {
                    heads.tell(storage, head);
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = longest.min(pause * 2);
    }
}

async fn connect(address: &Address) -> Result<PgListener, sqlx::Error> {
    // The listener wants a pool; nobody else uses this one.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(address.settings.connect_timeout)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(address.options().clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(&channel(&address.catalog.schema)).await?;
    Ok(listener)
}
