//! The object store as this repository uses it: put if absent, get, list and delete; nothing else
//! is asked of it.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    WriteMultipart, path::Path,
};

use super::{failure::Failure, keys::RepositoryKeys};
use crate::models::Timestamp;

/// An object larger than this is sent in parts.
const PART: usize = 8 << 20;
/// How many requests are under way at once where there are many to make.
pub(super) const AT_ONCE: usize = 16;

/// What came of putting an object where none must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    Yes,
    /// One is there already. It may be our own, where an answer was lost on the way.
    Exists,
}

/// The object store.
#[derive(Debug)]
pub(super) struct Objects {
    /// Tries each request once: what came of it has to be known.
    pub(super) once: Arc<dyn ObjectStore>,
    /// Tries again by itself.
    pub(super) again: Arc<dyn ObjectStore>,
    pub(super) keys: RepositoryKeys,
    /// What to call the repository.
    pub(super) name: String,
}

impl Objects {
    /// Puts an object where none is. Tried once: after an error it may be there or not.
    pub(super) async fn create(&self, key: &Path, payload: PutPayload) -> Result<Created, Failure> {
        let options = PutOptions::from(PutMode::Create);
        match self.once.put_opts(key, payload, options).await {
            Ok(_) => Ok(Created::Yes),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(Created::Exists),
            Err(error) => Err(Failure::of("putting", key, error)),
        }
    }

    /// Puts an object of a name that nobody else uses.
    pub(super) async fn put(&self, key: &Path, bytes: Bytes) -> Result<(), Failure> {
        let failed = |error| Failure::of("putting", key, error);
        if bytes.len() <= 2 * PART {
            self.again.put(key, bytes.into()).await.map_err(failed)?;
            return Ok(());
        }
        let mut upload = self.upload(key).await?;
        upload.write(bytes).await?;
        upload.finish().await
    }

    /// Begins an object of a name that nobody else uses, which is there once it is finished.
    pub(super) async fn upload(&self, key: &Path) -> Result<Upload, Failure> {
        let upload = self.again.put_multipart(key).await;
        let upload = upload.map_err(|error| Failure::of("putting", key, error))?;
        Ok(Upload {
            key: key.clone(),
            parts: WriteMultipart::new_with_chunk_size(upload, PART),
        })
    }

    /// A whole object; none where it is not there.
    pub(super) async fn get(&self, key: &Path) -> Result<Option<Bytes>, Failure> {
        self.get_with_time(key)
            .await
            .map(|found| found.map(|(bytes, _)| bytes))
    }

    /// A whole object, and when it was made, by the store's clock.
    pub(super) async fn get_with_time(
        &self,
        key: &Path,
    ) -> Result<Option<(Bytes, ObjectMeta)>, Failure> {
        let got = async {
            let found = self.again.get_opts(key, GetOptions::default()).await?;
            let meta = found.meta.clone();
            Ok((found.bytes().await?, meta))
        };
        match got.await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Failure::of("getting", key, error)),
        }
    }

    /// A part of an object; none where it is not there.
    pub(super) async fn get_range(
        &self,
        key: &Path,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, Failure> {
        let length = range.end - range.start;
        match self.again.get_range(key, range).await {
            Ok(bytes) if bytes.len() as u64 == length => Ok(Some(bytes)),
            Ok(bytes) => Err(Failure::corrupt(
                key,
                format!(
                    "{length} bytes were asked for, and {} are there",
                    bytes.len()
                ),
            )),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Failure::of("getting", key, error)),
        }
    }

    /// How long an object is; none where it is not there.
    pub(super) async fn size(&self, key: &Path) -> Result<Option<u64>, Failure> {
        match self.again.head(key).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Failure::of("looking at", key, error)),
        }
    }

    /// What is in a folder, sorted by name; only what is after `after`, where that is given.
    pub(super) async fn list(
        &self,
        folder: &Path,
        after: Option<&Path>,
    ) -> Result<Vec<ObjectMeta>, Failure> {
        let listed = match after {
            Some(after) => self.again.list_with_offset(Some(folder), after),
            None => self.again.list(Some(folder)),
        };
        let listed: Result<Vec<_>, _> = listed.try_collect().await;
        let mut listed = listed.map_err(|error| Failure::of("listing", folder, error))?;
        listed.sort_unstable_by(|one, other| one.location.cmp(&other.location));
        Ok(listed)
    }

    /// What time it is by the clock of the store.
    pub(super) async fn now(&self) -> Result<Timestamp, Failure> {
        let key = self.keys.probe();
        self.put(&key, Bytes::from_static(b"now")).await?;
        let looked = self.again.head(&key).await;
        self.delete(vec![key.clone()]).await?;
        match looked {
            Ok(meta) => Ok(made_at(&meta)),
            Err(error) => Err(Failure::of("looking at", &key, error)),
        }
    }

    /// The folders in a folder, sorted by name.
    pub(super) async fn folders(&self, folder: &Path) -> Result<Vec<Path>, Failure> {
        let listed = self.again.list_with_delimiter(Some(folder)).await;
        let listed = listed.map_err(|error| Failure::of("listing", folder, error))?;
        let mut folders = listed.common_prefixes;
        folders.sort_unstable();
        Ok(folders)
    }

    /// Deletes objects; those that are not there are no failure.
    pub(super) async fn delete(&self, keys: Vec<Path>) -> Result<(), Failure> {
        let last = keys.last().cloned().unwrap_or_default();
        let keys = stream::iter(keys.into_iter().map(Ok)).boxed();
        let mut deleted = self.again.delete_stream(keys);
        while let Some(one) = deleted.next().await {
            match one {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(Failure::of("deleting", &last, error)),
            }
        }
        Ok(())
    }
}

/// When an object was made, by the clock of the store.
pub(super) fn made_at(meta: &ObjectMeta) -> Timestamp {
    Timestamp::from_micros(meta.last_modified.timestamp_micros())
}

/// An object on its way.
#[derive(Debug)]
pub(super) struct Upload {
    key: Path,
    parts: WriteMultipart,
}

impl Upload {
    /// Sends more. No more than a few parts are in memory.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let room = self.parts.wait_for_capacity(2).await;
        room.map_err(|error| Failure::of("putting", &self.key, error))?;
        self.parts.put(bytes);
        Ok(())
    }

    pub(super) async fn finish(self) -> Result<(), Failure> {
        let done = self.parts.finish().await;
        done.map(drop)
            .map_err(|error| Failure::of("putting", &self.key, error))
    }
}
