//! Sessions that are kept open, up to a number.
//!
//! Whoever uses one does so in a task of the repository's own, which nobody can drop halfway: so a
//! session that is given back is never inside a transaction, and never has answers left to come.
//! One on which something went wrong is not given back.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use sqlx::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    connection::{Address, Session},
    errors::{Failure, Kind},
};

/// A session that nobody has used for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// How long a close waits for sessions that are in use.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sessions of one kind.
pub(super) struct Sessions {
    address: Address,
    permits: Arc<Semaphore>,
    most: u32,
    /// The one that was used last is at the end. Held for moments only.
    idle: Mutex<Vec<(Session, Instant)>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("free", &self.permits.available_permits())
            .finish_non_exhaustive()
    }
}

/// A session in use. One that is dropped is closed.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) session: Session,
    /// Whether it was open before: the server may have closed it meanwhile.
    pub(super) used_before: bool,
    permit: OwnedSemaphorePermit,
}

impl Sessions {
    /// No more than `most`, of which one may be open.
    pub(super) fn new(address: Address, most: u32, open: Option<Session>) -> Self {
        Self {
            address,
            permits: Arc::new(Semaphore::new(most as usize)),
            most,
            idle: Mutex::new(
                open.map(|open| (open, Instant::now()))
                    .into_iter()
                    .collect(),
            ),
        }
    }

    /// A session that nobody else uses.
    pub(super) async fn take(&self) -> Result<Lent, Failure> {
        let permit = self.permit().await?;
        let kept = {
            let mut idle = self.idle.lock();
            let stale = idle.partition_point(|(_, since)| since.elapsed() > IDLE);
            idle.drain(..stale);
            idle.pop()
        };
        let used_before = kept.is_some();
        let session = match kept {
            Some((session, _)) => session,
            None => self
                .address
                .connect()
                .await
                .map_err(Failure::before_sending)?,
        };
        Ok(Lent {
            session,
            used_before,
            permit,
        })
    }

    /// A session that answers, for work that is not repeated when an old one turns out to be dead.
    pub(super) async fn take_live(&self) -> Result<Lent, Failure> {
        let mut lent = self.take().await?;
        if lent.used_before {
            let answer = tokio::time::timeout(PATIENCE, lent.session.connection.ping()).await;
            if !matches!(answer, Ok(Ok(()))) {
                drop(lent);
                return self.take_new().await;
            }
        }
        Ok(lent)
    }

    /// A session that is opened now.
    pub(super) async fn take_new(&self) -> Result<Lent, Failure> {
        self.idle.lock().clear();
        self.take().await
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let waiting = Arc::clone(&self.permits).acquire_owned();
        let patience =
            self.address.settings.connect_timeout + self.address.settings.statement_timeout;
        match tokio::time::timeout(patience, waiting).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Failure::new(Kind::Closed, "the repository is closed")),
            Err(_) => Err(Failure::new(Kind::Unreachable, "no connection is free")),
        }
    }

    /// Takes a session back that is as it was when it was lent.
    pub(super) fn give_back(&self, lent: Lent) {
        if !self.permits.is_closed() {
            self.idle.lock().push((lent.session, Instant::now()));
        }
        drop(lent.permit);
    }

    /// Lends no more sessions, and closes all of them. Those in use are waited for, since their
    /// work was begun before; for a bounded time.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(self.most);
        drop(tokio::time::timeout(PATIENCE, all).await);
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock());
        for (session, _) in idle {
            // The server closes its end in any case.
            drop(session.connection.close().await);
        }
    }
}
