//! The queue of a topic's writer: who waits to have something written, and who writes it.
//!
//! A request is put into the queue, and if nobody is writing, the topic is ready for the next round
//! of the committer. That takes all that waits, writes it as one group, and looks again, until
//! nothing waits. So there is one writer at a time, no thread for a topic that rests, and a group
//! grows as large as what arrives while the one before it is written.

use std::{collections::VecDeque, io, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use uuid::Uuid;

use super::{
    committer::Committer,
    group::Core,
    log::{Log, Published, Role, Standing},
    options::{FileOptions, SyncMode},
};
use crate::{
    models::{AppendReceipt, Error, Position, Result, Timestamp},
    repository::{
        AppendBatch,
        import::{Rest, Written},
    },
};

/// How many bytes may wait to be written. Who has more waits until there is room.
const ROOM: usize = 64 << 20;
/// The most requests that are written together.
const GROUP_REQUESTS: usize = 4096;
/// A group is full when its requests have this many bytes.
const GROUP_BYTES: usize = 16 << 20;

/// The writer of a topic.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Queue>,
    /// Bounds what waits, in bytes.
    room: Arc<Semaphore>,
    /// What the thread that writes works on. Locked for a whole group: nobody but that thread, and
    /// who removes the topic, ever wants it.
    pub(super) core: Mutex<Core>,
    pub(super) committer: Arc<Committer>,
    pub(super) options: Mutex<FileOptions>,
    /// Why nothing can be written any more, for the health report.
    pub(super) poisoned: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Request>,
    /// How many bytes they have.
    bytes: usize,
    /// Whether a thread has the topic.
    running: bool,
    closed: bool,
}

/// Something to be written, and whom to tell.
#[derive(Debug)]
pub(super) enum Request {
    Append {
        batch: Arc<AppendBatch>,
        now: Timestamp,
        reply: oneshot::Sender<Result<AppendReceipt>>,
        permit: OwnedSemaphorePermit,
    },
    Import {
        rest: Rest,
        reply: oneshot::Sender<Result<Written>>,
        permit: OwnedSemaphorePermit,
    },
    Seal {
        sealed: bool,
        since: Position,
        reply: oneshot::Sender<Result<Position>>,
    },
    /// What was written without a sync is due to be synced.
    Sync,
    /// The last request before the topic is closed.
    Finish {
        reply: oneshot::Sender<Result<Position>>,
    },
}

impl Request {
    /// Whether it may add to the log.
    pub(super) const fn writes(&self) -> bool {
        matches!(
            self,
            Self::Append { .. } | Self::Import { .. } | Self::Seal { .. }
        )
    }

    /// The ids of the events that are to be appended.
    pub(super) fn ids(&self) -> impl Iterator<Item = Uuid> {
        let events = match self {
            Self::Append { batch, .. } => batch.events.as_slice(),
            _ => &[],
        };
        events.iter().map(|event| event.id)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Append { permit, .. } | Self::Import { permit, .. } => permit.num_permits(),
            _ => 0,
        }
    }
}

impl Writer {
    pub(super) fn new(core: Core, committer: Arc<Committer>, options: FileOptions) -> Self {
        Self {
            queue: Mutex::default(),
            room: Arc::new(Semaphore::new(ROOM)),
            core: Mutex::new(core),
            committer,
            options: Mutex::new(options),
            poisoned: Mutex::default(),
        }
    }

    /// Waits until there is room for this many bytes.
    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let permits = bytes.clamp(1, ROOM) as u32;
        Arc::clone(&self.room)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| Error::Closed)
    }

    /// How many bytes wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.queue.lock().bytes
    }

    /// Takes what is to be written together.
    pub(super) fn take_group(&self) -> Vec<Request> {
        let mut queue = self.queue.lock();
        let mut bytes = 0;
        let mut group = Vec::with_capacity(queue.waiting.len().min(GROUP_REQUESTS));
        while group.len() < GROUP_REQUESTS && bytes < GROUP_BYTES {
            let Some(request) = queue.waiting.pop_front() else {
                break;
            };
            bytes += request.bytes();
            group.push(request);
        }
        queue.bytes -= bytes;
        drop(queue);
        self.committer.discount(group.len());
        group
    }
}

/// How many bytes an append takes while it waits.
fn weight(batch: &AppendBatch) -> usize {
    batch
        .events
        .iter()
        .map(|event| event.payload.len() + event.metadata.len() + 256)
        .sum()
}

impl Log {
    pub(super) fn writer(&self) -> Result<&Writer> {
        match &self.role {
            Role::Writes(writer) => Ok(writer),
            Role::Follows(_) => Err(Error::ReadOnly {
                operation: "append",
            }),
        }
    }

    /// Puts a request into the queue, and sees to it that a thread takes it.
    fn submit(self: &Arc<Self>, request: Request) -> Result<()> {
        let writer = self.writer()?;
        let mut queue = writer.queue.lock();
        if queue.closed {
            return Err(Error::Closed);
        }
        queue.closed = matches!(request, Request::Finish { .. });
        queue.bytes += request.bytes();
        queue.waiting.push_back(request);
        writer.committer.count();
        if queue.running {
            return Ok(());
        }
        queue.running = true;
        drop(queue);
        // What need not wait for a sync does not wait for those of others.
        let started = if writer.options.lock().sync == SyncMode::Always {
            writer.committer.ready(self)
        } else {
            self.write_apart()
        };
        started.map_err(|error| {
            let mut queue = writer.queue.lock();
            queue.running = false;
            queue.bytes = 0;
            writer.committer.discount(queue.waiting.len());
            queue.waiting.clear();
            Error::RepositoryUnavailable {
                repository: self.files.repository.clone(),
                reason: "cannot start a thread to write with".to_owned(),
                source: Some(Box::new(error)),
            }
        })
    }

    /// Whether more waits. If not, whoever comes next has to see to it that it is written.
    pub(super) fn has_more(&self) -> bool {
        let Ok(writer) = self.writer() else {
            return false;
        };
        let mut queue = writer.queue.lock();
        queue.running = !queue.waiting.is_empty();
        queue.running
    }

    /// Writes what waits on a thread of its own.
    pub(super) fn write_apart(self: &Arc<Self>) -> io::Result<()> {
        let workers = &self.writer().map_err(io::Error::other)?.committer.workers;
        let log = Arc::clone(self);
        workers.submit(move || log.write_all())
    }

    /// Writes what waits, group by group, until nothing does.
    fn write_all(self: Arc<Self>) {
        let Ok(writer) = self.writer() else { return };
        let rescue = Rescue(&self, writer);
        while self.has_more() {
            let group = writer.take_group();
            let mut core = writer.core.lock();
            let pending = core.begin(&self, writer, group);
            let written = core.finish(&self, writer, pending, false);
            drop(core);
            written.answer();
        }
        drop(rescue);
    }

    pub(super) async fn append(
        self: &Arc<Self>,
        batch: Arc<AppendBatch>,
        now: Timestamp,
    ) -> Result<AppendReceipt> {
        let permit = self.writer()?.reserve(weight(&batch)).await?;
        let (reply, receipt) = oneshot::channel();
        self.submit(Request::Append {
            batch,
            now,
            reply,
            permit,
        })?;
        receipt.await.map_err(|_| abandoned())?
    }

    pub(super) async fn import(self: &Arc<Self>, rest: Rest) -> Result<Written> {
        let sizes = rest.events().iter().map(|event| event.payload.len() + 256);
        let permit = self.writer()?.reserve(sizes.sum()).await?;
        let (reply, written) = oneshot::channel();
        self.submit(Request::Import {
            rest,
            reply,
            permit,
        })?;
        written.await.map_err(|_| abandoned())?
    }

    pub(super) async fn set_sealed(
        self: &Arc<Self>,
        sealed: bool,
        since: Position,
    ) -> Result<Position> {
        let (reply, head) = oneshot::channel();
        self.submit(Request::Seal {
            sealed,
            since,
            reply,
        })?;
        head.await.map_err(|_| abandoned())?
    }

    /// Syncs what was written without; called when the time for it has come.
    pub(super) fn sync_now(self: &Arc<Self>) {
        // Where the topic was closed meanwhile, it was synced then.
        drop(self.submit(Request::Sync));
    }

    /// Finishes what waits and takes nothing more. Whoever calls it waits until that is done, also
    /// where another one has begun it.
    pub(super) async fn finish(self: &Arc<Self>) -> Result<()> {
        if let Role::Follows(_) = self.role {
            self.published.send_modify(Published::close);
            return Ok(());
        }
        let (reply, done) = oneshot::channel();
        match self.submit(Request::Finish { reply }) {
            Ok(()) => done.await.map_err(|_| abandoned())?.map(drop),
            Err(Error::Closed) => {
                let mut published = self.published.subscribe();
                let closed = published
                    .wait_for(|now| now.standing != Standing::Open)
                    .await;
                closed.map(drop).map_err(|_| Error::Closed)
            }
            Err(error) => Err(error),
        }
    }
}

fn abandoned() -> Error {
    Error::OutcomeUnknown {
        reason: "the writer of the topic has stopped".to_owned(),
        source: None,
    }
}

/// Stops the queue if the thread that writes panics.
pub(super) struct Rescue<'a>(pub(super) &'a Log, pub(super) &'a Writer);

impl Drop for Rescue<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut queue = self.1.queue.lock();
            queue.closed = true;
            queue.running = false;
            queue.bytes = 0;
            self.1.committer.discount(queue.waiting.len());
            queue.waiting.clear();
            *self.1.poisoned.lock() =
                Some("the writer panicked, which is a fault of this library".to_owned());
            drop(queue);
            self.0.published.send_modify(Published::close);
        }
    }
}
