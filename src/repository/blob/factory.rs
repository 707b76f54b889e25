//! Opens `blob` repositories.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{ObjectStore, memory::InMemory, path::Path};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    commit::{Outcome, put_or_lose},
    connection::{Address, Kind},
    desk::Caches,
    failure::Failure,
    keys::RepositoryKeys,
    objects::{Created, Objects},
    repository::BlobRepository,
    shared::Shared,
};
use crate::{
    models::{Error, Options, Result},
    repository::{EventRepository, OpenRequest, RepositoryFactory},
};

/// Opens `blob` repositories. A connection is a URL: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
/// `az://CONTAINER/PREFIX`, `file:///DIRECTORY` or `memory:///NAME`.
#[derive(Debug, Default)]
pub struct BlobFactory {
    /// Stores in memory, by name: the same name in the same factory is the same store.
    memory: Mutex<BTreeMap<String, Arc<InMemory>>>,
    given: Option<Arc<dyn ObjectStore>>,
}

impl BlobFactory {
    /// Repositories in a store that the application has made. Of a connection only the path counts,
    /// as a prefix within the store; its scheme may be any that this adapter knows.
    ///
    /// What is asked of the store has to be done once or not at all: a store that tries again by
    /// itself is one that this adapter copes with, and it does so faster without.
    #[must_use]
    pub fn with_store(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            memory: Mutex::default(),
            given: Some(store),
        }
    }

    fn stores(
        &self,
        address: &Address,
        read_only: bool,
    ) -> Result<(Arc<dyn ObjectStore>, Arc<dyn ObjectStore>)> {
        if let Some(given) = &self.given {
            return Ok((Arc::clone(given), Arc::clone(given)));
        }
        if address.kind == Kind::Memory {
            let name = address.prefix.to_string();
            let store = Arc::clone(self.memory.lock().entry(name).or_default());
            return Ok((Arc::clone(&store) as _, store));
        }
        address.stores(read_only)
    }
}

/// Whether the options of a topic are known and right.
pub(super) fn check_options(connection: &str, options: &Options) -> Result<()> {
    // A `${NAME}` in the connection was resolved when the repository was opened.
    if connection.contains("${") || options.values().any(|value| value.contains("${")) {
        return Ok(());
    }
    Address::new(connection, options).map(drop)
}

#[async_trait]
impl RepositoryFactory for BlobFactory {
    fn normalise(&self, connection: &str, options: &Options) -> Result<String> {
        Address::new(connection, options).map(|address| address.normal())
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        let address = Address::new(&request.connection, &request.options)?;
        let (once, again) = self.stores(&address, request.read_only)?;
        let objects = Objects {
            once,
            again,
            keys: RepositoryKeys::new(address.prefix.clone()),
            name: request.name,
        };
        let mut notes = Vec::new();
        if address.is_unencrypted() {
            notes.push("the store is spoken to without encryption".to_owned());
        }
        let shared = Arc::new(Shared {
            objects,
            caches: Caches::default(),
            settings: address.settings,
            clock: request.clock,
            read_only: request.read_only,
            closed: watch::Sender::new(false),
            notes,
        });
        let asking = Arc::clone(&shared);
        // A task of its own: what it makes to ask with is deleted also where the caller is dropped.
        let asked = tokio::spawn(async move { ask(&asking).await }).await;
        let refuses = asked.unwrap_or(Err(Failure::Closed));
        match refuses {
            Ok(true) => Ok(Arc::new(BlobRepository::new(shared))),
            Ok(false) => Err(Error::InvalidConfig {
                key: format!("connection {}", shared.objects.name),
                reason: "the store puts an object where there is one already, although it is told \
                         not to (conditional put, `If-None-Match: *`); without that no topic is \
                         safe in it"
                    .to_owned(),
            }),
            Err(failure) => Err(failure.error(&shared.objects.name, None)),
        }
    }
}

/// Whether the store refuses to put an object where one is. One that is only read need not.
async fn ask(shared: &Shared) -> Result<bool, Failure> {
    let objects = &shared.objects;
    if shared.read_only {
        let storages = objects.keys.storages();
        return objects.list(&storages, None).await.map(|_| true);
    }
    let key = objects.keys.probe();
    let refuses = puts_only_once(shared, &key).await;
    // Where it is not there, or cannot be deleted, what was found out is the same.
    drop(objects.delete(vec![key]).await);
    match refuses {
        Err(failure) if failure.is_not_supported() => Ok(false),
        refuses => refuses,
    }
}

async fn puts_only_once(shared: &Shared, key: &Path) -> Result<bool, Failure> {
    let objects = &shared.objects;
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    let patience = shared.settings.outcome_timeout;
    let is_own = |object: &Bytes| *object == first;
    match put_or_lose(objects, key, &first.clone().into(), is_own, patience).await {
        Outcome::Won => {}
        Outcome::Lost => return Ok(false),
        Outcome::Unknown(failure) | Outcome::NotSent(failure) => return Err(failure),
    }
    let again = objects.create(key, second.into()).await?;
    let there = objects.get(key).await?;
    Ok(again == Created::Exists && there.is_some_and(|object| object == first))
}
