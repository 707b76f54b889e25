//! What all topics of a repository share: its sessions, and who is told of new events.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use sqlx::{
    Arguments, AssertSqlSafe, Encode, Postgres, Type,
    postgres::{PgArguments, PgRow},
};
use tokio::sync::{Notify, watch};

use super::{
    connection::Address,
    errors::{Failure, Kind},
    notifier::Notifier,
    sessions::Sessions,
};
use crate::models::{Clock, StorageId};

/// What is known in this process of a topic's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) head: u64,
    /// Whether the topic was removed.
    pub(super) gone: bool,
}

/// The heads of the topics that are open in this process.
#[derive(Debug, Default)]
pub(super) struct Heads {
    topics: Mutex<HashMap<StorageId, watch::Sender<Seen>>>,
    missed: Notify,
}

impl Heads {
    /// Where the head of a topic is told.
    pub(super) fn of(&self, storage: StorageId) -> watch::Sender<Seen> {
        self.topics.lock().entry(storage).or_default().clone()
    }

    /// Tells that a topic is at least so far.
    pub(super) fn tell(&self, storage: StorageId, head: u64) {
        let found = self.topics.lock().get(&storage).cloned();
        if let Some(seen) = found {
            seen.send_if_modified(|seen| {
                let further = head > seen.head;
                seen.head = seen.head.max(head);
                further
            });
        }
    }

    /// Tells that notifications may have been missed: whoever waits has a look.
    pub(super) fn stir(&self) {
        self.missed.notify_waiters();
    }

    /// Waits until notifications may have been missed.
    pub(super) async fn stirred(&self) {
        self.missed.notified().await;
    }

    /// Tells that a topic is gone.
    pub(super) fn forget(&self, storage: StorageId) {
        if let Some(seen) = self.topics.lock().remove(&storage) {
            seen.send_modify(|seen| seen.gone = true);
        }
    }
}

/// What all topics of a repository share.
#[derive(Debug)]
pub(super) struct Shared {
    /// What to call the repository.
    pub(super) name: String,
    pub(super) address: Address,
    pub(super) reads: Sessions,
    pub(super) appends: Sessions,
    pub(super) heads: Arc<Heads>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Shared {
    /// The rows of a statement that changes nothing. Where the session turns out to have been
    /// closed while nobody used it, another one is asked.
    ///
    /// The work is done in a task of its own: the caller may be dropped, or never polled again.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        sql: Arc<str>,
        arguments: Args,
    ) -> Result<Vec<PgRow>, Failure> {
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move {
            let arguments = arguments.into_inner()?;
            let lent = shared.reads.take().await?;
            let used_before = lent.used_before;
            let first = shared.fetch_on(lent, &sql, arguments.clone()).await;
            match first {
                Err(failure) if failure.kind == Kind::Lost && used_before => {
                    let lent = shared.reads.take_new().await?;
                    shared.fetch_on(lent, &sql, arguments).await
                }
                done => done,
            }
        });
        task.await
            .unwrap_or_else(|_| Err(Failure::new(Kind::Unreachable, "the runtime shuts down")))
    }

    async fn fetch_on(
        &self,
        mut lent: super::sessions::Lent,
        sql: &Arc<str>,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments);
        let asking = query.fetch_all(&mut lent.session.connection);
        let rows = match tokio::time::timeout(self.address.patience(), asking).await {
            Ok(rows) => rows.map_err(Failure::from),
            Err(_) => Err(Failure::timed_out("a statement")),
        };
        if rows.as_ref().err().is_none_or(Failure::spares_session) {
            self.reads.give_back(lent);
        }
        rows
    }
}

/// The arguments of a statement, or why they cannot be sent.
#[derive(Debug)]
pub(super) struct Args(Result<PgArguments, Failure>);

impl Args {
    pub(super) fn new() -> Self {
        Self(Ok(PgArguments::default()))
    }

    pub(super) fn with<'q, T: Encode<'q, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        if let Ok(arguments) = &mut self.0
            && let Err(error) = arguments.add(value)
        {
            self.0 = Err(Failure::new(
                Kind::Data,
                format!("an argument cannot be sent: {error}"),
            ));
        }
        self
    }

    pub(super) fn into_inner(self) -> Result<PgArguments, Failure> {
        self.0
    }
}
