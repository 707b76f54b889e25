//! Checkpoints in a table of the user's database, which can be written in his own transactions.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    codec::{bigint, number},
    errors::{Failure, Kind},
    shared::Args,
};
use crate::{
    models::{Checkpoint, Commit, Error, Holder, Position, Result, Timestamp},
    repository::Checkpoints,
};

/// How long a checkpoint is waited for that a transaction of the user's has written.
const PATIENCE_MS: u32 = 1000;

/// Checkpoints in a table of a PostgreSQL database: that of a read model, so that both are written in
/// one transaction, and an event is processed exactly once, whatever happens.
///
/// ```no_run
/// use annals::{Consume, EventStore, repository::postgres::{PostgresCheckpoints, sqlx}};
/// use futures_util::TryStreamExt;
///
/// # async fn example(store: EventStore, pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let checkpoints = PostgresCheckpoints::open(pool.clone(), "consumers").await?;
/// let totals = Consume::named("totals").checkpoints(checkpoints.clone());
/// let mut consumer = store.consume("orders", totals).await?;
/// while let Some(event) = consumer.try_next().await? {
///     let mut transaction = pool.begin().await?;
///     sqlx::query("UPDATE totals SET events = events + 1").execute(&mut *transaction).await?;
///     checkpoints.store_in(&mut transaction, &consumer.pending()).await?;
///     transaction.commit().await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// A transaction that has written a checkpoint keeps its lease from being renewed until it ends: let
/// it be over well within the time for which the lease is given.
#[derive(Clone, Debug)]
pub struct PostgresCheckpoints {
    pool: PgPool,
    /// The table, quoted.
    table: Arc<str>,
}

impl PostgresCheckpoints {
    /// Checkpoints in this table, which is made where it is missing: `name` or `schema.name`.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) for a name that no table can have;
    /// [`RepositoryUnavailable`](Error::RepositoryUnavailable).
    pub async fn open(pool: PgPool, table: &str) -> Result<Self> {
        let checkpoints = Self {
            table: quoted(table)?.into(),
            pool,
        };
        let table = &checkpoints.table;
        let look = format!("SELECT 1 FROM {table} LIMIT 0");
        if checkpoints.fetch(look.clone(), Args::new()).await.is_ok() {
            return Ok(checkpoints);
        }
        let make = format!(
            "CREATE TABLE IF NOT EXISTS {table} (consumer text PRIMARY KEY, \
             revision bigint NOT NULL, origin text NOT NULL, position bigint, \
             epoch bigint NOT NULL, owner uuid, held_until bigint, note text NOT NULL)"
        );
        let made = checkpoints.fetch(make, Args::new()).await;
        // Of several that make it at once, the server may refuse all but one.
        match checkpoints.fetch(look, Args::new()).await {
            Ok(_) => Ok(checkpoints),
            Err(missing) => Err(checkpoints.failed(made.err().unwrap_or(missing))),
        }
    }

    /// Writes the position of a consumer in a transaction of the user's: it is there if the
    /// transaction is, and the transaction is refused if the consumer has lost its lease.
    ///
    /// # Errors
    /// [`LeaseLost`](Error::LeaseLost): roll back, another instance goes on.
    /// [`RepositoryUnavailable`](Error::RepositoryUnavailable): roll back and try again.
    pub async fn store_in(&self, connection: &mut PgConnection, commit: &Commit) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET position = $1, revision = revision + 1 \
             WHERE consumer = $2 AND owner = $3 AND epoch = $4 AND coalesce(position, 0) <= $1",
            self.table
        );
        let written = sqlx::query(AssertSqlSafe(sql))
            .bind(bigint(commit.position.get()))
            .bind(&commit.consumer)
            .bind(commit.owner)
            .bind(bigint(commit.epoch))
            .execute(connection)
            .await
            .map_err(|error| self.failed(error.into()))?;
        if written.rows_affected() == 1 {
            return Ok(());
        }
        Err(Error::LeaseLost {
            consumer: commit.consumer.clone(),
        })
    }

    /// Locks the checkpoint of a consumer in a transaction of the user's until that ends, and tells its
    /// position: what an earlier transaction of the consumer has done is done, or never will be.
    ///
    /// # Errors
    /// [`LeaseLost`](Error::LeaseLost): roll back, another instance goes on.
    /// [`RepositoryUnavailable`](Error::RepositoryUnavailable): roll back and try again.
    pub async fn lock_in(
        &self,
        connection: &mut PgConnection,
        commit: &Commit,
    ) -> Result<Position> {
        let sql = format!(
            "SELECT coalesce(position, 0) FROM {} \
             WHERE consumer = $1 AND owner = $2 AND epoch = $3 FOR UPDATE",
            self.table
        );
        let found: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(&commit.consumer)
            .bind(commit.owner)
            .bind(bigint(commit.epoch))
            .fetch_optional(connection)
            .await
            .map_err(|error| self.failed(error.into()))?;
        match found {
            Some(position) => Ok(Position::new(number(position))),
            None => Err(Error::LeaseLost {
                consumer: commit.consumer.clone(),
            }),
        }
    }

    /// As [`replace`](Checkpoints::replace), in a transaction of the user's.
    ///
    /// # Errors
    /// Those of [`replace`](Checkpoints::replace): roll back.
    pub async fn replace_in(
        &self,
        connection: &mut PgConnection,
        consumer: &str,
        next: &Checkpoint,
    ) -> Result<u64> {
        let (sql, arguments) = self.replacing(consumer, next);
        let replaced = async {
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments.into_inner()?);
            Ok::<_, Failure>(query.fetch_optional(connection).await?)
        };
        self.replaced(consumer, replaced.await)
    }

    /// The database.
    #[cfg(feature = "cqrs")]
    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs a statement in a task of its own: a future that is dropped leaves no session behind that
    /// is in the middle of something.
    async fn fetch(&self, sql: String, arguments: Args) -> Result<Option<PgRow>, Failure> {
        let pool = self.pool.clone();
        let task = tokio::spawn(async move {
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments.into_inner()?);
            Ok(query.fetch_optional(&pool).await?)
        });
        task.await
            .unwrap_or_else(|_| Err(Failure::new(Kind::Unreachable, "the runtime shuts down")))
    }

    /// The statement that replaces a checkpoint.
    fn replacing(&self, consumer: &str, next: &Checkpoint) -> (String, Args) {
        let table = &self.table;
        // A transaction of the user's may hold the row for as long as it likes.
        let sql = format!(
            "WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', '{PATIENCE_MS}', true)), \
             free AS (SELECT FROM patience, {table} WHERE consumer = $1 FOR UPDATE OF {table}), \
             changed AS (UPDATE {table} SET revision = revision + 1, origin = $3, position = $4, \
             epoch = $5, owner = $6, held_until = $7, note = $8 \
             WHERE consumer = $1 AND revision = $2 AND EXISTS (SELECT FROM free) \
             AND (origin <> $3 OR coalesce(position, 0) <= coalesce($4, 0)) RETURNING revision), \
             made AS (INSERT INTO {table} (consumer, revision, origin, position, epoch, owner, \
             held_until, note) SELECT $1, 1, $3, $4, $5, $6, $7, $8 WHERE $2 = 0 \
             ON CONFLICT DO NOTHING RETURNING revision) \
             SELECT revision FROM changed UNION ALL SELECT revision FROM made"
        );
        let arguments = Args::new()
            .with(consumer)
            .with(bigint(next.revision))
            .with(&*next.origin)
            .with(next.position.map(|position| bigint(position.get())))
            .with(bigint(next.epoch))
            .with(next.holder.map(|holder| holder.owner))
            .with(next.holder.map(|holder| holder.until.as_micros()))
            .with(&*next.note);
        (sql, arguments)
    }

    fn replaced(&self, consumer: &str, row: Result<Option<PgRow>, Failure>) -> Result<u64> {
        let Some(row) = row.map_err(|failure| self.failed(failure))? else {
            return Err(Error::CheckpointConflict {
                consumer: consumer.to_owned(),
            });
        };
        let revision = row.try_get(0).map_err(|error| self.failed(error.into()))?;
        Ok(number(revision))
    }

    fn failed(&self, failure: Failure) -> Error {
        failure.error(&format!("postgres table {}", self.table), None)
    }
}

#[async_trait]
impl Checkpoints for PostgresCheckpoints {
    async fn load(&self, consumer: &str) -> Result<Checkpoint> {
        let sql = format!(
            "SELECT revision, origin, position, epoch, owner, held_until, note FROM {} \
             WHERE consumer = $1",
            self.table
        );
        let row = self.fetch(sql, Args::new().with(consumer)).await;
        let Some(row) = row.map_err(|failure| self.failed(failure))? else {
            return Ok(Checkpoint::default());
        };
        read(&row).map_err(|error| self.failed(error.into()))
    }

    async fn replace(&self, consumer: &str, next: &Checkpoint) -> Result<u64> {
        let (sql, arguments) = self.replacing(consumer, next);
        let row = self.fetch(sql, arguments).await;
        self.replaced(consumer, row)
    }
}

fn read(row: &PgRow) -> Result<Checkpoint, sqlx::Error> {
    let owner: Option<Uuid> = row.try_get(4)?;
    let until: Option<i64> = row.try_get(5)?;
    Ok(Checkpoint {
        revision: number(row.try_get(0)?),
        origin: row.try_get(1)?,
        position: row
            .try_get::<Option<i64>, _>(2)?
            .map(|position| Position::new(number(position))),
        epoch: number(row.try_get(3)?),
        holder: owner.zip(until).map(|(owner, until)| Holder {
            owner,
            until: Timestamp::from_micros(until),
        }),
        note: row.try_get(6)?,
    })
}

/// A table's name as it stands in SQL.
fn quoted(table: &str) -> Result<String> {
    let part = |part: &str| {
        let fits = !part.is_empty() && part.len() <= 63 && !part.contains('\0');
        fits.then(|| format!("\"{}\"", part.replace('"', "\"\"")))
    };
    let parts: Option<Vec<_>> = table.split('.').map(part).collect();
    parts
        .filter(|parts| parts.len() <= 2)
        .map(|parts| parts.join("."))
        .ok_or_else(|| Error::InvalidConfig {
            key: "table".to_owned(),
            reason: format!(
                "{table:?} is no table: give `name` or `schema.name`, each of 1 to 63 bytes"
            ),
        })
}
