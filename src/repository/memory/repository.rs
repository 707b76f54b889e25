//! One handle of a `memory` repository: the contract, in terms of logs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream::BoxStream};
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::watch;

use super::{log::Log, pages::pages, part::MemoryPart};
use crate::{
    models::{
        AppendReceipt, Clock, Error, HealthStatus, Placement, Position, RecordedEvent,
        RepositoryHealth, Result, StorageId, StreamId,
    },
    repository::{
        AppendBatch, EventRepository, Page, ReadPlan, StorageEntry, TopicState, Verified,
        import::import,
    },
};

/// One handle of a `memory` repository.
#[derive(Debug)]
pub struct MemoryRepository {
    shared: Arc<Shared>,
    name: String,
    clock: Arc<dyn Clock>,
    closed: watch::Sender<bool>,
    read_only: bool,
    /// Held for reading by what changes something, which takes no longer than an append does, and
    /// for writing to close: what was let in is finished then.
    open: RwLock<bool>,
}

impl MemoryRepository {
    pub(super) fn new(
        shared: Arc<Shared>,
        name: String,
        clock: Arc<dyn Clock>,
        read_only: bool,
    ) -> Self {
        Self {
            shared,
            name,
            clock,
            closed: watch::Sender::new(false),
            read_only,
            open: RwLock::new(true),
        }
    }

    fn check_open(&self) -> Result<()> {
        if *self.closed.borrow() {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    /// Lets in what changes something.
    fn enter_to(&self, operation: &'static str) -> Result<RwLockReadGuard<'_, bool>> {
        let open = self.open.read();
        if !*open {
            return Err(Error::Closed);
        }
        if self.read_only {
            return Err(Error::ReadOnly { operation });
        }
        Ok(open)
    }

    /// The log of a placement. It is made on first use, because what was prepared in an earlier
    /// process is gone.
    fn log(&self, placement: &Placement) -> Result<Arc<Log>> {
        if let Some(log) = self.shared.topics.read().logs.get(&placement.storage) {
            return Ok(Arc::clone(log));
        }
        let mut topics = self.shared.topics.write();
        if topics.removed.contains(&placement.storage) {
            return Err(Error::TopicNotFound {
                topic: placement.topic.to_string(),
            });
        }
        let log = topics
            .logs
            .entry(placement.storage)
            .or_insert_with(|| Arc::new(Log::new(placement, self.clock.now())));
        Ok(Arc::clone(log))
    }
}

#[async_trait]
impl EventRepository for MemoryRepository {
    async fn prepare(&self, placement: &Placement) -> Result<()> {
        let _open = self.enter_to("make storage")?;
        super::factory::refuse_options(&placement.options)?;
        self.log(placement).map(drop)
    }

    async fn append(
        &self,
        placement: &Placement,
        batch: Arc<AppendBatch>,
    ) -> Result<AppendReceipt> {
        // Nothing here ever waits, so whoever appends in a loop would let nobody else have a turn: not
        // even those whom it wakes, if they are to run on its thread.
        tokio::task::consume_budget().await;
        let _open = self.enter_to("append")?;
        self.log(placement)?.append(&batch, self.clock.now())
    }

    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
        let log = self.check_open().and_then(|()| self.log(placement));
        pages(log, plan, self.closed.subscribe())
    }

    async fn state(&self, placement: &Placement, stream: Option<&StreamId>) -> Result<TopicState> {
        self.check_open()?;
        let log = self.log(placement)?;
        let parts = [MemoryPart(&log)];
        let parts = log.parts(&parts)?;
        let stream = stream
            .map(|one| parts.stream_state(one.as_str().as_bytes()))
            .transpose()?;
        Ok(TopicState {
            head: parts.head,
            sealed: parts.sealed,
            stream,
        })
    }

    async fn wait_beyond(&self, placement: &Placement, position: Position) -> Result<Position> {
        self.check_open()?;
        let log = self.log(placement)?;
        let mut head = log.head.subscribe();
        let mut closed = self.closed.subscribe();
        tokio::select! {
            found = head.wait_for(|head| head.is_none_or(|head| head > position)) => match found {
                Ok(found) => found.ok_or_else(|| log.gone()),
                Err(_) => Err(Error::Closed),
            },
            _ = closed.wait_for(|closed| *closed) => Err(Error::Closed),
        }
    }

    async fn seal(&self, placement: &Placement, since: Position) -> Result<Position> {
        let _open = self.enter_to("seal a topic")?;
        self.log(placement)?.set_sealed(true, since)
    }

    async fn unseal(&self, placement: &Placement, since: Position) -> Result<()> {
        let _open = self.enter_to("unseal a topic")?;
        self.log(placement)?.set_sealed(false, since).map(drop)
    }

    async fn import(&self, placement: &Placement, events: Vec<RecordedEvent>) -> Result<Position> {
        import(self, placement, events, |rest| async move {
            let _open = self.enter_to("import events")?;
            self.log(placement)?.import(&rest)
        })
        .await
    }

    async fn verify(&self, placement: &Placement) -> Result<Verified> {
        let mut verified = Verified {
            parts: 1,
            ..Verified::default()
        };
        let mut pages = self.read(placement, ReadPlan::all_after(Position::START));
        while let Some(page) = pages.next().await {
            for event in page?.events {
                verified.events += 1;
                verified.bytes += event.payload.len() as u64;
            }
        }
        Ok(verified)
    }

    async fn list(&self) -> Result<Vec<StorageEntry>> {
        self.check_open()?;
        let topics = self.shared.topics.read();
        let of = |(storage, log): (&StorageId, &Arc<Log>)| StorageEntry {
            storage: *storage,
            store: log.store,
            topic: log.topic.clone(),
        };
        let used = topics
            .logs
            .iter()
            .filter(|(storage, _)| **storage != StorageId::CONFIGURATION);
        Ok(used.map(of).collect())
    }

    async fn remove(&self, storage: StorageId) -> Result<()> {
        let _open = self.enter_to("remove storage")?;
        let mut topics = self.shared.topics.write();
        topics.removed.insert(storage);
        if let Some(log) = topics.logs.remove(&storage) {
            log.head.send_replace(None);
        }
        Ok(())
    }

    async fn health(&self) -> RepositoryHealth {
        let started = Instant::now();
        let status = if self.check_open().is_ok() {
            HealthStatus::Up
        } else {
            HealthStatus::Down
        };
        let topics = self.shared.topics.read().logs.len() as u64;
        RepositoryHealth::new(&self.name, status)
            .topics(topics)
            .latency(started.elapsed())
    }

    async fn close(&self) -> Result<()> {
        *self.open.write() = false;
        self.closed.send_replace(true);
        Ok(())
    }
}

/// What all handles of one repository share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    topics: RwLock<Topics>,
}

#[derive(Debug, Default)]
struct Topics {
    logs: HashMap<StorageId, Arc<Log>>,
    /// Storage that was removed, so that a late call does not bring it back.
    removed: HashSet<StorageId>,
}
