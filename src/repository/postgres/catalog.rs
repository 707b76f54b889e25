//! The table of topics: finds, makes, lists and removes storage.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::{
    errors::{Failure, Kind},
    names::{CatalogNames, TopicNames, table_base, topic_lock},
    schema::{begin, execute},
    shared::{Args, Shared},
    upgrade,
};
use crate::{
    models::{Placement, StorageId, StoreId, TopicName},
    repository::StorageEntry,
};

/// A storage that is there.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) names: TopicNames,
    /// Which build's tables and functions it has.
    pub(super) version: i32,
}

/// A storage; none where it is not there.
pub(super) async fn find(
    shared: &Arc<Shared>,
    storage: StorageId,
) -> Result<Option<Found>, Failure> {
    let catalog = &shared.address.catalog;
    let sql = format!(
        "SELECT t.id, t.events_table, t.version FROM {} t WHERE t.storage = $1",
        catalog.topics
    );
    let rows = shared
        .fetch(sql.into(), Args::new().with(storage.uuid()))
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let table: &str = row.try_get(1)?;
    Ok(Some(Found {
        names: TopicNames::new(catalog, storage, row.try_get(0)?, table),
        version: row.try_get(2)?,
    }))
}

/// Every storage but those of configuration streams.
pub(super) async fn list(shared: &Arc<Shared>) -> Result<Vec<StorageEntry>, Failure> {
    let sql = format!(
        "SELECT t.storage, t.store, t.name FROM {} t WHERE t.storage <> $1 ORDER BY t.id",
        shared.address.catalog.topics
    );
    let configuration = StorageId::CONFIGURATION.uuid();
    let rows = shared
        .fetch(sql.into(), Args::new().with(configuration))
        .await?;
    rows.iter()
        .map(|row| {
            let name: &str = row.try_get(2)?;
            let topic = TopicName::new(name).map_err(|_| {
                Failure::new(
                    Kind::Refused,
                    "the table of topics has a name that none can have",
                )
            })?;
            Ok(StorageEntry {
                storage: StorageId::new(row.try_get(0)?),
                store: StoreId::new(row.try_get(1)?),
                topic,
            })
        })
        .collect()
}

/// Makes the tables of a placement, or notes its options where they are there.
pub(super) async fn make(
    connection: &mut PgConnection,
    shared: &Shared,
    placement: &Placement,
    table: Option<&str>,
) -> Result<(), Failure> {
    let catalog = &shared.address.catalog;
    let options = serde_json::to_string(&crate::models::secrets::mask_options(&placement.options))
        .map_err(|error| Failure::new(Kind::Data, error.to_string()))?;
    // Most are there already, and a server that only takes reads is asked for no more.
    let known = format!(
        "SELECT EXISTS (SELECT FROM {} WHERE storage = $1 AND options::text = $2)",
        catalog.topics
    );
    let known: bool = sqlx::query_scalar(AssertSqlSafe(known))
        .bind(placement.storage.uuid())
        .bind(&options)
        .fetch_one(&mut *connection)
        .await?;
    if known {
        return Ok(());
    }
    begin(connection, &catalog.schema).await?;
    let known = format!(
        "UPDATE {} SET options = $2::json WHERE storage = $1",
        catalog.topics
    );
    let known = sqlx::query(AssertSqlSafe(known))
        .bind(placement.storage.uuid())
        .bind(&options)
        .execute(&mut *connection)
        .await?;
    if known.rows_affected() == 0 {
        refuse_removed(connection, &catalog.removed, placement.storage).await?;
        let id = next_id(connection, &catalog.topics).await?;
        let base = table_base(&placement.topic, table);
        let name = free_name(connection, catalog, &base, id).await?;
        let sql = format!(
            "INSERT INTO {} (id, name, events_table, storage, store, options, version) \
             OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6::json, $7)",
            catalog.topics
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(placement.topic.as_str())
            .bind(&name)
            .bind(placement.storage.uuid())
            .bind(placement.store.uuid())
            .bind(&options)
            .bind(upgrade::VERSION)
            .execute(&mut *connection)
            .await?;
        let names = TopicNames::new(catalog, placement.storage, id, &name);
        upgrade::make(connection, &names).await?;
    }
    execute(connection, "COMMIT".to_owned()).await
}

/// A call of somebody who stood still does not make anew what was removed.
async fn refuse_removed(
    connection: &mut PgConnection,
    removed: &str,
    storage: StorageId,
) -> Result<(), Failure> {
    let sql = format!("SELECT EXISTS (SELECT FROM {removed} WHERE storage = $1)");
    let is_removed: bool = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(storage.uuid())
        .fetch_one(connection)
        .await?;
    if is_removed {
        return Err(Failure::new(Kind::Gone, "the storage was removed"));
    }
    Ok(())
}

async fn next_id(connection: &mut PgConnection, topics: &str) -> Result<i32, Failure> {
    let id: i64 = sqlx::query_scalar("SELECT nextval(pg_get_serial_sequence($1, 'id'))")
        .bind(topics)
        .fetch_one(connection)
        .await?;
    i32::try_from(id).map_err(|_| Failure::new(Kind::Refused, "the table of topics is full"))
}

/// What the table is called: `base` itself, if nothing else is called so or was, else with the topic's
/// number behind it. A name is never used again: who has not heard that a topic's storage is gone would
/// take another one for it.
async fn free_name(
    connection: &mut PgConnection,
    catalog: &CatalogNames,
    base: &str,
    id: i32,
) -> Result<String, Failure> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = ANY ($2)) \
         OR EXISTS (SELECT FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
         WHERE n.nspname = $1 AND t.typname = ANY ($2)) \
         OR EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE n.nspname = $1 AND p.proname = $3 || '_append') \
         OR EXISTS (SELECT FROM {} r WHERE r.events_table = ANY ($2) \
         OR r.events_table || '_tags' = $3)",
        catalog.removed
    );
    let mut name = base.to_owned();
    for attempt in 0_u32.. {
        let names: Vec<_> = ["", "_tags"].map(|suffix| format!("{name}{suffix}")).into();
        let taken: bool = sqlx::query_scalar(AssertSqlSafe(sql.as_str()))
            .bind(&catalog.schema)
            .bind(names)
            .bind(&name)
            .fetch_one(&mut *connection)
            .await?;
        if !taken {
            break;
        }
        name = match attempt {
            0 => format!("{base}_{id}"),
            further => format!("{base}_{id}_{further}"),
        };
    }
    Ok(name)
}

/// Drops the tables and functions of a storage, if they are there, and notes that it was removed.
pub(super) async fn remove(
    connection: &mut PgConnection,
    shared: &Shared,
    storage: StorageId,
) -> Result<(), Failure> {
    let catalog = &shared.address.catalog;
    begin(connection, &catalog.schema).await?;
    // After this, whoever holds the lock of the topic is done, and who waits finds no topic.
    let lock = topic_lock(&catalog.schema, storage);
    execute(connection, format!("SELECT pg_advisory_xact_lock({lock})")).await?;
    let sql = format!(
        "DELETE FROM {} WHERE storage = $1 RETURNING id, events_table, version",
        catalog.topics
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(storage.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    let table = row
        .as_ref()
        .map(|row| row.try_get::<&str, _>(1))
        .transpose()?;
    let note = format!(
        "INSERT INTO {} (storage, events_table) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        catalog.removed
    );
    sqlx::query(AssertSqlSafe(note))
        .bind(storage.uuid())
        .bind(table)
        .execute(&mut *connection)
        .await?;
    if let (Some(row), Some(table)) = (&row, table) {
        if let Some(reason) = upgrade::too_new(row.try_get(2)?) {
            return Err(Failure::new(Kind::Refused, format!("the topic {reason}")));
        }
        let names = TopicNames::new(catalog, storage, row.try_get(0)?, table);
        upgrade::drop_all(connection, catalog, &names).await?;
    }
    execute(connection, "COMMIT".to_owned()).await
}

/// How many storages there are.
pub(super) async fn count(shared: &Arc<Shared>) -> Result<u64, Failure> {
    let sql = format!("SELECT count(*) FROM {}", shared.address.catalog.topics);
    let rows = shared.fetch(sql.into(), Args::new()).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(super::rows::bigint_at(row, 0)?)
}
