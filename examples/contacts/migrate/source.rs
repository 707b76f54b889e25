//! The table from which events come, and up to which row it has settled.

use std::{collections::BTreeMap, time::Duration};

use annals::repository::postgres::sqlx::{
    self, AssertSqlSafe, Connection, PgConnection, Row as _, postgres::PgRow,
};
use uuid::Uuid;

use super::Migrate;
use crate::Result;

/// What columns are usually called.
const USUAL: [(&str, &[&str]); 8] = [
    (
        "id",
        &["id", "global_position", "position", "sequence", "seq"],
    ),
    (
        "stream",
        &["stream_id", "stream", "aggregate_id", "stream_name"],
    ),
    (
        "version",
        &["version", "stream_version", "aggregate_version"],
    ),
    ("type", &["type", "event_type", "name"]),
    ("payload", &["payload", "data", "event_data", "body"]),
    ("metadata", &["metadata", "meta"]),
    (
        "time",
        &[
            "created_at",
            "recorded_at",
            "timestamp",
            "occurred_at",
            "time",
        ],
    ),
    (
        "event-id",
        &["event_id", "event_uuid", "uuid", "message_id"],
    ),
];
/// Those without which it cannot be done.
const NEEDED: [&str; 5] = ["id", "stream", "type", "payload", "time"];
/// How long it waits before it looks again whether writers have ended.
const PAUSE: Duration = Duration::from_millis(20);

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceRow {
    pub(super) id: i64,
    pub(super) stream: String,
    pub(super) version: Option<i64>,
    pub(super) event_type: String,
    pub(super) payload: String,
    pub(super) metadata: Option<String>,
    pub(super) micros: i64,
    pub(super) event_id: Option<Uuid>,
}

pub(super) struct Source {
    connection: PgConnection,
    /// The table and its columns, quoted.
    table: String,
    id: String,
    stream: String,
    select: String,
    /// The version of a stream's first event.
    pub(super) first_version: Option<i64>,
    locked: bool,
}

impl Source {
    pub(super) async fn open(migrate: &Migrate) -> Result<Self> {
        let mut connection = PgConnection::connect(&migrate.from).await?;
        let parts: Vec<_> = migrate.table.split('.').map(quoted).collect();
        let table = parts.join(".");
        let columns = columns(&mut connection, &table, migrate).await?;
        let column = |meaning: &str| columns.get(meaning).map(|name| quoted(name));
        let or_null = |meaning: &str| column(meaning).unwrap_or_else(|| "NULL".to_owned());
        let (id, stream) = (or_null("id"), or_null("stream"));
        let select = format!(
            "SELECT {id}::bigint, {stream}::text, {}::bigint, {}::text, {}::text, {}::text, \
             (extract(epoch FROM {}) * 1000000)::bigint, {}::uuid FROM {table}",
            or_null("version"),
            or_null("type"),
            or_null("payload"),
            or_null("metadata"),
            or_null("time"),
            or_null("event-id"),
        );
        let first_version = match column("version") {
            Some(version) => {
                let first = format!("SELECT min({version})::bigint FROM {table}");
                one(&mut connection, first).await?.get(0)
            }
            None => None,
        };
        Ok(Self {
            connection,
            table,
            id,
            stream,
            select,
            first_version,
            locked: false,
        })
    }

    /// The last row that can be seen now.
    pub(super) async fn last_row(&mut self) -> Result<i64> {
        let last = format!("SELECT max({})::bigint FROM {}", self.id, self.table);
        let last: Option<i64> = one(&mut self.connection, last).await?.get(0);
        Ok(last.unwrap_or(0))
    }

    /// A row up to which nothing will come any more. A sequence gives its numbers before their rows can
    /// be seen, so that a row can come to be seen after one behind it. Who inserts has a lock on the table
    /// before he takes a number: those who have one now may have numbers up to the last row that is seen,
    /// and those who come later have none. So it is waited until those have ended.
    pub(super) async fn settled(&mut self) -> Result<i64> {
        let last = self.last_row().await?;
        let holding = "SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') FROM pg_locks \
             WHERE locktype = 'relation' AND relation = $1::regclass AND granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', \
             'AccessExclusiveLock') AND pid IS DISTINCT FROM pg_backend_pid()";
        let writers = sqlx::query(holding).bind(&self.table);
        let writers: Vec<String> = writers.fetch_one(&mut self.connection).await?.get(0);
        loop {
            let left = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' \
                        AND relation = $1::regclass AND virtualtransaction = ANY($2)";
            let left = sqlx::query(left).bind(&self.table).bind(&writers);
            let left: i64 = left.fetch_one(&mut self.connection).await?.get(0);
            if left == 0 {
                return Ok(last);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Rows after one and up to another, in order.
    pub(super) async fn rows(
        &mut self,
        after: i64,
        up_to: i64,
        limit: u16,
    ) -> Result<Vec<SourceRow>> {
        let Self { select, id, .. } = self;
        let select = format!("{select} WHERE {id} > $1 AND {id} <= $2 ORDER BY {id} LIMIT $3");
        let rows = sqlx::query(AssertSqlSafe(select));
        let rows = rows.bind(after).bind(up_to).bind(i64::from(limit));
        let rows = rows.fetch_all(&mut self.connection).await?;
        rows.iter().map(SourceRow::read).collect()
    }

    /// How many rows each stream has, up to a row.
    pub(super) async fn counts(&mut self, up_to: i64) -> Result<BTreeMap<String, u64>> {
        let Self {
            stream, table, id, ..
        } = self;
        let select =
            format!("SELECT {stream}::text, count(*) FROM {table} WHERE {id} <= $1 GROUP BY 1");
        let rows = sqlx::query(AssertSqlSafe(select)).bind(up_to);
        let rows = rows.fetch_all(&mut self.connection).await?;
        let count = |row: &PgRow| (row.get(0), row.get::<i64, _>(1).cast_unsigned());
        Ok(rows.iter().map(count).collect())
    }

    /// From now on nobody can write to the table, and all who have written are done.
    pub(super) async fn lock(&mut self) -> Result<()> {
        let lock = format!("BEGIN; LOCK TABLE {} IN SHARE MODE", self.table);
        let lock = sqlx::raw_sql(AssertSqlSafe(lock));
        lock.execute(&mut self.connection).await?;
        self.locked = true;
        Ok(())
    }

    pub(super) async fn unlock(&mut self) -> Result<()> {
        if std::mem::take(&mut self.locked) {
            sqlx::raw_sql("COMMIT")
                .execute(&mut self.connection)
                .await?;
        }
        Ok(())
    }
}

impl SourceRow {
    fn read(row: &PgRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get(0)?,
            stream: row.try_get(1)?,
            version: row.try_get(2)?,
            event_type: row.try_get(3)?,
            payload: row
                .try_get::<Option<String>, _>(4)?
                .unwrap_or_else(|| "null".to_owned()),
            metadata: row.try_get(5)?,
            micros: row.try_get(6)?,
            event_id: row.try_get(7)?,
        })
    }
}

/// Which column has which meaning.
async fn columns(
    connection: &mut PgConnection,
    table: &str,
    migrate: &Migrate,
) -> Result<BTreeMap<String, String>> {
    let there = "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass \
                 AND attnum > 0 AND NOT attisdropped";
    let there = sqlx::query(there).bind(table).fetch_all(connection).await?;
    let there: Vec<String> = there.iter().map(|row| row.get(0)).collect();
    let mut columns = BTreeMap::new();
    for (meaning, names) in USUAL {
        let usual = names
            .iter()
            .find(|name| there.iter().any(|one| one == *name));
        if let Some(name) = usual {
            columns.insert(meaning.to_owned(), (*name).to_owned());
        }
    }
    for given in &migrate.columns {
        let (meaning, name) = given.split_once('=').ok_or("--column is MEANING=NAME")?;
        if !USUAL.iter().any(|(usual, _)| *usual == meaning) {
            return Err(format!("no column means {meaning:?}").into());
        }
        columns.remove(meaning);
        if name != "-" {
            columns.insert(meaning.to_owned(), name.to_owned());
        }
    }
    for needed in NEEDED {
        if !columns.contains_key(needed) {
            let what =
                format!("which column is the {needed}? Say --column {needed}=NAME, of {there:?}");
            return Err(what.into());
        }
    }
    Ok(columns)
}

async fn one(connection: &mut PgConnection, select: String) -> Result<PgRow> {
    let select = sqlx::query(AssertSqlSafe(select));
    Ok(select.fetch_one(connection).await?)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
