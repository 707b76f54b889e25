//! Opens `memory` repositories.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::repository::{MemoryRepository, Shared};
use crate::{
    models::{Error, Options, Result},
    repository::{EventRepository, OpenRequest, RepositoryFactory},
};

/// Opens `memory` repositories. A connection is a name: the same name in the same factory is the
/// same repository, also after it was closed.
#[derive(Debug, Default)]
pub struct MemoryFactory {
    repositories: Mutex<BTreeMap<String, Arc<Shared>>>,
}

#[async_trait]
impl RepositoryFactory for MemoryFactory {
    fn normalise(&self, connection: &str, options: &Options) -> Result<String> {
        refuse_options(options)?;
        Ok(connection.to_owned())
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        let shared = Arc::clone(
            self.repositories
                .lock()
                .entry(request.connection)
                .or_default(),
        );
        Ok(Arc::new(MemoryRepository::new(
            shared,
            request.name,
            request.clock,
            request.read_only,
        )))
    }
}

/// There are none.
pub(super) fn refuse_options(options: &Options) -> Result<()> {
    match options.keys().next() {
        None => Ok(()),
        Some(key) => Err(Error::InvalidConfig {
            key: format!("option `{key}`"),
            reason: "the memory adapter has no options".to_owned(),
        }),
    }
}
