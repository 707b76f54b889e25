//! One topic that is open: the way into its queue.

use std::sync::Arc;

use parking_lot::{Mutex, RwLockReadGuard};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    committer::{Committer, check},
    core::Core,
    deciding::weight,
    desk::Fetched,
    request::{Checked, Request, Work, unchecked},
    shared::Moment,
};
use crate::{
    models::{AppendReceipt, Error, Result},
    repository::AppendBatch,
};

/// How many bytes of appends may wait for a topic; who has more waits for room.
const ROOM: usize = 32 << 20;

/// One topic that is open.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) core: Arc<Core>,
    room: Arc<Semaphore>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    sender: Option<mpsc::UnboundedSender<Work>>,
    task: Option<JoinHandle<()>>,
}

impl Topic {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            room: Arc::new(Semaphore::new(ROOM)),
            queue: Mutex::default(),
        }
    }

    /// Waits for room in the queue, puts an append into it if `may_enter` still allows that, and
    /// waits for the outcome. Once it is in the queue, it goes on without the caller.
    pub(super) async fn append<'a>(
        &self,
        batch: Arc<AppendBatch>,
        may_enter: impl Fn() -> Result<RwLockReadGuard<'a, bool>> + Send + Sync,
    ) -> Result<AppendReceipt> {
        let weight = weight(&batch);
        let wanted = u32::try_from(weight.min(ROOM)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(wanted)
            .await
            .map_err(|_| Error::Closed)?;
        let came = Moment::now();
        let checked = self.check_condition(&batch).await?;
        let (reply, outcome) = oneshot::channel();
        let request = Request {
            now: self.core.shared.clock.now(),
            batch,
            came,
            weight,
            reply,
            _room: room,
            fetched: Fetched::default(),
            checked,
        };
        {
            let _open = may_enter()?;
            self.enter(Work::Append(request));
        }
        outcome.await.unwrap_or_else(|_| {
            Err(Error::OutcomeUnknown {
                reason: "the task that appends was stopped".to_owned(),
                source: None,
            })
        })
    }

    /// Checks a condition in what is merged into segments, before anybody has to wait for that.
    async fn check_condition(&self, batch: &AppendBatch) -> Result<Checked> {
        let nothing = Checked::default();
        if batch.condition.is_none() {
            return Ok(nothing);
        }
        // What is known will do: the committer checks the rest.
        let Ok(snapshot) = self.core.known() else {
            return Ok(nothing);
        };
        let end = snapshot.segments_end();
        let Some((filter, after)) = unchecked(batch, nothing, end) else {
            return Ok(nothing);
        };
        let core = Arc::clone(&self.core);
        let checked = check(&core, filter, after, end).await;
        checked.map_err(|failure| self.core.error(failure))
    }

    /// Asks for something else than an append, and waits for it.
    pub(super) async fn ask<'a, T>(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<T>>) -> Work,
        may_enter: impl Fn() -> Result<RwLockReadGuard<'a, bool>> + Send + Sync,
    ) -> Result<T> {
        let (reply, outcome) = oneshot::channel();
        {
            let _open = may_enter()?;
            self.enter(work(reply));
        }
        outcome.await.unwrap_or_else(|_| {
            Err(Error::OutcomeUnknown {
                reason: "the task that appends was stopped".to_owned(),
                source: None,
            })
        })
    }

    fn enter(&self, work: Work) {
        let mut queue = self.queue.lock();
        let refused = match &queue.sender {
            Some(sender) => sender.send(work).err().map(|back| back.0),
            None => Some(work),
        };
        let Some(work) = refused else {
            return;
        };
        // The first, or the runtime that ran the task is gone.
        let (sender, receiver) = mpsc::unbounded_channel();
        let committer = Committer::new(Arc::clone(&self.core));
        queue.task = Some(tokio::spawn(committer.run(receiver)));
        // The task has just been made and waits for it.
        drop(sender.send(work));
        queue.sender = Some(sender);
    }

    /// Takes no more, and waits until what was taken is done.
    pub(super) async fn finish(&self) {
        let task = {
            let mut queue = self.queue.lock();
            queue.sender = None;
            queue.task.take()
        };
        if let Some(task) = task {
            // It ends on its own; where it was stopped, nobody is left to be told.
            drop(task.await);
        }
        self.core.stop().await;
    }
}
