//! The topics of a repository that are open.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{catalog, errors::Failure, shared::Shared, topic::Topic, upgrade};
use crate::models::{Error, Placement, Result, StorageId};

/// The topics of a repository that are open.
#[derive(Debug)]
pub(super) struct Topics {
    shared: Arc<Shared>,
    read_only: bool,
    open: Mutex<HashMap<StorageId, Arc<Topic>>>,
}

impl Topics {
    pub(super) fn new(shared: Arc<Shared>, read_only: bool) -> Self {
        Self {
            shared,
            read_only,
            open: Mutex::default(),
        }
    }

    /// A topic. Where nobody has opened it yet, and an earlier build has made it, it is brought to the
    /// version of this one.
    pub(super) async fn open(&self, placement: &Placement) -> Result<Arc<Topic>> {
        if let Some(topic) = self.open.lock().get(&placement.storage) {
            return Ok(Arc::clone(topic));
        }
        let failed = |failure: Failure| failure.error(&self.shared.name, Some(&placement.topic));
        let found = catalog::find(&self.shared, placement.storage).await;
        let mut found = found.map_err(failed)?;
        if let Some(of) = &mut found
            && of.version < upgrade::VERSION
        {
            self.check_upgradable(placement, of.version)?;
            match self.upgrade(placement.storage).await.map_err(failed)? {
                Some(version) => of.version = version,
                None => found = None,
            }
        }
        let found = found.ok_or_else(|| Error::TopicNotFound {
            topic: placement.topic.to_string(),
        })?;
        if let Some(reason) = upgrade::too_new(found.version) {
            return Err(Error::InvalidConfig {
                key: format!("topic {}", placement.topic),
                reason: format!("its {} {reason}", found.names.place()),
            });
        }
        let mut open = self.open.lock();
        let topic = open
            .entry(placement.storage)
            .or_insert_with(|| Arc::new(Topic::new(&self.shared, placement, found.names)));
        Ok(Arc::clone(topic))
    }

    fn check_upgradable(&self, placement: &Placement, version: i32) -> Result<()> {
        if !self.read_only {
            return Ok(());
        }
        Err(Error::RepositoryUnavailable {
            repository: self.shared.name.clone(),
            reason: format!(
                "the topic {} is of version {version}, and this build works with {}; a store that is not read-only brings it there when it uses it first",
                placement.topic,
                upgrade::VERSION
            ),
            source: None,
        })
    }

    async fn upgrade(&self, storage: StorageId) -> Result<Option<i32>, Failure> {
        let catalog = self.shared.address.catalog.clone();
        let patience = self.shared.address.patience();
        let upgraded = self.shared.work(move |connection| {
            Box::pin(async move {
                let upgrading = upgrade::upgrade(connection, &catalog, storage);
                let upgraded = tokio::time::timeout(patience, upgrading).await;
                upgraded.unwrap_or_else(|_| Err(Failure::timed_out("upgrading a topic")))
            })
        });
        upgraded.await
    }

    /// What comes of a call, where the tables or functions of a topic may not have been there: the topic is
    /// gone, or another build has changed them, or they are damaged.
    pub(super) async fn settled<T>(&self, placement: &Placement, done: Result<T>) -> Result<T> {
        if !matches!(done, Err(Error::TopicNotFound { .. })) {
            return done;
        }
        self.forget(placement.storage);
        let failed = |failure: Failure| failure.error(&self.shared.name, Some(&placement.topic));
        let found = catalog::find(&self.shared, placement.storage).await;
        let Some(found) = found.map_err(failed)? else {
            return done;
        };
        let place = found.names.place();
        // What belongs to another version is not known.
        let whole = found.version != upgrade::VERSION
            || upgrade::is_whole(&self.shared, &found.names)
                .await
                .map_err(failed)?;
        if !whole {
            let reason =
                "the table of topics has it, and its tables and functions are not all there";
            return Err(Error::Corruption {
                place,
                reason: reason.to_owned(),
            });
        }
        Err(Error::RepositoryUnavailable {
            repository: self.shared.name.clone(),
            reason: format!(
                "the functions of {place} are not those that this build has found before, and its version is {} now; the next call looks again",
                found.version
            ),
            source: None,
        })
    }

    /// Looks again at the next call.
    pub(super) fn forget(&self, storage: StorageId) {
        self.open.lock().remove(&storage);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        self.open.lock().values().map(Arc::clone).collect()
    }
}
