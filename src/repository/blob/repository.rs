//! One `blob` repository: the contract, in terms of topics.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::time::Instant;

use super::{
    core::Core,
    desk::{Desk, Fetched, fetch},
    factory::check_options,
    failure::Failure,
    pages::pages,
    removal,
    request::Work,
    shared::Shared,
    slot::Kind,
    topic::Topic,
    verify::verify,
};
use crate::{
    models::{
        AppendReceipt, Error, HealthStatus, Placement, Position, RecordedEvent, RepositoryHealth,
        Result, StorageId, StreamId, TopicName,
    },
    repository::{
        AppendBatch, EventRepository, Page, ReadPlan, StorageEntry, TopicState, Verified,
        import::import, parts::Parts,
    },
};

/// A store that does not answer within this time is down.
const PATIENCE: Duration = Duration::from_secs(3);

type Topics = Mutex<HashMap<StorageId, Arc<Topic>>>;

/// One `blob` repository.
#[derive(Debug)]
pub struct BlobRepository {
    shared: Arc<Shared>,
    topics: Arc<Topics>,
    /// Held for reading while something is put into a queue, and for writing to close.
    open: RwLock<bool>,
}

impl BlobRepository {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            topics: Arc::default(),
            open: RwLock::new(true),
        }
    }

    fn check_open(&self) -> Result<RwLockReadGuard<'_, bool>> {
        let open = self.open.read();
        if *open { Ok(open) } else { Err(Error::Closed) }
    }

    fn check_writable(&self, operation: &'static str) -> Result<()> {
        drop(self.check_open()?);
        if self.shared.read_only {
            return Err(Error::ReadOnly { operation });
        }
        Ok(())
    }

    fn topic(&self, placement: &Placement) -> Result<Arc<Topic>> {
        drop(self.check_open()?);
        Ok(topic(&self.shared, &self.topics, placement))
    }

    /// Forgets a topic that is gone, so that nothing is kept of it.
    fn forget_if_gone<T>(&self, storage: StorageId, outcome: Result<T>) -> Result<T> {
        if matches!(outcome, Err(Error::TopicNotFound { .. })) {
            self.topics.lock().remove(&storage);
        }
        outcome
    }

    fn failed(&self, failure: Failure) -> Error {
        failure.error(&self.shared.objects.name, None)
    }

    async fn mark(&self, placement: &Placement, kind: Kind, since: Position) -> Result<Position> {
        let topic = self.topic(placement)?;
        let work = |reply| Work::Mark(kind, since, reply);
        let marked = topic.ask(work, || self.check_open()).await;
        self.forget_if_gone(placement.storage, marked)
    }
}

fn topic(shared: &Arc<Shared>, topics: &Topics, placement: &Placement) -> Arc<Topic> {
    let mut topics = topics.lock();
    let topic = topics.entry(placement.storage).or_insert_with(|| {
        let core = Core::new(
            placement.topic.clone(),
            placement.storage,
            Arc::clone(shared),
        );
        Arc::new(Topic::new(Arc::new(core)))
    });
    Arc::clone(topic)
}

/// The state of a topic, for which something may have to be fetched.
async fn state(core: &Arc<Core>, stream: Option<&StreamId>) -> Result<TopicState, Failure> {
    let mut snapshot = core.fresh().await?;
    let mut fetched = Fetched::default();
    loop {
        let found = {
            let desk = Desk::new(&core.shared.caches, &fetched);
            let parts = snapshot.parts(&core.topic, &desk, 0);
            let topic = Parts {
                topic: &core.topic,
                parts: &parts,
                head: snapshot.head,
                sealed: snapshot.sealed,
            };
            let state = stream.map(|one| topic.stream_state(one.as_str().as_bytes()));
            let state = state.transpose();
            let wanted = desk.take_wanted();
            if wanted.is_empty() {
                Ok(state?)
            } else {
                Err(wanted)
            }
        };
        let wanted = match found {
            Ok(stream) => {
                return Ok(TopicState {
                    head: snapshot.head,
                    sealed: snapshot.sealed,
                    stream,
                });
            }
            Err(wanted) => wanted,
        };
        let (objects, caches) = (&core.shared.objects, &core.shared.caches);
        match fetch(objects, caches, wanted, true).await {
            Ok(more) => fetched.extend(more),
            Err(Failure::Missing { key }) => {
                core.go_on_without(&key).await?;
                snapshot = core.fresh().await?;
                fetched = Fetched::default();
            }
            Err(failure) => return Err(failure),
        }
    }
}

#[async_trait]
impl EventRepository for BlobRepository {
    async fn prepare(&self, placement: &Placement) -> Result<()> {
        self.check_writable("make storage")?;
        check_options(&placement.connection, &placement.options)?;
        let topic = self.topic(placement)?;
        let (core, wanted) = (Arc::clone(&topic.core), placement.clone());
        // A task of its own: the caller may be dropped, and others wait for what it has begun.
        let made = tokio::spawn(async move { removal::make(&core, &wanted).await });
        let made = made.await.unwrap_or(Err(Failure::Closed));
        let made = made.map_err(|failure| topic.core.error(failure));
        self.forget_if_gone(placement.storage, made)
    }

    async fn append(
        &self,
        placement: &Placement,
        batch: Arc<AppendBatch>,
    ) -> Result<AppendReceipt> {
        self.check_writable("append")?;
        let topic = self.topic(placement)?;
        let appended = topic.append(batch, || self.check_open()).await;
        self.forget_if_gone(placement.storage, appended)
    }

    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
        let topic = self.topic(placement);
        let core = async move { topic.map(|topic| Arc::clone(&topic.core)) };
        pages(core, plan, self.shared.closed.subscribe())
    }

    async fn state(&self, placement: &Placement, stream: Option<&StreamId>) -> Result<TopicState> {
        let topic = self.topic(placement)?;
        let found = state(&topic.core, stream).await;
        let found = found.map_err(|failure| topic.core.error(failure));
        self.forget_if_gone(placement.storage, found)
    }

    async fn wait_beyond(&self, placement: &Placement, position: Position) -> Result<Position> {
        let topic = self.topic(placement)?;
        let core = &topic.core;
        let mut seen = core.seen.subscribe();
        let mut closed = self.shared.closed.subscribe();
        let looked = core.look().await;
        looked.map_err(|failure| core.error(failure))?;
        core.poll_while_awaited();
        tokio::select! {
            found = seen.wait_for(|seen| seen.gone || seen.head > position) => match found {
                Ok(seen) if seen.gone => Err(core.error(Failure::Gone)),
                Ok(seen) => Ok(seen.head),
                Err(_) => Err(Error::Closed),
            },
            _ = closed.wait_for(|closed| *closed) => Err(Error::Closed),
        }
    }

    async fn seal(&self, placement: &Placement, since: Position) -> Result<Position> {
        self.check_writable("seal a topic")?;
        self.mark(placement, Kind::Seal, since).await
    }

    async fn unseal(&self, placement: &Placement, since: Position) -> Result<()> {
        self.check_writable("unseal a topic")?;
        self.mark(placement, Kind::Unseal, since).await.map(drop)
    }

    async fn import(&self, placement: &Placement, events: Vec<RecordedEvent>) -> Result<Position> {
        self.check_writable("import events")?;
        let topic = self.topic(placement)?;
        let imported = import(self, placement, events, |rest| {
            topic.ask(|reply| Work::Import(rest, reply), || self.check_open())
        });
        self.forget_if_gone(placement.storage, imported.await)
    }

    async fn verify(&self, placement: &Placement) -> Result<Verified> {
        let topic = self.topic(placement)?;
        let verified = verify(&topic.core).await;
        verified.map_err(|failure| topic.core.error(failure))
    }

    async fn list(&self) -> Result<Vec<StorageEntry>> {
        drop(self.check_open()?);
        let listed = removal::list(&self.shared).await;
        listed.map_err(|failure| self.failed(failure))
    }

    async fn remove(&self, storage: StorageId) -> Result<()> {
        self.check_writable("remove storage")?;
        let topic = {
            let open = self.topics.lock().get(&storage).map(Arc::clone);
            // What it is called is not known, nor needed.
            open.unwrap_or_else(|| {
                let name = TopicName::configuration();
                let core = Core::new(name, storage, Arc::clone(&self.shared));
                Arc::new(Topic::new(Arc::new(core)))
            })
        };
        let mark = |reply| Work::Mark(Kind::Removed, Position::MAX, reply);
        match topic.ask(mark, || self.check_open()).await {
            // What is damaged, or removed by half, is removed too.
            Ok(_) | Err(Error::TopicNotFound { .. } | Error::Corruption { .. }) => {}
            Err(error) => return Err(error),
        }
        topic.core.lose();
        topic.core.stop().await;
        let core = Arc::clone(&topic.core);
        let erased = tokio::spawn(async move { removal::erase(&core).await }).await;
        erased
            .unwrap_or(Err(Failure::Closed))
            .map_err(|failure| self.failed(failure))?;
        self.topics.lock().remove(&storage);
        Ok(())
    }

    async fn health(&self) -> RepositoryHealth {
        let started = Instant::now();
        let name = &self.shared.objects.name;
        if self.check_open().is_err() {
            return RepositoryHealth::new(name, HealthStatus::Down)
                .last_error(Error::Closed.to_string());
        }
        let counted = tokio::time::timeout(PATIENCE, removal::count(&self.shared)).await;
        let health = |status| RepositoryHealth::new(name, status).latency(started.elapsed());
        match counted {
            Err(_) => health(HealthStatus::Down)
                .last_error(format!("no answer within {} s", PATIENCE.as_secs())),
            Ok(Err(failure)) => health(HealthStatus::Down).last_error(failure.to_string()),
            Ok(Ok(topics)) => health(HealthStatus::Up)
                .topics(topics)
                .notes(self.shared.notes.clone()),
        }
    }

    async fn close(&self) -> Result<()> {
        *self.open.write() = false;
        let topics: Vec<_> = self.topics.lock().values().map(Arc::clone).collect();
        for topic in topics {
            topic.finish().await;
        }
        self.shared.closed.send_replace(true);
        Ok(())
    }
}

impl Drop for BlobRepository {
    fn drop(&mut self) {
        self.shared.closed.send_replace(true);
    }
}
