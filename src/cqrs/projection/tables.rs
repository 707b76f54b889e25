//! Read models in PostgreSQL: what is made of events, and how far that has come, are committed in one
//! transaction, so that each event counts once.

use std::{borrow::Cow, sync::Arc};

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{
    Project, Projecting,
    handlers::{
        generations::Generations,
        sink::{Failure, Sink, Turn},
    },
};
use crate::{
    Checkpoint, Error, EventStore, Result,
    cqrs::Schema,
    repository::postgres::{
        PostgresCheckpoints,
        sqlx::{self, PgConnection, Postgres, Transaction},
    },
};

/// What is done with each event in a PostgreSQL database, **exactly once**: in a transaction that also
/// records how far it has come.
///
/// ```no_run
/// use annals::{EventStore, RecordedEvent};
/// use annals::cqrs::{PostgresProjection, Project};
/// use annals::repository::postgres::{PostgresCheckpoints, sqlx::{self, PgConnection}};
/// # use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// enum OrderEvent {
///     OrderPlaced { customer: String, cents: i64 },
/// }
///
/// /// What customers have spent, in a table for each generation.
/// struct Spent { table: String }
///
/// impl PostgresProjection for Spent {
///     type Event = OrderEvent;
///     type Error = sqlx::Error;
///
///     async fn prepare(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
///         let make = format!("CREATE TABLE IF NOT EXISTS {} (customer text PRIMARY KEY, cents bigint)", self.table);
///         sqlx::query(sqlx::AssertSqlSafe(make)).execute(connection).await?;
///         Ok(())
///     }
///
///     async fn handle(&mut self, event: OrderEvent, _: &RecordedEvent, connection: &mut PgConnection) -> sqlx::Result<()> {
///         let OrderEvent::OrderPlaced { customer, cents } = event;
///         let add = format!(
///             "INSERT INTO {0} VALUES ($1, $2) ON CONFLICT (customer) DO UPDATE SET cents = {0}.cents + $2",
///             self.table
///         );
///         sqlx::query(sqlx::AssertSqlSafe(add)).bind(customer).bind(cents).execute(connection).await?;
///         Ok(())
///     }
///
///     /// Readers ask a view.
///     async fn switch(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
///         let view = format!("CREATE OR REPLACE VIEW spent AS SELECT * FROM {}", self.table);
///         sqlx::query(sqlx::AssertSqlSafe(view)).execute(connection).await?;
///         Ok(())
///     }
/// }
///
/// # async fn example(store: EventStore, pool: sqlx::PgPool) -> annals::Result<()> {
/// let checkpoints = PostgresCheckpoints::open(pool, "projections").await?;
/// let spent = Project::named("spent")
///     .topics(["orders"])
///     .start_in_postgres(&store, checkpoints, |generation| Spent { table: format!("spent_{generation}") })
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// Some hundred events share a transaction; where one of them is refused, all are rolled back, and tried
/// again one by one. A transaction keeps the lease from being renewed, so it has to be over well within
/// the time for which that is given.
pub trait PostgresProjection: Send + 'static {
    /// What it is given; see [`Schema`].
    type Event: DeserializeOwned + Send + 'static;
    /// Why an event could not be handled.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Makes the tables of this generation, where they are missing. Called at each start, before any
    /// event, in a transaction.
    fn prepare(
        &mut self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Handles an event within the transaction of this connection. What it does elsewhere may be done
    /// more than once.
    fn handle(
        &mut self,
        event: Self::Event,
        recorded: &crate::RecordedEvent,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Has readers see this generation: in the transaction that records that it is the one that is read.
    /// Not called for the first one.
    fn switch(
        &mut self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }
}

impl<E: DeserializeOwned + 'static> Project<E> {
    /// Starts it in the database of these checkpoints, with what `make` gives for a generation. As
    /// [`start`](Self::start) else.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub async fn start_in_postgres<P: PostgresProjection<Event = E>>(
        self,
        store: &EventStore,
        checkpoints: PostgresCheckpoints,
        mut make: impl FnMut(u64) -> P + Send + 'static,
    ) -> Result<Projecting> {
        let (project, schema, most) = self.into_parts();
        let project = project.checkpoints(checkpoints.clone()).batch(most);
        let sink = move |generation| Tables {
            projection: make(generation),
            schema: schema.clone(),
            checkpoints: checkpoints.clone(),
        };
        project.start_sink(store, sink).await
    }
}

/// A handler with its transactions.
struct Tables<P: PostgresProjection> {
    projection: P,
    schema: Schema<P::Event>,
    checkpoints: PostgresCheckpoints,
}

impl<P: PostgresProjection> Sink for Tables<P> {
    const RECORDS: bool = true;

    async fn prepare(&mut self) -> Result<(), Failure> {
        let mut transaction = self.begin().await?;
        let prepared = self.projection.prepare(&mut transaction).await;
        self.end(transaction, prepared).await
    }

    async fn handle(
        &mut self,
        turn: Turn<'_>,
        stop: &watch::Receiver<bool>,
    ) -> (usize, Option<Failure>) {
        let all = turn.events;
        match self.transact(&turn).await {
            Ok(()) => return (all.len(), None),
            Err(failure @ Failure::Store(_)) => return (0, Some(failure)),
            Err(failure) if all.len() == 1 => return (0, Some(failure)),
            Err(_) => {}
        }
        // One of them is refused: those before it are handled by themselves, up to that one.
        let mut done = 0;
        for event in all.chunks(1) {
            if *stop.borrow() {
                break;
            }
            let one = Turn {
                events: event,
                ..turn.clone()
            };
            if let Err(failure) = self.transact(&one).await {
                return (done, Some(failure));
            }
            done += 1;
        }
        (done, None)
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    async fn switch(
        &mut self,
        generations: &Generations,
        next: &Checkpoint,
    ) -> Result<(), Failure> {
        let mut transaction = self.begin().await?;
        let switched = self.projection.switch(&mut transaction).await;
        if switched.is_err() {
            return self.end(transaction, switched).await;
        }
        // Behind it, as a checkpoint is not waited for as long as a reader may be.
        let replaced = self
            .checkpoints
            .replace_in(&mut transaction, &generations.key, next)
            .await;
        replaced.map_err(not_recorded)?;
        self.end(transaction, Ok(())).await
    }
}

impl<P: PostgresProjection> Tables<P> {
    /// Handles events in one transaction with what records that.
    async fn transact(&mut self, turn: &Turn<'_>) -> Result<(), Failure> {
        let Some(last) = turn.events.last() else {
            return Ok(());
        };
        let commit = turn.commit(last);
        let mut transaction = self.begin().await?;
        // An earlier transaction of which nobody has heard is over now, and what it did is seen.
        let locked = self.checkpoints.lock_in(&mut transaction, &commit).await;
        let handled_to = locked.map_err(Failure::Store)?;
        for recorded in turn.events {
            if turn.place(recorded) <= handled_to {
                continue;
            }
            let decoded = self.schema.decode(recorded);
            if let Some(event) = decoded.map_err(Failure::Unreadable)? {
                let handled = self
                    .projection
                    .handle(event, recorded, &mut transaction)
                    .await;
                if handled.is_err() {
                    return self.end(transaction, handled).await;
                }
            }
        }
        if commit.position > handled_to {
            let stored = self.checkpoints.store_in(&mut transaction, &commit).await;
            stored.map_err(not_recorded)?;
        }
        self.end(transaction, Ok(())).await
    }

    async fn begin(&mut self) -> Result<Transaction<'static, Postgres>, Failure> {
        self.checkpoints.pool().begin().await.map_err(unavailable)
    }

    /// Commits, or finds out whose fault it is: where the connection is gone, not that of the event.
    async fn end(
        &mut self,
        transaction: Transaction<'static, Postgres>,
        done: Result<(), P::Error>,
    ) -> Result<(), Failure> {
        match done {
            Ok(()) => transaction.commit().await.map_err(not_committed),
            Err(error) => {
                transaction.rollback().await.map_err(unavailable)?;
                Err(Failure::Handler(Box::new(error)))
            }
        }
    }
}

/// Some constraints are looked at only at the end, and what breaks them is refused as by the handler.
fn not_committed(error: sqlx::Error) -> Failure {
    let refusals = ["22", "23", "P0"];
    if refusals.iter().any(|class| code(&error).starts_with(class)) {
        return Failure::Handler(Box::new(error));
    }
    unavailable(error)
}

/// The server takes nothing more where a handler has gone on after an error of its own.
fn not_recorded(error: Error) -> Failure {
    let source = std::error::Error::source(&error);
    let source = source.and_then(|source| source.downcast_ref::<Arc<sqlx::Error>>());
    if source.is_some_and(|source| code(source) == "25P02") {
        return Failure::Handler(Box::new(error));
    }
    Failure::Store(error)
}

fn code(error: &sqlx::Error) -> Cow<'_, str> {
    let database = error.as_database_error();
    database.and_then(|error| error.code()).unwrap_or_default()
}

fn unavailable(error: sqlx::Error) -> Failure {
    Failure::Store(Error::RepositoryUnavailable {
        repository: "the database of the projection".to_owned(),
        reason: "the transaction was not committed, as far as is known".to_owned(),
        source: Some(Box::new(error)),
    })
}
