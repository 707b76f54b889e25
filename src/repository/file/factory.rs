//! Opens `file` repositories.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;

use super::{options::FileOptions, repository::FileRepository, shared};
use crate::{
    models::{Error, Options, Result},
    repository::{EventRepository, OpenRequest, RepositoryFactory},
};

/// Opens `file` repositories. A connection is a directory, which is made where it is missing;
/// `file:` or `file://` may stand before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileFactory;

fn directory(connection: &str) -> Result<PathBuf> {
    let path = connection
        .strip_prefix("file://")
        .or_else(|| connection.strip_prefix("file:"))
        .unwrap_or(connection);
    let invalid = |reason: String| Error::InvalidConfig {
        key: "connection".to_owned(),
        reason,
    };
    if path.is_empty() || path.contains('\0') {
        return Err(invalid(
            "the connection of the file adapter is a directory, and may not be empty".to_owned(),
        ));
    }
    std::path::absolute(path)
        .map_err(|error| invalid(format!("{path:?} is not a directory: {error}")))
}

#[async_trait]
impl RepositoryFactory for FileFactory {
    fn normalise(&self, connection: &str, options: &Options) -> Result<String> {
        // A wrong option is said before a directory is made.
        FileOptions::parse(options)?;
        let absolute = directory(connection)?;
        // `/a/./b` is `/a/b`; `..` stays, because what it means depends on links.
        let plain: PathBuf = absolute.components().collect();
        Ok(plain.to_string_lossy().into_owned())
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        let directory = directory(&request.connection)?;
        let shared = if request.read_only {
            shared::open_to_read(directory, request.name.clone()).await?
        } else {
            shared::open_to_write(directory, request.name.clone()).await?
        };
        Ok(Arc::new(FileRepository::new(shared, request)))
    }
}
