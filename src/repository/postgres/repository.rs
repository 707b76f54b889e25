//! One `postgres` repository: the contract, in terms of topics.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt, stream::BoxStream};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use sqlx::{AssertSqlSafe, Row};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    catalog,
    codec::{bigint, number},
    connection::{Address, Session},
    errors::Failure,
    health::health,
    import::Statement,
    listener::listen,
    notifier::Notifier,
    options::PostgresOptions,
    pages::{Begin, pages},
    sessions::Sessions,
    shared::{Args, Heads, Shared},
    topic::{Core, Topic},
    topics::Topics,
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
    topics: Arc<Topics>,
    read_only: bool,
    /// Held for reading while something is put into a queue, and for writing to close.
    open: RwLock<bool>,
    /// Ends the tasks that tell and hear of new heads, also when it is dropped.
    closed: watch::Sender<bool>,
    listening: Mutex<Option<JoinHandle<()>>>,
    telling: Mutex<Option<JoinHandle<()>>>,
}

impl PostgresRepository {
    /// Where the server `follows` another, it only takes reads.
    pub(super) fn new(
        address: Address,
        request: OpenRequest,
        open: [Session; 2],
        follows: bool,
    ) -> Self {
        let settings = &address.settings;
        let [to_read, to_append] = open;
        let to_append = Some(to_append).filter(|_| !request.read_only);
        let shared = Arc::new(Shared {
            name: request.name,
            reads: Sessions::new(address.clone(), settings.read_connections, Some(to_read)),
            appends: Sessions::new(address.clone(), settings.append_connections, to_append),
            heads: Arc::new(Heads::default()),
            notifier: Arc::new(Notifier::default()),
            clock: request.clock,
            address,
        });
        Self {
            topics: Arc::new(Topics::new(
                Arc::clone(&shared),
                request.read_only || follows,
            )),
            shared,
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
        self.topics.open(placement).await
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
        let imported = self
            .shared
            .work(move |connection| statement.run(connection).boxed());
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
        let called = self.shared.work(move |connection| {
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
        let called = self
            .call_for_head(placement, &topic.core, sql, arguments, turn)
            .await;
        let (head, _) = self.topics.settled(placement, called).await?;
        Ok(head)
    }

    async fn ask(&self, topic: &Topic, stream: Option<&StreamId>) -> Result<TopicState> {
        let failed = |failure: Failure| failure.error(&self.shared.name, Some(&topic.core.topic));
        let arguments = Args::new().with(stream.map(StreamId::as_str));
        let sql = Arc::clone(&topic.core.sql.state);
        let rows = self.shared.fetch(sql, arguments).await.map_err(failed)?;
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
        waited
            .map(Position::new)
            .map_err(|failure| failure.error(&self.shared.name, Some(&topic.core.topic)))
    }
}

#[async_trait]
impl EventRepository for PostgresRepository {
    async fn prepare(&self, placement: &Placement) -> Result<()> {
        self.check_writable("make storage")?;
        let options = PostgresOptions::parse(&placement.options)?;
        let (shared, wanted) = (Arc::clone(&self.shared), placement.clone());
        let made = self.shared.work(move |connection| {
            async move {
                    catalog::make(connection, &shared, &wanted, options.table.as_deref()).await
                }
                .boxed()
        });
        let made = made.await;
        let made = made.map_err(|failure| failure.error(&self.shared.name, Some(&placement.topic)));
        self.topics.settled(placement, made).await
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
        self.topics.settled(placement, appended).await
    }

    fn read(&self, placement: &Placement, plan: ReadPlan) -> BoxStream<'static, Result<Page>> {
        let open = self.check_open().map(drop);
        let begin = Begin {
            shared: Arc::clone(&self.shared),
            topics: Arc::clone(&self.topics),
            placement: placement.clone(),
            closed: self.closed.subscribe(),
        };
        pages(open, begin, plan)
    }

    async fn state(&self, placement: &Placement, stream: Option<&StreamId>) -> Result<TopicState> {
        let topic = self.topic(placement).await?;
        let state = self.ask(&topic, stream).await;
        self.topics.settled(placement, state).await
    }

    async fn wait_beyond(&self, placement: &Placement, position: Position) -> Result<Position> {
        let topic = self.topic(placement).await?;
        self.hear();
        let mut closed = self.closed.subscribe();
        let head = tokio::select! {
            head = self.wait(&topic, position) => head,
            _ = closed.wait_for(|closed| *closed) => Err(Error::Closed),
        };
        self.topics.settled(placement, head).await
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
        let imported = import(self, placement, events, |rest| {
            self.import_some(placement, &topic, rest)
        });
        self.topics.settled(placement, imported.await).await
    }

    async fn verify(&self, placement: &Placement) -> Result<Verified> {
        let topic = self.topic(placement).await?;
        let verified = verify(&self.shared, &topic.core).await;
        self.topics.settled(placement, verified).await
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
        let removed = self.shared.work(move |connection| {
            async move { catalog::remove(connection, &shared, storage).await }.boxed()
        });
        removed
            .await
            .map_err(|failure| failure.error(&self.shared.name, None))?;
        self.topics.forget(storage);
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
        for topic in self.topics.all() {
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
