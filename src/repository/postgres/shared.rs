//! What all topics of a repository share: its sessions, and who is told of new events.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sqlx::{
    Arguments, AssertSqlSafe, Encode, PgConnection, Postgres, Type,
    postgres::{PgArguments, PgRow},
};
use tokio::sync::{Notify, oneshot, watch};

use super::{
    connection::Address,
    errors::{Failure, Kind},
    notifier::Notifier,
    sessions::{Lent, Sessions},
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
    /// The rows of a statement that changes nothing.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        sql: Arc<str>,
        arguments: Args,
    ) -> Result<Vec<PgRow>, Failure> {
        self.ask(sql, arguments).rows().await
    }

    /// Does work on a session for appends, in a task of its own: the caller may be dropped, and it is done
    /// or it is not.
    pub(super) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Failure>>
        + Send
        + 'static,
    ) -> Result<T, Failure> {
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move {
            let mut lent = shared.appends.take_live().await?;
            let done = work(&mut lent.session.connection).await;
            if done.is_ok() {
                shared.appends.give_back(lent);
            }
            done
        });
        let stopped = || Failure::new(Kind::Unreachable, "the runtime shuts down");
        task.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Begins a statement that changes nothing. Where the session turns out to have been closed while
    /// nobody used it, another one is asked.
    ///
    /// The work is done in a task of its own: the caller may be dropped, or never polled again.
    pub(super) fn ask(self: &Arc<Self>, sql: Arc<str>, arguments: Args) -> Asked {
        let shared = Arc::clone(self);
        let (mut reply, asked) = oneshot::channel();
        tokio::spawn(async move {
            let lent = tokio::select! {
                lent = shared.reads.take() => lent,
                // Nobody waits for a session who does not wait for rows.
                () = reply.closed() => return,
            };
            let rows = match (lent, arguments.into_inner()) {
                (Ok(lent), Ok(arguments)) => shared.rows(lent, sql, arguments).await,
                (Ok(lent), Err(failure)) => {
                    shared.reads.give_back(lent);
                    Err(failure)
                }
                (Err(failure), _) => Err(failure),
            };
            drop(reply.send(rows));
        });
        Asked(asked)
    }

    async fn rows(
        &self,
        lent: Lent,
        sql: Arc<str>,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, Failure> {
        let used_before = lent.used_before;
        match self.fetch_on(lent, &sql, arguments.clone()).await {
            Err(failure) if failure.kind == Kind::Lost && used_before => {
                let lent = self.reads.take_new().await?;
                self.fetch_on(lent, &sql, arguments).await
            }
            done => done,
        }
    }

    async fn fetch_on(
        &self,
        mut lent: Lent,
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

/// A statement whose rows are on their way. Where nobody waits for them any more, they are dropped.
#[derive(Debug)]
pub(super) struct Asked(oneshot::Receiver<Result<Vec<PgRow>, Failure>>);

impl Asked {
    pub(super) async fn rows(self) -> Result<Vec<PgRow>, Failure> {
        let stopped = || Failure::new(Kind::Unreachable, "the runtime shuts down");
        self.0.await.unwrap_or_else(|_| Err(stopped()))
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
