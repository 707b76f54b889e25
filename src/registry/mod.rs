//! The repositories that are open, by `adapter:connection`.
//!
//! A repository is opened when it is first needed, once, however many need it at the same moment.
//! One that could not be opened is tried again when it is needed again, and until then shows in
//! the health report.

mod adapters;
mod connection;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use parking_lot::{Mutex, RwLock};
use tokio::sync::OnceCell;

pub(crate) use adapters::{Factories, built_in};

use crate::{
    models::{
        Clock, Error, HealthStatus, Options, Placement, RepositoryHealth, Result, StorageId,
        secrets::{is_reference, mask},
    },
    repository::{EventRepository, OpenRequest},
};

/// Tells the value of a `${NAME}`.
pub(crate) type Resolver = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A repository that does not tell how it is within this time is down.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// The repositories of one store.
pub(crate) struct Registry {
    factories: Factories,
    resolver: Resolver,
    clock: Arc<dyn Clock>,
    read_only: bool,
    /// In the order in which they were first needed: that of the configuration stream first.
    entries: Mutex<Vec<Arc<Entry>>>,
    /// The way of every append and read: from the storage straight to its repository.
    routes: RwLock<HashMap<StorageId, Arc<dyn EventRepository>>>,
}

/// One repository, open or not.
struct Entry {
    /// `adapter:connection`, resolved and normalised. It may contain secrets, so it is not shown.
    key: String,
    /// The same with secrets masked.
    name: String,
    cell: OnceCell<Arc<dyn EventRepository>>,
    /// Why it could not be opened last.
    failure: Mutex<Option<String>>,
}

impl Registry {
    pub(crate) fn new(
        factories: Factories,
        resolver: Resolver,
        clock: Arc<dyn Clock>,
        read_only: bool,
    ) -> Self {
        Self {
            factories,
            resolver,
            clock,
            read_only,
            entries: Mutex::default(),
            routes: RwLock::default(),
        }
    }

    /// The repository of a placement, opened if it is not.
    pub(crate) async fn get(&self, placement: &Placement) -> Result<Arc<dyn EventRepository>> {
        if let Some(repository) = self.routes.read().get(&placement.storage) {
            return Ok(Arc::clone(repository));
        }
        let repository = self.get_or_open(placement).await?;
        self.routes
            .write()
            .insert(placement.storage, Arc::clone(&repository));
        Ok(repository)
    }

    /// Forgets a repository that could not be opened and that nobody needs after all.
    pub(crate) fn discard(&self, placement: &Placement) {
        if let Ok(key) = self.key(placement) {
            self.entries
                .lock()
                .retain(|entry| entry.key != key || entry.cell.initialized());
        }
    }

    /// Forgets the way to a storage that was removed.
    pub(crate) fn forget(&self, storage: StorageId) {
        self.routes.write().remove(&storage);
    }

    /// The form under which the repository of a placement is kept; equal for equal places.
    pub(crate) fn key(&self, placement: &Placement) -> Result<String> {
        let factory = self
            .factories
            .get(&placement.adapter)
            .ok_or_else(|| adapters::unknown(&placement.adapter, &self.factories))?;
        let resolved = connection::resolve(&placement.connection, &*self.resolver)?;
        Ok(format!(
            "{}:{}",
            placement.adapter,
            factory.normalise(&resolved, &placement.options)?
        ))
    }

    /// What to call the repository of a placement, in which nothing is secret. What a `${NAME}`
    /// stands for may be a secret wherever it stands, so the name is shown; only where it is the
    /// whole connection, its form tells which part is the secret.
    fn shown(placement: &Placement, key: &str) -> String {
        let connection = &placement.connection;
        if connection.contains("${") && !is_reference(connection) {
            format!("{}:{}", placement.adapter, mask(connection))
        } else {
            mask(key)
        }
    }

    /// The repository of a placement, opened if it is not, for a call that is not about the
    /// placement's storage: that may be gone.
    pub(crate) async fn get_or_open(
        &self,
        placement: &Placement,
    ) -> Result<Arc<dyn EventRepository>> {
        let key = self.key(placement)?;
        let entry = {
            let mut entries = self.entries.lock();
            match entries.iter().find(|entry| entry.key == key) {
                Some(entry) => Arc::clone(entry),
                None => {
                    let name = Self::shown(placement, &key);
                    let entry = Entry {
                        key,
                        name,
                        cell: OnceCell::new(),
                        failure: Mutex::default(),
                    };
                    let entry = Arc::new(entry);
                    entries.push(Arc::clone(&entry));
                    entry
                }
            }
        };
        let opened = entry
            .cell
            .get_or_try_init(|| self.open(placement, &entry))
            .await;
        *entry.failure.lock() = opened.as_ref().err().map(explain);
        opened.map(Arc::clone)
    }

    async fn open(&self, placement: &Placement, entry: &Entry) -> Result<Arc<dyn EventRepository>> {
        let factory = self
            .factories
            .get(&placement.adapter)
            .ok_or_else(|| adapters::unknown(&placement.adapter, &self.factories))?;
        let request = OpenRequest {
            connection: connection::resolve(&placement.connection, &*self.resolver)?,
            name: entry.name.clone(),
            options: self.resolve_options(placement)?,
            read_only: self.read_only,
            clock: Arc::clone(&self.clock),
        };
        tracing::debug!(repository = %entry.name, "opening repository");
        let opened = factory.open(request).await;
        opened.map_err(|error| self.without_values(placement, error))
    }

    /// The error without what variables stand for: adapters tell of paths and hosts as they were resolved.
    fn without_values(&self, placement: &Placement, mut error: Error) -> Error {
        if let Error::RepositoryUnavailable { reason, .. } | Error::InvalidConfig { reason, .. } =
            &mut error
        {
            connection::unresolve(reason, &placement.connection, &*self.resolver);
            for value in placement.options.values() {
                connection::unresolve(reason, value, &*self.resolver);
            }
        }
        error
    }

    fn resolve_options(&self, placement: &Placement) -> Result<Options> {
        let resolve = |(key, value): (&String, &String)| {
            Ok((key.clone(), connection::resolve(value, &*self.resolver)?))
        };
        placement.options.iter().map(resolve).collect()
    }

    /// How every repository is that was ever needed.
    pub(crate) async fn health(&self) -> Vec<RepositoryHealth> {
        let entries = self.entries.lock().clone();
        join_all(entries.iter().map(|entry| entry.health())).await
    }

    /// Every repository that is open.
    pub(crate) fn open_repositories(&self) -> Vec<Arc<dyn EventRepository>> {
        self.entries
            .lock()
            .iter()
            .filter_map(|entry| entry.cell.get().cloned())
            .collect()
    }

    /// Closes all repositories, that of the configuration stream last. Tells the first failure,
    /// after all were tried.
    pub(crate) async fn close(&self) -> Result<()> {
        let mut failure = None;
        for repository in self.open_repositories().into_iter().rev() {
            failure = failure.or(repository.close().await.err());
        }
        failure.map_or(Ok(()), Err)
    }
}

impl Entry {
    async fn health(&self) -> RepositoryHealth {
        let down =
            |why: String| RepositoryHealth::new(&self.name, HealthStatus::Down).last_error(why);
        let Some(repository) = self.cell.get() else {
            let failure = self.failure.lock().clone();
            return down(failure.unwrap_or_else(|| "it is being opened".to_owned()));
        };
        match tokio::time::timeout(HEALTH_TIMEOUT, repository.health()).await {
            Ok(health) => health,
            Err(_) => down(format!("no answer within {} s", HEALTH_TIMEOUT.as_secs()))
                .latency(HEALTH_TIMEOUT),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .entries
            .lock()
            .iter()
            .map(|entry| entry.name.clone())
            .collect();
        f.debug_struct("Registry")
            .field("repositories", &names)
            .finish_non_exhaustive()
    }
}

/// An error with its causes, in one line.
fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
