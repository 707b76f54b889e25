//! Opens topics on first use, each once, and removes them.
//!
//! Opening mends what a crash has left, so two must never open one topic at a time, also where the
//! first one was given up on: what excludes them is held on the thread that does the work.

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    disk::{self, unblock},
    follow::Follower,
    frame::epoch,
    group::Core,
    layout,
    log::{Log, Published, Role, Standing},
    options::FileOptions,
    recovery::{Opening, Recovered},
    search::Search,
    shared::Shared,
    writer::Writer,
};
use crate::models::{Error, Placement, Position, Result, StorageId, Timestamp};

/// The place of one topic among those that are open.
#[derive(Debug, Default)]
pub(super) struct LogCell {
    log: OnceLock<Arc<Log>>,
    /// Held while the topic is opened or removed; tells whether it was removed.
    changing: Mutex<bool>,
}

impl LogCell {
    fn removed() -> Self {
        Self {
            log: OnceLock::new(),
            changing: Mutex::new(true),
        }
    }

    /// The topic, where it is open.
    pub(super) fn get(&self) -> Option<Arc<Log>> {
        self.log.get().cloned()
    }
}

impl Shared {
    fn cell(&self, storage: StorageId) -> Arc<LogCell> {
        Arc::clone(self.logs.lock().entry(storage).or_default())
    }

    /// The log of a placement, which is opened on first use.
    pub(super) async fn log(self: &Arc<Self>, placement: &Placement) -> Result<Arc<Log>> {
        let cell = self.cell(placement.storage);
        if let Some(log) = cell.get() {
            return Ok(log);
        }
        let (shared, placement) = (Arc::clone(self), placement.clone());
        unblock(move || {
            let removed = cell.changing.lock();
            if let Some(log) = cell.get() {
                return Ok(log);
            }
            let closed = shared.closed.read();
            if *closed {
                return Err(Error::Closed);
            }
            if *removed {
                return Err(Error::TopicNotFound {
                    topic: placement.topic.to_string(),
                });
            }
            let log = shared.open_log(&placement)?;
            Ok(Arc::clone(cell.log.get_or_init(|| log)))
        })
        .await
    }

    /// Erases a storage. What is being written to it is finished first. Blocks.
    pub(super) fn remove(&self, storage: StorageId) -> Result<()> {
        let cell = self.cell(storage);
        let mut removed = cell.changing.lock();
        let closed = self.closed.read();
        if *closed {
            return Err(Error::Closed);
        }
        *removed = true;
        if let Some(log) = cell.get() {
            if let Role::Writes(writer) = &log.role {
                writer.core.lock().removed = true;
            }
            log.published
                .send_modify(|published| published.standing = Standing::Removed);
        }
        let path = layout::storage_path(&self.directory, storage);
        layout::erase_storage(&self.directory, storage)
            .map_err(|error| self.files.failed("erase", &path, error))?;
        // What is left tells a late call that the storage was removed, so that it does not make it anew.
        self.logs
            .lock()
            .insert(storage, Arc::new(LogCell::removed()));
        Ok(())
    }

    /// Makes the storage of a placement, if it is not there and never was removed. Blocks.
    pub(super) fn make(&self, placement: &Placement, now: Timestamp) -> Result<()> {
        let path = layout::storage_path(&self.directory, placement.storage);
        let cell = self.cell(placement.storage);
        let removed = cell.changing.lock();
        // Whoever closes waits for this: the next one to open the directory clears what is half made.
        let closed = self.closed.read();
        if *closed {
            return Err(Error::Closed);
        }
        if *removed {
            return Err(Error::TopicNotFound {
                topic: placement.topic.to_string(),
            });
        }
        let _one = self.making.lock();
        if path.is_dir() {
            return Ok(());
        }
        layout::make_storage(&self.directory, placement, now)
            .map_err(|error| self.files.failed("make", &path, error))
    }

    fn open_log(&self, placement: &Placement) -> Result<Arc<Log>> {
        let path = layout::storage_path(&self.directory, placement.storage);
        if !path.is_dir() {
            return Err(Error::TopicNotFound {
                topic: placement.topic.to_string(),
            });
        }
        let opening = Opening {
            topic: &placement.topic,
            storage: placement.storage,
            path: &path,
            files: &self.files,
            writes: self.writes(),
            others_write: !self.writes() && self.is_locked_by_others()?,
        };
        let recovered = opening.recover()?;
        self.notes.lock().extend(recovered.notes.iter().cloned());
        let published = watch::Sender::new(Published {
            head: recovered.head,
            sealed: recovered.sealed,
            parts: recovered.parts.clone().into(),
            standing: Standing::Open,
        });
        let role = if self.writes() {
            Role::Writes(Box::new(self.writer(placement, &path, recovered)?))
        } else {
            Role::Follows(Mutex::new(Follower::new(&recovered)))
        };
        Ok(Arc::new(Log {
            topic: placement.topic.clone(),
            storage: placement.storage,
            path,
            files: Arc::clone(&self.files),
            published,
            role,
            _lock: self.lock.clone(),
        }))
    }

    fn writer(&self, placement: &Placement, path: &Path, found: Recovered) -> Result<Writer> {
        let options = FileOptions::parse(&placement.options)?;
        let failed = |doing: &str, path: &Path, error| self.files.failed(doing, path, error);
        let file = disk::open_writable(&found.segment.path)
            .map_err(|error| failed("open", &found.segment.path, error))?;
        let mark_path = layout::mark_path(path);
        let seed = epoch(placement.storage, Position::START);
        let mark_file = match disk::open_writable(&mark_path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                layout::make_mark(path, placement.storage)
                    .and_then(|()| disk::sync_directory(path))
                    .and_then(|()| disk::open_writable(&mark_path))
            }
            opened => opened,
        };
        let mark_file = mark_file.map_err(|error| failed("open", &mark_path, error))?;
        found
            .mark
            .write(&mark_file, seed)
            .map_err(|error| failed("write", &mark_path, error))?;
        let core = Core {
            durable: found.end,
            synced: found.end,
            segment: found.segment,
            file,
            mark_file,
            mark: found.mark,
            head: found.head,
            sealed: found.sealed,
            sealed_since: Position::START,
            last_time: found.last_time,
            end: found.end,
            sync_pending: false,
            removed: false,
            search: Search::default(),
            buffer: Vec::new(),
        };
        Ok(Writer::new(core, Arc::clone(&self.committer), options))
    }

    /// Whether another process has the directory open to write.
    pub(super) fn is_locked_by_others(&self) -> Result<bool> {
        let path = layout::lock_path(&self.directory);
        disk::is_locked(&path).map_err(|error| self.files.failed("look at", &path, error))
    }
}
