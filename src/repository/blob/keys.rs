//! What objects are called.
//!
//! Names are made of storage ids, numbers and random ids only: nothing that a caller gives stands in
//! one. Numbers have leading zeros, so that names sort as numbers do.

use object_store::path::Path;
use uuid::Uuid;

use crate::models::{Position, StorageId};

/// How many slots share one folder, so that what is behind a slot is found without listing all.
pub(super) const SLOTS_PER_FOLDER: u64 = 1000;

/// The names of a repository's objects.
#[derive(Clone, Debug)]
pub(super) struct RepositoryKeys {
    prefix: Path,
}

impl RepositoryKeys {
    pub(super) const fn new(prefix: Path) -> Self {
        Self { prefix }
    }

    fn under(&self, folder: &str) -> Path {
        self.prefix.clone().join(folder)
    }

    /// Where the descriptors of all storages are.
    pub(super) fn storages(&self) -> Path {
        self.under("storages")
    }

    /// Says that a storage is there, and whose it is.
    pub(super) fn descriptor(&self, storage: StorageId) -> Path {
        self.storages().join(storage.to_string())
    }

    /// Where the marks of removed storages are.
    pub(super) fn removals(&self) -> Path {
        self.under("removed")
    }

    /// Says that a storage was removed; what stops late writers is still there.
    pub(super) fn removal(&self, storage: StorageId) -> Path {
        self.removals().join(storage.to_string())
    }

    /// An object that is made, looked at and deleted again.
    pub(super) fn probe(&self) -> Path {
        self.under("probe").join(random().to_string())
    }

    pub(super) fn topic(&self, storage: StorageId) -> TopicKeys {
        TopicKeys {
            prefix: self.under("topics").join(storage.to_string()),
        }
    }
}

/// The names of a topic's objects.
#[derive(Clone, Debug)]
pub(super) struct TopicKeys {
    prefix: Path,
}

impl TopicKeys {
    pub(super) const fn all(&self) -> &Path {
        &self.prefix
    }

    pub(super) fn log(&self) -> Path {
        self.prefix.clone().join("log")
    }

    /// The folder in which a slot is.
    pub(super) fn folder(&self, slot: u64) -> Path {
        self.log().join(format!("{:017}", slot / SLOTS_PER_FOLDER))
    }

    pub(super) fn slot(&self, slot: u64) -> Path {
        self.folder(slot).join(format!("{slot:020}"))
    }

    pub(super) fn segments(&self) -> Path {
        self.prefix.clone().join("seg")
    }

    /// A new name for a segment that is to be in the manifest after `base`.
    pub(super) fn new_segment(&self, base: u64, before: Position, last: Position) -> Path {
        let name = format!(
            "{base:020}-{:020}-{:020}-{}",
            before.get(),
            last.get(),
            random().simple()
        );
        self.segments().join(name)
    }

    /// The segment of this name.
    pub(super) fn segment(&self, name: &str) -> Path {
        self.segments().join(name)
    }

    /// Tells how far the log was when its writer rested.
    pub(super) fn mark(&self) -> Path {
        self.prefix.clone().join("mark")
    }

    pub(super) fn manifests(&self) -> Path {
        self.prefix.clone().join("man")
    }

    pub(super) fn manifest(&self, number: u64) -> Path {
        self.manifests().join(format!("{number:020}"))
    }
}

/// The number with which the last part of a name begins.
pub(super) fn number_of(key: &Path) -> Option<u64> {
    let name = key.filename()?;
    name.split('-').next()?.parse().ok()
}

/// A random id.
pub(super) fn random() -> Uuid {
    Uuid::new_v4()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_numbers_do() {
        let keys = RepositoryKeys::new(Path::from("a/b")).topic(StorageId::CONFIGURATION);
        let mut before = keys.slot(0);
        for slot in [1, 9, 10, 999, 1000, 123_456, u64::MAX - 1] {
            let key = keys.slot(slot);
            assert!(before < key && keys.folder(slot) < key, "{key}");
            assert_eq!(number_of(&key), Some(slot));
            before = key;
        }
        let segment = keys.new_segment(7, Position::new(3), Position::new(9));
        assert_eq!(number_of(&segment), Some(7));
        assert!(segment.as_ref().starts_with("a/b/topics/"));
    }
}
