//! The adapters that come with the crate: the one list of them.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    models::Error,
    repository::{RepositoryFactory, memory::MemoryFactory},
};

/// Adapters by name.
pub(crate) type Factories = BTreeMap<String, Arc<dyn RepositoryFactory>>;

/// The adapters that this build has.
pub(crate) fn built_in() -> Factories {
    let mut factories = Factories::new();
    factories.insert("memory".to_owned(), Arc::new(MemoryFactory::default()));
    #[cfg(feature = "file")]
    factories.insert(
        "file".to_owned(),
        Arc::new(crate::repository::file::FileFactory),
    );
    #[cfg(feature = "postgres")]
    factories.insert(
        "postgres".to_owned(),
        Arc::new(crate::repository::postgres::PostgresFactory),
    );
    #[cfg(feature = "blob")]
    factories.insert(
        "blob".to_owned(),
        Arc::new(crate::repository::blob::BlobFactory::default()),
    );
    factories
}

/// The adapters that a build may leave out, each a feature.
const OPTIONAL: [&str; 3] = ["blob", "file", "postgres"];

/// The error for an adapter that is not there.
pub(crate) fn unknown(adapter: &str, factories: &Factories) -> Error {
    let available: Vec<_> = factories.keys().map(|name| format!("`{name}`")).collect();
    let why = if OPTIONAL.contains(&adapter) {
        format!(": this build has not the feature `{adapter}`")
    } else {
        String::new()
    };
    Error::InvalidConfig {
        key: "adapter".to_owned(),
        reason: format!(
            "there is no adapter `{adapter}`{why}; available are {}",
            available.join(", ")
        ),
    }
}
