//! The read model in PostgreSQL: each event counts once, because what it changes is committed together
//! with how far that has come.

use annals::{
    EventStore, RecordedEvent,
    cqrs::{PostgresProjection, Project, Projecting},
    repository::postgres::{
        PostgresCheckpoints,
        sqlx::{self, AssertSqlSafe, PgConnection, PgPool, Row as _, postgres::PgPoolOptions},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    Result,
    event::{ContactDetails, Entity, Event, TOPIC, TransactionDetails},
    rows::{Details, Find, Page, Row},
};

/// What is sorted and searched by is computed here and not there, so that it is the same as in memory.
const MAKE: &str = r#"
CREATE TABLE IF NOT EXISTS read_contacts (
    id uuid PRIMARY KEY, contact uuid, sort text COLLATE "C" NOT NULL, search text NOT NULL,
    deleted boolean NOT NULL, shown jsonb NOT NULL);
CREATE INDEX IF NOT EXISTS read_contacts_sort ON read_contacts (sort, id);
CREATE TABLE IF NOT EXISTS read_transactions (
    id uuid PRIMARY KEY, contact uuid, sort text COLLATE "C" NOT NULL, search text NOT NULL,
    deleted boolean NOT NULL, shown jsonb NOT NULL);
CREATE INDEX IF NOT EXISTS read_transactions_sort ON read_transactions (sort, id);
CREATE INDEX IF NOT EXISTS read_transactions_contact ON read_transactions (contact, sort, id);
CREATE TABLE IF NOT EXISTS read_balances (contact uuid PRIMARY KEY, cents bigint NOT NULL);
"#;

struct Writer;

/// What cannot be kept stops the projection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("a row is not as it was written")]
    Row(#[from] serde_json::Error),
}

impl PostgresProjection for Writer {
    type Event = Event;
    type Error = NotKept;

    async fn prepare(&mut self, connection: &mut PgConnection) -> Result<(), NotKept> {
        sqlx::raw_sql(MAKE).execute(connection).await?;
        Ok(())
    }

    async fn handle(
        &mut self,
        event: Event,
        recorded: &RecordedEvent,
        connection: &mut PgConnection,
    ) -> Result<(), NotKept> {
        match Entity::of_stream(recorded.stream.as_str()) {
            Some(Entity::Contact(id)) => {
                take::<ContactDetails>("read_contacts", id, &event, recorded, connection).await?;
            }
            Some(Entity::Transaction(id)) => {
                let table = "read_transactions";
                let taken =
                    take::<TransactionDetails>(table, id, &event, recorded, connection).await?;
                if let Some((contact, change)) = taken {
                    let add = "INSERT INTO read_balances VALUES ($1, $2) ON CONFLICT (contact) \
                               DO UPDATE SET cents = read_balances.cents + $2";
                    let add = sqlx::query(add).bind(contact).bind(change);
                    add.execute(connection).await?;
                }
            }
            None => {}
        }
        Ok(())
    }
}

/// Takes an event, and tells by how much whose balance has changed.
async fn take<D: Details + Serialize + DeserializeOwned>(
    table: &str,
    id: Uuid,
    event: &Event,
    recorded: &RecordedEvent,
    connection: &mut PgConnection,
) -> Result<Option<(Uuid, i64)>, NotKept> {
    let select = format!("SELECT shown::text FROM {table} WHERE id = $1");
    let select = sqlx::query(AssertSqlSafe(select)).bind(id);
    let before: Option<Row<D>> = match select.fetch_optional(&mut *connection).await? {
        Some(row) => Some(serde_json::from_str(row.get(0))?),
        None => None,
    };
    let counted = before.as_ref().map_or(0, Row::counts);
    let Some(row) = Row::after(before, id, event, recorded) else {
        return Ok(None);
    };
    let upsert = format!(
        "INSERT INTO {table} VALUES ($1, $2, $3, $4, $5, $6::jsonb) ON CONFLICT (id) DO UPDATE \
         SET contact = $2, sort = $3, search = $4, deleted = $5, shown = $6::jsonb"
    );
    sqlx::query(AssertSqlSafe(upsert))
        .bind(id)
        .bind(row.details.contact())
        .bind(row.details.sort_key())
        .bind(row.details.search_text())
        .bind(row.deleted)
        .bind(serde_json::to_string(&row)?)
        .execute(connection)
        .await?;
    let change = row.counts() - counted;
    Ok(row.details.contact().map(|contact| (contact, change)))
}

/// The read model in a database, which follows the topic.
#[derive(Clone)]
pub(crate) struct Tables {
    pool: PgPool,
    pub(crate) projection: Projecting,
}

impl Tables {
    pub(crate) async fn open(store: &EventStore, url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(8).connect(url).await?;
        let checkpoints = PostgresCheckpoints::open(pool.clone(), "read_checkpoints").await?;
        let projection = Project::named("contacts")
            .topics([TOPIC])
            .lease(std::time::Duration::from_secs(2))
            .start_in_postgres(store, checkpoints, |_| Writer);
        Ok(Self {
            projection: projection.await?,
            pool,
        })
    }

    pub(crate) async fn contact(&self, id: Uuid) -> Result<Option<Row<ContactDetails>>> {
        self.get("read_contacts", id).await
    }

    pub(crate) async fn contacts(&self, find: &Find) -> Result<Page<Row<ContactDetails>>> {
        self.find("read_contacts", find).await
    }

    pub(crate) async fn transaction(&self, id: Uuid) -> Result<Option<Row<TransactionDetails>>> {
        self.get("read_transactions", id).await
    }

    pub(crate) async fn transactions(&self, find: &Find) -> Result<Page<Row<TransactionDetails>>> {
        self.find("read_transactions", find).await
    }

    pub(crate) async fn balance(&self, contact: Uuid) -> Result<i64> {
        let select = sqlx::query("SELECT cents FROM read_balances WHERE contact = $1");
        let row = select.bind(contact).fetch_optional(&self.pool).await?;
        Ok(row.map_or(0, |row| row.get(0)))
    }

    async fn get<D: Details + DeserializeOwned>(
        &self,
        table: &str,
        id: Uuid,
    ) -> Result<Option<Row<D>>> {
        let select = format!("SELECT shown::text FROM {table} WHERE id = $1");
        let select = sqlx::query(AssertSqlSafe(select)).bind(id);
        let row = select.fetch_optional(&self.pool).await?;
        let shown = row.map(|row| serde_json::from_str(row.get(0)));
        Ok(shown.transpose()?)
    }

    async fn find<D: Details + DeserializeOwned>(
        &self,
        table: &str,
        find: &Find,
    ) -> Result<Page<Row<D>>> {
        let (key, id) = match &find.after {
            Some((key, id)) => (Some(key), Some(id)),
            None => (None, None),
        };
        let select = format!(
            "SELECT shown::text FROM {table} WHERE ($1 OR NOT deleted) AND ($2::uuid IS NULL OR \
             contact = $2) AND strpos(search, $3) > 0 AND ($4::text IS NULL OR (sort, id) > ($4, $5)) \
             ORDER BY sort, id LIMIT $6"
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(find.deleted)
            .bind(find.contact)
            .bind(&find.text)
            .bind(key)
            .bind(id)
            .bind(find.limit as i64 + 1)
            .fetch_all(&self.pool)
            .await?;
        let shown = rows.iter().map(|row| serde_json::from_str(row.get(0)));
        let items: Vec<_> = shown.collect::<Result<_, _>>()?;
        Ok(Page::of(items, find.limit))
    }

    pub(crate) async fn close(&self) {
        self.projection.stop().await;
        self.pool.close().await;
    }
}
