//! One topic: its names in SQL, and the way into its queue.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    group::weight,
    names::TopicNames,
    shared::{Seen, Shared},
    writer::{Request, Writer},
};
use crate::{
    models::{AppendReceipt, Error, Placement, Result, StorageId, TopicName},
    repository::AppendBatch,
};

/// How many bytes of appends may wait for a topic; who has more waits for room.
const ROOM: usize = 64 << 20;

/// What is fixed of a topic.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) topic: TopicName,
    pub(super) storage: StorageId,
    pub(super) names: TopicNames,
    pub(super) sql: TopicSql,
    pub(super) seen: watch::Sender<Seen>,
    /// When the last look at the head was begun. Held by the one who has a look.
    pub(super) looked: tokio::sync::Mutex<Option<std::time::Instant>>,
    /// Held by the one whose seal or unseal is on its way, also where its caller has gone: the next
    /// one counts after it.
    pub(super) sealing: Arc<tokio::sync::Mutex<()>>,
}

/// Statements that are sent often.
#[derive(Debug)]
pub(super) struct TopicSql {
    pub(super) append: Arc<str>,
    pub(super) state: Arc<str>,
}

/// One topic that is open.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) core: Arc<Core>,
    room: Arc<Semaphore>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    sender: Option<mpsc::UnboundedSender<Request>>,
    task: Option<JoinHandle<()>>,
}

impl Topic {
    pub(super) fn new(shared: &Shared, placement: &Placement, names: TopicNames) -> Self {
        let parameters: Vec<_> = (1..=19).map(|number| format!("${number}")).collect();
        let sql = TopicSql {
            append: format!(
                "SELECT * FROM {}({})",
                names.function("append"),
                parameters.join(", ")
            )
            .into(),
            state: format!(
                "SELECT sealed, head, version, deleted FROM {}($1)",
                names.function("state")
            )
            .into(),
        };
        Self {
            core: Arc::new(Core {
                topic: placement.topic.clone(),
                storage: placement.storage,
                names,
                sql,
                seen: shared.heads.of(placement.storage),
                looked: tokio::sync::Mutex::default(),
                sealing: Arc::default(),
            }),
            room: Arc::new(Semaphore::new(ROOM)),
            queue: Mutex::default(),
        }
    }

    /// Waits for room in the queue, puts an append into it if `may_enter` still allows that, and
    /// waits for the outcome. Once it is in the queue, it goes on without the caller.
    pub(super) async fn append<'a>(
        &self,
        shared: &Arc<Shared>,
        batch: Arc<AppendBatch>,
        may_enter: impl Fn() -> Result<parking_lot::RwLockReadGuard<'a, bool>> + Send + Sync,
    ) -> Result<AppendReceipt> {
        let weight = weight(&batch);
        let wanted = u32::try_from(weight.min(ROOM)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room)
            .acquire_many_owned(wanted)
            .await
            .map_err(|_| Error::Closed)?;
        let (reply, outcome) = oneshot::channel();
        let request = Request {
            batch,
            now: shared.clock.now(),
            weight,
            reply,
            permit,
        };
        {
            let _open = may_enter()?;
            self.enter(shared, request);
        }
        outcome.await.unwrap_or_else(|_| {
            Err(Error::OutcomeUnknown {
                reason: "the task that appends was stopped".to_owned(),
                source: None,
            })
        })
    }

    fn enter(&self, shared: &Arc<Shared>, request: Request) {
        let mut queue = self.queue.lock();
        let refused = match &queue.sender {
            Some(sender) => sender.send(request).err().map(|back| back.0),
            None => Some(request),
        };
        let Some(request) = refused else {
            return;
        };
        // The first append, or the runtime that ran the task is gone.
        let (sender, requests) = mpsc::unbounded_channel();
        let writer = Writer::new(Arc::clone(shared), Arc::clone(&self.core));
        queue.task = Some(tokio::spawn(writer.run(requests)));
        // The task has just been made and waits for it.
        drop(sender.send(request));
        queue.sender = Some(sender);
    }

    /// Takes no more appends, and waits until those that were taken are done.
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
    }
}
