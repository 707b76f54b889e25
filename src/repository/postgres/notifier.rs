//! Tells other processes of new heads.
//!
//! A notification within the transaction that appends would make the server put all transactions of
//! all topics in one row (it takes a lock of the whole database until the commit is durable). So it
//! is sent afterwards, on a connection of its own, for all topics at once. It is a hint: whoever
//! waits looks from time to time in any case.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use sqlx::Connection;
use tokio::sync::{Notify, watch};

use super::{
    connection::{Address, Session},
    names::channel,
};
use crate::models::StorageId;

/// How long further heads are gathered after some were told.
const GATHER: Duration = Duration::from_millis(2);
/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// The heads that are to be told.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    pending: Mutex<BTreeMap<StorageId, u64>>,
    wake: Notify,
}

impl Notifier {
    /// Has the head of a topic told.
    pub(super) fn tell(&self, storage: StorageId, head: u64) {
        self.pending.lock().insert(storage, head);
        self.wake.notify_one();
    }

    /// Tells what is to be told until the repository is closed or dropped.
    pub(super) async fn run(self: Arc<Self>, address: Address, mut closed: watch::Receiver<bool>) {
        let mut session = None;
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                _ = closed.wait_for(|closed| *closed) => break,
            }
            if self.flush(&address, &mut session).await.is_err() {
                session = None;
                tokio::time::sleep(PAUSE).await;
            }
            tokio::time::sleep(GATHER).await;
        }
        // What was acknowledged last is told, too.
        let _ = self.flush(&address, &mut session).await;
        if let Some(session) = session {
            // The server closes its end in any case.
            drop(session.connection.close().await);
        }
    }

    async fn flush(&self, address: &Address, session: &mut Option<Session>) -> Result<(), ()> {
        let pending = std::mem::take(&mut *self.pending.lock());
        if pending.is_empty() {
            return Ok(());
        }
        let open = match session.take() {
            Some(open) => Ok(open),
            None => connect(address).await,
        };
        let told = match open {
            Ok(mut open) => {
                let told = tell(&mut open, &channel(&address.catalog.schema), &pending).await;
                *session = Some(open);
                told
            }
            Err(()) => Err(()),
        };
        if told.is_err() {
            let mut again = self.pending.lock();
            for (storage, head) in pending {
                again.entry(storage).or_insert(head);
            }
            self.wake.notify_one();
        }
        told
    }
}

async fn connect(address: &Address) -> Result<Session, ()> {
    let mut session = address.connect().await.map_err(drop)?;
    // Nothing is lost with a notification.
    sqlx::raw_sql("SET synchronous_commit = off")
        .execute(&mut session.connection)
        .await
        .map_err(drop)?;
    Ok(session)
}

async fn tell(
    session: &mut Session,
    channel: &str,
    pending: &BTreeMap<StorageId, u64>,
) -> Result<(), ()> {
    let payloads: Vec<_> = pending
        .iter()
        .map(|(storage, head)| format!("{storage}:{head}"))
        .collect();
    let telling = sqlx::query("SELECT pg_notify($1, p) FROM unnest($2::text[]) p")
        .bind(channel)
        .bind(payloads)
        .execute(&mut session.connection);
    match tokio::time::timeout(Duration::from_secs(10), telling).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(()),
    }
}

/// The topic and its head in a notification.
pub(super) fn read(payload: &str) -> Option<(StorageId, u64)> {
    let (storage, head) = payload.split_once(':')?;
    Some((storage.parse().ok()?, head.parse().ok()?))
}
