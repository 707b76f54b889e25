//! What all handles of one repository share, in one process.
//!
//! The directory is locked by the process that writes to it, and the stores of that process share
//! the repository, so a repository that is written to is kept in a table of the process for as
//! long as a store has it open.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};

use super::{
    committer::Committer,
    disk::{self, unblock},
    journal::{self, Journal},
    layout,
    log::{Log, Role},
    open_log::LogCell,
    segment::Files,
    workers::Workers,
};
use crate::models::{Error, Result, StorageId};

/// One directory, opened.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: PathBuf,
    /// The lock of a process that writes; none for a reader. Every log that is open holds it too,
    /// so that it is not let go while one is still being written.
    pub(super) lock: Option<Arc<File>>,
    pub(super) logs: Mutex<HashMap<StorageId, Arc<LogCell>>>,
    pub(super) committer: Arc<Committer>,
    pub(super) files: Arc<Files>,
    /// How many handles are open.
    handles: Mutex<usize>,
    /// Held for reading while a topic is opened, and for writing to end that for good; both on
    /// threads that may block.
    pub(super) closed: RwLock<bool>,
    /// Held while a storage is made, on a thread that may block.
    pub(super) making: Mutex<()>,
    /// What was mended, for people.
    pub(super) notes: Mutex<Vec<String>>,
}

/// A repository of this process, by its directory.
type Slot = Arc<tokio::sync::Mutex<Opened>>;

/// What this process has opened last in a directory, to write.
#[derive(Debug, Default)]
struct Opened {
    shared: Weak<Shared>,
    /// Topics that are still being written hold the lock also after the repository was dropped.
    lock: Weak<File>,
}

static OPEN: Mutex<BTreeMap<PathBuf, Slot>> = Mutex::new(BTreeMap::new());

fn slot(directory: &Path) -> Slot {
    Arc::clone(OPEN.lock().entry(directory.to_owned()).or_default())
}

/// Opens a directory to write, or joins those of this process who have it open already.
pub(super) async fn open_to_write(directory: PathBuf, name: String) -> Result<Arc<Shared>> {
    let (made, repository) = (directory.clone(), name.clone());
    let directory = unblock(move || {
        layout::make_repository(&made)
            .and_then(|()| fs::canonicalize(&made))
            .map_err(|error| disk::unavailable(&repository, "make", &made, error))
    })
    .await?;
    let slot = slot(&directory);
    let mut open = slot.lock().await;
    let mut patience = GLIMPSE;
    if let Some(shared) = open.shared.upgrade() {
        if shared.join() {
            return Ok(shared);
        }
        // Its last handle is being closed, and whoever did that may have given up on it.
        shared.finish().await?;
    } else if open.lock.strong_count() > 0 {
        patience = PATIENCE;
    }
    let shared = unblock(move || Shared::lock(directory, name, patience)).await?;
    *open = Opened {
        shared: Arc::downgrade(&shared),
        lock: shared.lock.as_ref().map(Arc::downgrade).unwrap_or_default(),
    };
    Ok(shared)
}

/// Opens a directory to read. Where this process writes to it already, its state is shared.
pub(super) async fn open_to_read(directory: PathBuf, name: String) -> Result<Arc<Shared>> {
    let (asked, repository) = (directory.clone(), name.clone());
    let directory = unblock(move || {
        fs::canonicalize(&asked)
            .map_err(|error| disk::unavailable(&repository, "open", &asked, error))
    })
    .await?;
    let slot = slot(&directory);
    let open = slot.lock().await;
    if let Some(shared) = open.shared.upgrade().filter(|shared| shared.join()) {
        return Ok(shared);
    }
    let shared = unblock(move || {
        let shared = Shared::new(directory, name, None, 0);
        // Where another process writes, it has replayed the journal, and its segments are as good
        // as what is read here: both come from the memory of one machine.
        if !shared.is_locked_by_others()?
            && !journal::check(&shared.directory, &shared.files.repository)?
        {
            return Err(Error::RepositoryUnavailable {
                repository: shared.files.repository.clone(),
                reason:
                    "after a crash of the machine it has to be opened to write once, because a \
                         store that reads mends nothing"
                        .to_owned(),
                source: None,
            });
        }
        Ok(shared)
    });
    shared.await.map(Arc::new)
}

impl Shared {
    fn new(directory: PathBuf, name: String, lock: Option<Arc<File>>, journal: u64) -> Self {
        let workers = Workers::default();
        let journal = Journal::new(directory.clone(), workers.clone(), journal);
        let committer = Arc::new(Committer::new(journal, workers));
        Self {
            directory,
            lock,
            logs: Mutex::default(),
            committer,
            files: Arc::new(Files::new(name)),
            handles: Mutex::new(1),
            closed: RwLock::new(false),
            making: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// Locks the directory for this process, and clears what a crash has left.
    fn lock(directory: PathBuf, name: String, patience: Duration) -> Result<Arc<Self>> {
        let path = layout::lock_path(&directory);
        let failed = |doing: &str, error| disk::unavailable(&name, doing, &path, error);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| failed("open", error))?;
        let started = Instant::now();
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if started.elapsed() < patience => {
                    std::thread::sleep(POLL.0);
                }
                TryLockError::WouldBlock => {
                    return Err(Error::RepositoryLocked { repository: name });
                }
                TryLockError::Error(error) => return Err(failed("lock", error)),
            }
        }
        layout::clear_leftovers(&directory)
            .map_err(|error| failed("clear leftovers beside", error))?;
        // Before any topic is opened: its segments may lack what the journal holds.
        let (entries, newest) = journal::replay(&directory, &name)?;
        let sequence = Journal::clear(&directory, newest)
            .map_err(|error| failed("begin the journal anew beside", error))?;
        if entries > 0 {
            tracing::info!(repository = name, entries, "replayed the journal");
        }
        Ok(Arc::new(Self::new(
            directory,
            name,
            Some(Arc::new(file)),
            sequence,
        )))
    }

    /// Adds a handle; `false` where the last one was closed already.
    fn join(&self) -> bool {
        let mut handles = self.handles.lock();
        let open = *handles > 0;
        *handles += usize::from(open);
        open
    }

    /// Closes all topics once the last handle was taken away.
    pub(super) async fn finish_after_last(self: &Arc<Self>) -> Result<()> {
        let slot = slot(&self.directory);
        let alone = slot.lock().await;
        if *self.handles.lock() > 0 {
            return Ok(());
        }
        let finished = self.finish().await;
        drop(alone);
        finished
    }

    /// Takes a handle away.
    pub(super) fn abandon(&self) {
        let mut handles = self.handles.lock();
        *handles = handles.saturating_sub(1);
    }

    /// Finishes what was accepted, closes all topics, and lets go of the lock. Whoever calls it
    /// waits until that is done, also where another one has begun it.
    async fn finish(self: &Arc<Self>) -> Result<()> {
        let closing = Arc::clone(self);
        unblock(move || {
            *closing.closed.write() = true;
            Ok(())
        })
        .await?;
        let mut failure = None;
        for log in self.open_logs() {
            failure = failure.or(log.finish().await.err());
        }
        let whole = failure.is_none() && self.poisoned().is_none();
        if whole && self.writes() {
            self.finish_journal().await?;
        }
        if let Some(lock) = &self.lock {
            let path = layout::lock_path(&self.directory);
            lock.unlock()
                .map_err(|error| self.files.failed("unlock", &path, error))?;
        }
        failure.map_or(Ok(()), Err)
    }

    /// Everything is durable in its segment: the journal is not needed any more.
    async fn finish_journal(self: &Arc<Self>) -> Result<()> {
        let shared = Arc::clone(self);
        unblock(move || {
            let finished = shared.committer.journal.lock().finish();
            finished.map_err(|error| {
                shared
                    .files
                    .failed("finish the journal of", &shared.directory, error)
            })
        })
        .await
    }

    /// A topic that takes no appends any more after a failure, and why.
    pub(super) fn poisoned(&self) -> Option<String> {
        self.open_logs()
            .into_iter()
            .find_map(|log| match &log.role {
                Role::Writes(writer) => {
                    let why = writer.poisoned.lock().clone()?;
                    Some(format!("topic {}: {why}", log.topic))
                }
                Role::Follows(_) => None,
            })
    }

    pub(super) const fn writes(&self) -> bool {
        self.lock.is_some()
    }

    /// The topics that are open.
    pub(super) fn open_logs(&self) -> Vec<Arc<Log>> {
        self.logs
            .lock()
            .values()
            .filter_map(|cell| cell.get())
            .collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Whoever closed the repository in order has let go of the lock already; else it goes with
        // the file, once the last topic is written that holds it too. The table keeps no entry for
        // a directory that nobody has open; one that only reads is not in the table itself.
        self.logs.get_mut().clear();
        let own = usize::from(self.lock.is_some());
        let mut open = OPEN.lock();
        let unused = |slot: &Slot| {
            Arc::strong_count(slot) == 1
                && slot.try_lock().is_ok_and(|opened| {
                    opened.shared.strong_count() == 0 && opened.lock.strong_count() <= own
                })
        };
        if open.get(&self.directory).is_some_and(unused) {
            open.remove(&self.directory);
        }
    }
}

/// How long a follower that waits sleeps between two looks at the mark.
pub(super) const POLL: (Duration, Duration) =
    (Duration::from_millis(5), Duration::from_millis(250));

/// How long a store waits for one of the same process that was dropped and is still writing.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a store waits in any case: one that opens a topic to read holds the lock for a moment,
/// to see whether anybody writes.
const GLIMPSE: Duration = Duration::from_millis(50);
