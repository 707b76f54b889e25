//! An object store that counts what it is asked, and that fails as stores over a network do.
#![allow(dead_code, reason = "what one program does not use another does")]

pub(crate) mod proxy;

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Request {
    Put,
    Get,
    List,
    Delete,
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, and nothing was done.
    NotDone,
    /// It is done, and fails.
    DoneAndFailed,
    /// It is done, and then said to have been there before: a client that tries again sees that.
    DoneAndThere,
    /// It is not done, and said to be there.
    ThereAndNot,
    /// It fails, and is done a while later.
    DoneLater(Duration),
    /// It is done and answered after a while.
    Slow(Duration),
}

type Faults = dyn Fn(Request, &Path) -> Option<Fault> + Send + Sync;

/// A store that is watched.
pub(crate) struct Watched {
    inner: Arc<dyn ObjectStore>,
    counts: Mutex<BTreeMap<(Request, String), u64>>,
    faults: RwLock<Option<Arc<Faults>>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.inner)
    }
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            counts: Mutex::default(),
            faults: RwLock::default(),
        })
    }

    /// What goes wrong from now on.
    pub(crate) fn set_faults(
        &self,
        faults: impl Fn(Request, &Path) -> Option<Fault> + Send + Sync + 'static,
    ) {
        *self.faults.write().unwrap() = Some(Arc::new(faults));
    }

    pub(crate) fn heal(&self) {
        *self.faults.write().unwrap() = None;
    }

    /// How often each kind of request was made since this was asked last, by folder: `log`, `seg`,
    /// `man` and others.
    pub(crate) fn take_counts(&self) -> BTreeMap<(Request, String), u64> {
        std::mem::take(&mut self.counts.lock().unwrap())
    }

    /// How many requests were made since this was asked last.
    pub(crate) fn take_total(&self) -> u64 {
        self.take_counts().values().sum()
    }

    fn count(&self, request: Request, key: &Path) -> Option<Fault> {
        let parts: Vec<_> = key.parts().collect();
        let folder = parts
            .iter()
            .map(AsRef::as_ref)
            .find(|part| ["log", "seg", "man", "probe", "storages", "removed"].contains(part))
            .unwrap_or("other");
        let mut counts = self.counts.lock().unwrap();
        *counts.entry((request, folder.to_owned())).or_default() += 1;
        drop(counts);
        let faults = self.faults.read().unwrap().clone();
        faults.and_then(|faults| faults(request, key))
    }
}

fn broken() -> Error {
    Error::Generic {
        store: "Watched",
        source: "the connection broke".into(),
    }
}

fn there(key: &Path) -> Error {
    Error::AlreadyExists {
        path: key.to_string(),
        source: "there is one".into(),
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(
        &self,
        key: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match self.count(Request::Put, key) {
            None => self.inner.put_opts(key, payload, options).await,
            Some(Fault::NotDone) => Err(broken()),
            Some(Fault::DoneAndFailed) => {
                drop(self.inner.put_opts(key, payload, options).await);
                Err(broken())
            }
            Some(Fault::DoneAndThere) => {
                drop(self.inner.put_opts(key, payload, options).await);
                Err(there(key))
            }
            Some(Fault::ThereAndNot) => Err(there(key)),
            Some(Fault::DoneLater(after)) => {
                let (inner, key) = (Arc::clone(&self.inner), key.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    drop(inner.put_opts(&key, payload, options).await);
                });
                Err(broken())
            }
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                self.inner.put_opts(key, payload, options).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match self.count(Request::Put, key) {
            None | Some(Fault::Slow(_)) => self.inner.put_multipart_opts(key, options).await,
            Some(_) => Err(broken()),
        }
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        match self.count(Request::Get, key) {
            None => self.inner.get_opts(key, options).await,
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                self.inner.get_opts(key, options).await
            }
            Some(_) => Err(broken()),
        }
    }

    async fn get_ranges(&self, key: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let _fault = self.count(Request::Get, key);
        self.inner.get_ranges(key, ranges).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.count(Request::Delete, &Path::default()) {
            None | Some(Fault::Slow(_)) => self.inner.delete_stream(keys),
            Some(_) => futures_util::stream::once(async { Err(broken()) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.count(Request::List, prefix.unwrap_or(&Path::default())) {
            None | Some(Fault::Slow(_)) => self.inner.list(prefix),
            Some(_) => futures_util::stream::once(async { Err(broken()) }).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.count(Request::List, prefix.unwrap_or(&Path::default())) {
            None | Some(Fault::Slow(_)) => self.inner.list_with_offset(prefix, offset),
            Some(_) => futures_util::stream::once(async { Err(broken()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.count(Request::List, prefix.unwrap_or(&Path::default())) {
            None | Some(Fault::Slow(_)) => self.inner.list_with_delimiter(prefix).await,
            Some(_) => Err(broken()),
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
