//! What belongs to one topic, its tables and functions, and how it is brought from the version of an
//! earlier build to that of this one.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::{
    errors::{Failure, Kind},
    names::{CatalogNames, TopicNames, topic_lock},
    rows::bigint_at,
    schema::execute,
    shared::{Args, Shared},
};
use crate::models::StorageId;

const TABLES: &str = include_str!("sql/tables.sql");
const FUNCTIONS: &str = include_str!("sql/functions.sql");

/// What is done to the tables of a topic from each version to the next, before its functions are made
/// anew. Never changed once released: a new version is a new entry, also where only functions change.
const STEPS: [&str; 1] = [
    // To version 2: pages and groups are asked for in other ways.
    "",
];
/// The version of the topics that this build makes and works with.
pub(super) const VERSION: i32 = 1 + STEPS.len() as i32;

/// Why this build does not touch a topic of a version, if it is newer.
pub(super) fn too_new(version: i32) -> Option<String> {
    (version > VERSION).then(|| {
        format!("has version {version}, and this build knows up to {VERSION}; use a newer one")
    })
}

/// Makes the tables and functions of a topic.
pub(super) async fn make(connection: &mut PgConnection, names: &TopicNames) -> Result<(), Failure> {
    let statements = format!("{};{}", names.fill(TABLES), names.fill(FUNCTIONS));
    execute(connection, statements).await
}

/// Brings a topic to the version of this build, in one transaction under its lock: those who append wait,
/// and then find that their function is of another version.
/// Tells the version that it has then, which is newer where another build was there first; none where
/// the topic is gone.
pub(super) async fn upgrade(
    connection: &mut PgConnection,
    catalog: &CatalogNames,
    storage: StorageId,
) -> Result<Option<i32>, Failure> {
    let lock = topic_lock(&catalog.schema, storage);
    execute(
        connection,
        format!("BEGIN; SELECT pg_advisory_xact_lock({lock})"),
    )
    .await?;
    let sql = format!(
        "SELECT id, events_table, version FROM {} WHERE storage = $1",
        catalog.topics
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(storage.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    let mut version = None;
    if let Some(row) = row {
        let names = TopicNames::new(catalog, storage, row.try_get(0)?, row.try_get(1)?);
        let found: i32 = row.try_get(2)?;
        if found < VERSION {
            bring_from(connection, catalog, &names, found).await?;
        }
        version = Some(found.max(VERSION));
    }
    execute(connection, "COMMIT".to_owned()).await?;
    Ok(version)
}

async fn bring_from(
    connection: &mut PgConnection,
    catalog: &CatalogNames,
    names: &TopicNames,
    found: i32,
) -> Result<(), Failure> {
    let passed = usize::try_from(found - 1)
        .map_err(|_| Failure::new(Kind::Refused, format!("no topic has version {found}")))?;
    let steps: String = STEPS
        .iter()
        .skip(passed)
        .map(|step| names.fill(step))
        .collect();
    execute(connection, steps).await?;
    drop_functions(connection, catalog, names).await?;
    let done = format!(
        "UPDATE {} SET version = {VERSION} WHERE id = {}",
        catalog.topics, names.id
    );
    execute(connection, format!("{};{done}", names.fill(FUNCTIONS))).await
}

/// Whether the tables and functions of a topic are there.
pub(super) async fn is_whole(shared: &Arc<Shared>, names: &TopicNames) -> Result<bool, Failure> {
    let sql = "SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = ANY ($2)), \
         (SELECT count(DISTINCT p.proname) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE n.nspname = $1 AND p.proname = ANY ($3))";
    let called: Vec<_> = functions().map(|name| names.bare(name)).collect();
    let wanted = called.len() as u64;
    let arguments = Args::new()
        .with(shared.address.catalog.schema.as_str())
        .with(vec![names.bare(""), names.bare("tags")])
        .with(called);
    let rows = shared.fetch(sql.into(), arguments).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(bigint_at(row, 0)? == 2 && bigint_at(row, 1)? == wanted)
}

/// Drops the tables and functions of a topic.
pub(super) async fn drop_all(
    connection: &mut PgConnection,
    catalog: &CatalogNames,
    names: &TopicNames,
) -> Result<(), Failure> {
    execute(
        connection,
        format!("DROP TABLE {}, {}", names.events, names.tags),
    )
    .await?;
    drop_functions(connection, catalog, names).await
}

/// Drops the functions of a topic, whatever their parameters are.
async fn drop_functions(
    connection: &mut PgConnection,
    catalog: &CatalogNames,
    names: &TopicNames,
) -> Result<(), Failure> {
    let called: Vec<_> = functions().map(|name| names.bare(name)).collect();
    let drops: Option<String> = sqlx::query_scalar(
        "SELECT string_agg(format('DROP FUNCTION %I.%I(%s)', n.nspname, p.proname, \
         pg_get_function_identity_arguments(p.oid)), ';') \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE n.nspname = $1 AND p.proname = ANY ($2)",
    )
    .bind(&catalog.schema)
    .bind(called)
    .fetch_one(&mut *connection)
    .await?;
    match drops {
        Some(drops) => execute(connection, drops).await,
        None => Ok(()),
    }
}

/// The functions of a topic, which stand in the template.
fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS
        .lines()
        .filter_map(|line| line.strip_prefix("CREATE FUNCTION @")?.split_once('@'))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_write_look_at_the_version() {
        let looks = format!("t.version = {VERSION}");
        assert_eq!(FUNCTIONS.matches(&looks).count(), 2);
        assert_eq!(FUNCTIONS.matches("t.version").count(), 2);
    }

    #[test]
    fn all_functions_are_known_by_name() {
        let functions: Vec<_> = functions().collect();
        assert_eq!(
            functions,
            [
                "deleted",
                "version_at",
                "before",
                "first_match",
                "enter",
                "append",
                "import",
                "seal",
                "state"
            ]
        );
    }
}
