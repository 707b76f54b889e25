//! One `postgres` repository: the contract, in terms of topics.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    catalog,
    codec::{bigint, number},
    connection::{Address, Session},
    errors::{Failure, Kind},
    health::health,
    import::Statement,
    listener::listen,
    notifier::Notifier,
    options::PostgresOptions,
    pages::{Start, pages},
    sessions::Sessions,
    shared::{Args, Heads, Shared},
    topic::{Core, Topic},
    verify::verify,
    wait::wait,
};
use crate::{
    models::{
        AppendReceipt, Error, HealthStatus, Placement, Position, RecordedEvent, RepositoryHealth,
        Result, StorageId, StreamId, StreamState, Version,
    },
    repository::{
        AppendBatch, EventRepository, OpenRequest, Page, ReadPlan, StorageEntry, TopicState,
        Verified,
        import::{Rest, Written, import},
    },
};

/// One `postgres` repository.
#[derive(Debug)]
pub struct PostgresRepository {
    shared: Arc<Shared>,
    topics: Arc<Mutex<HashMap<StorageId, Arc<Topic>>>>,
    read_only: bool,
    /// Held for reading while something is put into a queue, and for writing to close.
    open: RwLock<bool>,
    /// Ends the tasks that tell and hear of new heads, also when it is dropped.
    closed: watch::Sender<bool>,
    listening: Mutex<Option<JoinHandle<()>>>,
    telling: Mutex<Option<JoinHandle<()>>>,
}

impl PostgresRepository {
    pub(super) fn new(address: Address, request: OpenRequest, open: [Session; 2]) -> Self {
        let settings = &address.settings;
        let [to_read, to_append] = open;
        let to_append = Some(to_append).filter(|_| !request.read_only);
        Self {
            shared: Arc::new(Shared {
                name: request.name,
                reads: Sessions::new(address.clone(), settings.read_connections, Some(to_read)),
                appends: Sessions::new(address.clone(), settings.append_connections, to_append),
                heads: Arc::new(Heads::default()),
                notifier: Arc::new(Notifier::default()),
                clock: request.clock,
                address,
            }),
            topics: Arc::default(),
            read_only: request.read_only,
            open: RwLock::new(true),
            closed: watch::Sender::new(false),
            listening: Mutex::default(),
            telling: Mutex::default(),
        }
    }

    fn check_open(&self) -> Result<RwLockReadGuard<'_, bool>> {
        let open = self.open.read();
        if *open { Ok(open) } else { Err(Error::Closed) }
    }

    fn check_writable(&self, operation: &'static str) -> Result<()> {
        drop(self.check_open()?);
        if self.read_only {
            return Err(Error::ReadOnly { operation });
        }
        Ok(())
    }

    /// Starts the task that tells other processes of new heads, with the first of them.
    fn tell(&self) {
        let mut telling = self.telling.lock();
        if telling.is_none() {
            let notifier = Arc::clone(&self.shared.notifier);
            let address = self.shared.address.clone();
            *telling = Some(tokio::spawn(notifier.run(address, self.closed.subscribe())));
        }
    }

    /// Starts the task that hears of new heads, with the first who waits.
    fn hear(&self) {
        let mut listening = self.listening.lock();
        if listening.is_none() {
            let heads = Arc::clone(&self.shared.heads);
            *listening = Some(tokio::spawn(listen(
                self.shared.address.clone(),
                heads,
                self.closed.subscribe(),
            )));
        }
    }

    async fn topic(&self, placement: &Placement) -> Result<Arc<Topic>> {
        drop(self.check_open()?);
        open_topic(&self.shared, &self.topics, placement).await
    }

    /// Does work on a session for appends, in a task of its own. Where the topic turns out to be
    /// gone, its names are forgotten.
    async fn work<T: Send + 'static>(
        &self,
        storage: StorageId,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Failure>>
        + Send
        + 'static,
    ) -> Result<T, Failure> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let mut lent = shared.appends.take_live().await?;
            let done = work(&mut lent.session.connection).await;
            if done.is_ok() {
                shared.appends.give_back(lent);
            }
            done
        });
        let done = match task.await {
            Ok(done) => done,
            Err(_) => Err(Failure::new(Kind::Unreachable, "the runtime shuts down")),
        };
        if done
            .as_ref()
            .is_err_and(|failure| failure.kind == Kind::Gone)
        {
            self.topics.lock().remove(&storage);
        }
        done
    }

    /// Records the first of these events, if they are the next, and as many as fit into a statement.
    async fn import_some(
        &self,
        placement: &Placement,
        topic: &Topic,
        rest: Rest,
    ) -> Result<Written> {
        let Some(statement) = Statement::of(&topic.core, rest.events())? else {
            let head = self.ask(topic, None).await?.head;
            return Ok(Written { head, count: 0 });
        };
        let (core, count) = (&topic.core, statement.count());
        let imported = self.work(core.storage, move |connection| {
            statement.run(connection).boxed()
        });
        let imported = imported
            .await
            .map_err(|failure| failure.error(&self.shared.name, Some(&placement.topic)))?;
        let (head, written) = imported.ok_or_else(|| Error::TopicSealed {
            topic: core.topic.clone(),
        })?;
        self.shared.heads.tell(core.storage, head);
        self.tell();
        self.shared.notifier.tell(core.storage, head);
        Ok(Written {
            head: Position::new(head),
            count: if written { count } else { 0 },
        })
    }

    /// Calls a function of the topic that changes something, and tells of the head that it gives.
    /// `held` is kept until that is done.
    async fn call_for_head(
        &self,
        placement: &Placement,
        core: &Arc<Core>,
        sql: String,
        arguments: Args,
        held: impl Send + 'static,
    ) -> Result<(Position, bool)> {
        let called = self.work(core.storage, move |connection| {
            async move {
                let _held = held;
                let arguments = arguments.into_inner()?;
                let row = sqlx::query_with(AssertSqlSafe(sql), arguments)
                    .fetch_one(connection)
                    .await?;
                Ok((number(row.try_get(0)?), row.try_get::<bool, _>(1)?))
            }
            .boxed()
        });
        let (head, done) = called
            .await
            .map_err(|failure| failure.error(&self.shared.name, Some(&placement.topic)))?;
        self.shared.heads.tell(core.storage, head);
        Ok((Position::new(head), done))
    }

    async fn set_sealed(
        &self,
        placement: &Placement,
        sealed: bool,
        since: Position,
    ) -> Result<Position> {
        let topic = self.topic(placement).await?;
        let function = topic.core.names.function("seal");
        let sql = format!("SELECT {function}($1, $2), true");
        let turn = Arc::clone(&topic.core.sealing).lock_owned().await;
        let arguments = Args::new().with(sealed).with(bigint(since.get()));
        let (head, _) = self
            .call_for_head(placement, &topic.core, sql, arguments, turn)
            .await?;
        Ok(head)
    }

    async fn ask(&self, topic: &Topic, stream: Option<&StreamId>) -> Result<TopicState> {
        let failed = |failure: Failure| failure.error(&self.shared.name, Some(&topic.core.topic));
        let arguments = Args::new().with(stream.map(StreamId::as_str));
        let sql = Arc::clone(&topic.core.sql.state);
        let rows = self.shared.fetch(sql, arguments).await.map_err(|failure| {
            if failure.kind == Kind::Gone {
                self.topics.lock().remove(&topic.core.storage);
            }
            failed(failure)
        })?;
        let read = || {
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            let stream = match stream {
                Some(_) => Some(StreamState::new(
                    Version::new(number(row.try_get(2)?)),
                    row.try_get(3)?,
                )),
                None => None,
            };
            Ok::<_, sqlx::Error>(TopicState {
                sealed: row.try_get(0)?,
                head: Position::new(number(row.try_get(1)?)),
                stream,
            })
        };
        read().map_err(|error| failed(error.into()))
    }

    /// Waits until the topic is beyond a position.
    async fn wait(&self, topic: &Topic, position: Position) -> Result<Position> {
        let waited = wait(&self.shared, &topic.core, position.get()).await;
        waited.map(Position::new).map_err(|failure| {
            if failure.kind == Kind::Gone {
                self.topics.lock().remove(&topic.core.storage);
            }
            failure.error(&self.shared.name, Some(&topic.core.topic))
        })
    }
}

async fn open_topic(
    shared: &Arc<Shared>,
    topics: &Mutex<HashMap<StorageId, Arc<Topic>>>,
    placement: &Placement,
) -> Result<Arc<Topic>> {
    if let Some(topic) = topics.lock().get(&placement.storage) {
        return Ok(Arc::clone(topic));
    }
    let failed = |failure: Failure| failure.error(&shared.name, Some(&placement.topic));
    let names = catalog::find(shared, placement.storage)
        .await
        .map_err(failed)?;
    let names = names.ok_or_else(|| Error::TopicNotFound {
        topic: placement.topic.to_string(),
    })?;
    let mut topics = topics.lock();
    let topic = topics
        .entry(placement.storage)
        .or_insert_with(|| Arc::new(Topic::new(shared, placement, names)));
    Ok(Arc::clone(topic))
}

#[async_trait]
impl EventRepository for PostgresRepository {
    async fn prepare(&self, placement: &Placement) -> Result<()> {
        self.check_writable("make storage")?;
        let options = PostgresOptions::parse(&placement.options)?;
        let (shared, wanted) = (Arc::clone(&self.shared), placement.clone());
        let made = self.work(placement.storage, move |connection| {
            async move {
                    catalog::make(connection, &shared, &wanted, options.table.as_deref()).await
                }
                .boxed()
        });
        made.await
            .map_err(|failure| failure.error(&self.shared.name, Some(&placement.topic)))
    }

    async fn append(
        &self,
        placement: &Placement,
        batch: Arc<AppendBatch>,
    ) -> Result<AppendReceipt> {
        self.check_writable("append")?;
        let topic = self.topic(placement).await?;
        self.tell();
        let appended = topic
            .append(&self.shared, batch, || self.check_open())
            .await;
        if matches!(appended, Err(Error::TopicNotFound { .. })) {
            self.topics.lock().remove(&placement.storage);
        }
        appended
    }

    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
        let open = self.check_open().map(drop);
        let (shared, topics) = (Arc::clone(&self.shared), Arc::clone(&self.topics));
        let placement = placement.clone();
        let start = async move {
            open?;
            let topic = open_topic(&shared, &topics, &placement).await?;
            let core = Arc::clone(&topic.core);
            Ok(Start { shared, core })
        };
        pages(start, plan, self.closed.subscribe())
    }

    async fn state(&self, placement: &Placement, stream: Option<&StreamId>) -> Result<TopicState> {
        let topic = self.topic(placement).await?;
        self.ask(&topic, stream).await
    }

    async fn wait_beyond(&self, placement: &Placement, position: Position) -> Result<Position> {
        let topic = self.topic(placement).await?;
        self.hear();
        let mut closed = self.closed.subscribe();
        tokio::select! {
            head = self.wait(&topic, position) => head,
            _ = closed.wait_for(|closed| *closed) => Err(Error::Closed),
        }
    }

    async fn seal(&self, placement: &Placement, since: Position) -> Result<Position> {
        self.check_writable("seal a topic")?;
        self.set_sealed(placement, true, since).await
    }

    async fn unseal(&self, placement: &Placement, since: Position) -> Result<()> {
        self.check_writable("unseal a topic")?;
        self.set_sealed(placement, false, since).await.map(drop)
    }

    async fn import(&self, placement: &Placement, events: Vec<RecordedEvent>) -> Result<Position> {
        self.check_writable("import events")?;
        let topic = self.topic(placement).await?;
        import(self, placement, events, |rest| {
            self.import_some(placement, &topic, rest)
        })
        .await
    }

    async fn verify(&self, placement: &Placement) -> Result<Verified> {
        let topic = self.topic(placement).await?;
        verify(&self.shared, &topic.core).await
    }

    async fn list(&self) -> Result<Vec<StorageEntry>> {
        drop(self.check_open()?);
        catalog::list(&self.shared)
            .await
            .map_err(|failure| failure.error(&self.shared.name, None))
    }

    async fn remove(&self, storage: StorageId) -> Result<()> {
        self.check_writable("remove storage")?;
        let shared = Arc::clone(&self.shared);
        let removed = self.work(storage, move |connection| {
            async move { catalog::remove(connection, &shared, storage).await }.boxed()
        });
        removed
            .await
            .map_err(|failure| failure.error(&self.shared.name, None))?;
        self.topics.lock().remove(&storage);
        self.shared.heads.forget(storage);
        Ok(())
    }

    async fn health(&self) -> RepositoryHealth {
        if self.check_open().is_err() {
            return RepositoryHealth::new(&self.shared.name, HealthStatus::Down)
                .last_error(Error::Closed.to_string());
        }
        health(&self.shared).await
    }

    async fn close(&self) -> Result<()> {
        *self.open.write() = false;
        let topics: Vec<_> = self.topics.lock().values().map(Arc::clone).collect();
        for topic in topics {
            topic.finish().await;
        }
        self.closed.send_replace(true);
        let tasks = [self.telling.lock().take(), self.listening.lock().take()];
        for task in tasks.into_iter().flatten() {
            // It ends on its own; where it was stopped, nothing is left to be done.
            drop(task.await);
        }
        self.shared.reads.close().await;
        self.shared.appends.close().await;
        Ok(())
    }
}
