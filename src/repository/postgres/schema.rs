//! What the server has to be, and the schema, which the repository makes and upgrades itself.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::{
    connection::{Address, Session},
    errors::Failure,
    names::{CatalogNames, fill, quoted, schema_lock},
};
use crate::models::{Error, Result};

/// The oldest server, as it tells its version.
const OLDEST: i32 = 140_000;

/// The statements that lead from each version of what all topics share to the next. Never changed once
/// released: a new version is a new entry. Topics have versions of their own, see `upgrade.rs`.
const MIGRATIONS: [&str; 3] = [
    include_str!("sql/catalog.sql"),
    include_str!("sql/removed.sql"),
    include_str!("sql/versions.sql"),
];

/// What the server tells of itself.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) follows: bool,
    /// Settings with which a crash loses what was acknowledged.
    pub(super) unsafe_settings: Vec<String>,
    encoding: String,
    version: i32,
}

impl Server {
    pub(super) async fn ask(connection: &mut PgConnection) -> Result<Self, Failure> {
        let row = sqlx::query(
            "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), \
             current_setting('server_encoding'), current_setting('fsync'), \
             current_setting('full_page_writes'), current_setting('synchronous_commit')",
        )
        .fetch_one(connection)
        .await?;
        let mut unsafe_settings = Vec::new();
        for (column, name) in [
            (3, "fsync"),
            (4, "full_page_writes"),
            (5, "synchronous_commit"),
        ] {
            if row.try_get::<String, _>(column)? == "off" {
                unsafe_settings.push(name.to_owned());
            }
        }
        Ok(Self {
            version: row.try_get(0)?,
            follows: row.try_get(1)?,
            encoding: row.try_get(2)?,
            unsafe_settings,
        })
    }

    /// Refuses a server on which the promises cannot be kept.
    pub(super) fn check(&self, address: &Address, repository: &str) -> Result<()> {
        let unusable = |reason: String| Error::InvalidConfig {
            key: format!("connection {repository}"),
            reason,
        };
        if self.version < OLDEST {
            return Err(unusable(format!(
                "the server is PostgreSQL {}; 14 is the oldest that is supported",
                self.version / 10_000
            )));
        }
        if self.encoding != "UTF8" {
            return Err(unusable(format!(
                "the database is encoded in {}, and only one in UTF8 holds every text",
                self.encoding
            )));
        }
        if !self.unsafe_settings.is_empty() && !address.settings.allow_not_durable {
            return Err(unusable(format!(
                "the server has {} off, so that a crash of it can lose what was acknowledged; turn it on, or allow it by the option `unsafe_allow_not_durable`",
                self.unsafe_settings.join(" and ")
            )));
        }
        Ok(())
    }
}

/// The version of the schema; none where it is not there.
async fn version(
    connection: &mut PgConnection,
    names: &CatalogNames,
) -> Result<Option<i32>, Failure> {
    // The catalog is read as a table is: `to_regclass` may answer from a cache that is older than
    // the lock.
    let there: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = 'schema_version')",
    )
    .bind(&names.schema)
    .fetch_one(&mut *connection)
    .await?;
    if !there {
        return Ok(None);
    }
    let sql = format!("SELECT max(version) FROM {}", names.versions);
    let version = sqlx::query_scalar::<_, Option<i32>>(AssertSqlSafe(sql));
    Ok(version.fetch_one(connection).await?)
}

/// Makes the schema, or brings it to the version of this build, if it is not there yet.
pub(super) async fn ensure(
    session: &mut Session,
    names: &CatalogNames,
    repository: &str,
    read_only: bool,
) -> Result<()> {
    let failed = |failure: Failure| failure.error(repository, None);
    let found = version(&mut session.connection, names)
        .await
        .map_err(failed)?;
    if is_current(found, names, repository)? {
        return Ok(());
    }
    if read_only {
        return Err(Error::RepositoryUnavailable {
            repository: repository.to_owned(),
            reason: format!(
                "the schema {:?} is not there, or is of an older version; a store that is not read-only makes it",
                names.schema
            ),
            source: None,
        });
    }
    match migrate(&mut session.connection, names)
        .await
        .map_err(failed)?
    {
        None => Ok(()),
        Some(newer) => is_current(Some(newer), names, repository).map(drop),
    }
}

fn is_current(found: Option<i32>, names: &CatalogNames, repository: &str) -> Result<bool> {
    let current = MIGRATIONS.len() as i32;
    match found {
        Some(newer) if newer > current => Err(Error::InvalidConfig {
            key: format!("connection {repository}"),
            reason: format!(
                "the schema {:?} has version {newer}, and this build knows up to {current}; use a newer one",
                names.schema
            ),
        }),
        found => Ok(found == Some(current)),
    }
}

/// Applies what is missing in one transaction, while others who want the same wait. Tells the
/// version if it turns out to be newer.
async fn migrate(
    connection: &mut PgConnection,
    names: &CatalogNames,
) -> Result<Option<i32>, Failure> {
    begin(connection, &names.schema).await?;
    let found = version(connection, names).await?.unwrap_or(0);
    let missing = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0));
    if found == 0 {
        let there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = $1)")
                .bind(&names.schema)
                .fetch_one(&mut *connection)
                .await?;
        // Making a schema takes a right that its user need not have.
        if !there {
            execute(
                connection,
                format!("CREATE SCHEMA {}", quoted(&names.schema)),
            )
            .await?;
        }
    }
    for statements in missing {
        let statements = fill(statements, |name| match name {
            "topics" => names.topics.clone(),
            "removed" => names.removed.clone(),
            _ => names.versions.clone(),
        });
        execute(connection, statements).await?;
    }
    execute(connection, "COMMIT".to_owned()).await?;
    Ok((found > MIGRATIONS.len() as i32).then_some(found))
}

/// Begins a transaction in which nobody else makes or removes tables in the schema.
pub(super) async fn begin(connection: &mut PgConnection, schema: &str) -> Result<(), Failure> {
    let lock = schema_lock(schema);
    execute(
        connection,
        format!("BEGIN; SELECT pg_advisory_xact_lock({lock})"),
    )
    .await
}

/// Runs statements that were made here, in which every name is quoted.
pub(super) async fn execute(
    connection: &mut PgConnection,
    statements: String,
) -> Result<(), Failure> {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await?;
    Ok(())
}
