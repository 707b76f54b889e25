//! Connections: from a URL to sessions that are set up as the repository needs them.

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, Row,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{
    codec::number,
    errors::Failure,
    names::CatalogNames,
    options::{PostgresOptions, Settings},
};
use crate::models::{Error, Options, Result};

/// Options of the repository stand in a URL behind this.
const PREFIX: &str = "annals.";
/// How many statements each connection keeps prepared.
const STATEMENTS: usize = 500;

/// Where the database is, and how it is to be used. It contains secrets, which its `Debug` leaves out.
#[derive(Clone)]
pub(super) struct Address {
    connect: PgConnectOptions,
    pub(super) settings: Settings,
    pub(super) catalog: CatalogNames,
    read_only: bool,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::InvalidConfig {
        key: "connection".to_owned(),
        reason: reason.into(),
    }
}

/// The URL without the options of ours that stand in it, and all options.
fn split(connection: &str, options: &Options) -> Result<(String, PostgresOptions)> {
    let scheme = connection.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("postgres" | "postgresql")) {
        return Err(invalid(
            "the connection of the postgres adapter is a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`",
        ));
    }
    let (place, query) = connection.split_once('?').unwrap_or((connection, ""));
    let mut merged = Options::new();
    let mut theirs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.strip_prefix(PREFIX) {
            None => theirs.push(pair),
            Some(ours) => {
                let (key, value) = ours.split_once('=').unwrap_or((ours, ""));
                merged.insert(key.to_owned(), decode(value)?);
            }
        }
    }
    // What a topic says counts more than what stands in the URL.
    merged.extend(options.clone());
    let parsed = PostgresOptions::parse(&merged)?;
    let url = if theirs.is_empty() {
        place.to_owned()
    } else {
        format!("{place}?{}", theirs.join("&"))
    };
    Ok((url, parsed))
}

/// The connection with the options of the repository in it: equal for equal repositories.
pub(super) fn normalise(connection: &str, options: &Options) -> Result<String> {
    let (url, options) = split(connection, options)?;
    parse_url(&url)?;
    let mut normal = url.replacen("postgresql://", "postgres://", 1);
    for (key, value) in &options.given {
        normal.push(if normal.contains('?') { '&' } else { '?' });
        normal.push_str(&format!("{PREFIX}{key}={}", encode(value)));
    }
    Ok(normal)
}

fn parse_url(url: &str) -> Result<PgConnectOptions> {
    // The cause may quote the URL, in which there may be a secret.
    PgConnectOptions::from_str(url)
        .map_err(|_| invalid("the URL of the database is malformed, or a parameter of it is"))
}

impl Address {
    pub(super) fn new(connection: &str, options: &Options, read_only: bool) -> Result<Self> {
        let (url, options) = split(connection, options)?;
        let connect = parse_url(&url)?
            .application_name(&options.settings.application_name)
            .statement_cache_capacity(STATEMENTS)
            // No column is a float, and poolers refuse parameters that they do not know.
            .extra_float_digits(None);
        let connect = sqlx::ConnectOptions::disable_statement_logging(connect);
        Ok(Self {
            connect,
            catalog: CatalogNames::new(&options.settings.schema),
            settings: options.settings,
            read_only,
        })
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.connect
    }

    /// What every session is set to: its limits, and plans that go by indexes alone, since every
    /// statement of ours has one that serves it.
    fn settings_of_sessions(&self) -> String {
        let settings = &self.settings;
        let millis = |timeout: Duration| timeout.as_millis();
        format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; \
             SET idle_in_transaction_session_timeout = {}; \
             SET default_transaction_isolation = 'read committed'; \
             SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET jit = off; \
             SET standard_conforming_strings = on; \
             SET enable_seqscan = off; SET enable_bitmapscan = off; \
             SET enable_hashjoin = off; SET enable_mergejoin = off{}",
            millis(settings.statement_timeout),
            millis(settings.lock_timeout),
            millis(settings.lock_timeout),
            if self.read_only {
                "; SET default_transaction_read_only = on"
            } else {
                ""
            },
        )
    }

    /// How long an answer may take: the server gives up earlier, if it is there.
    pub(super) fn patience(&self) -> Duration {
        self.settings.statement_timeout + Duration::from_secs(2)
    }

    /// What is done with a connection, for no longer than it may take to make one.
    pub(super) async fn bounded<T>(
        &self,
        doing: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::time::timeout(self.settings.connect_timeout, doing)
            .await
            .map_err(|_| Failure::timed_out("connecting"))?
    }

    /// A connection on which nothing is set yet.
    pub(super) async fn dial(&self) -> Result<PgConnection, Failure> {
        self.bounded(async { Ok(PgConnection::connect_with(&self.connect).await?) })
            .await
    }

    /// A session of a connection, which is set up and tells the process that serves it.
    pub(super) async fn set_up(&self, mut connection: PgConnection) -> Result<Session, Failure> {
        self.bounded(async {
            sqlx::raw_sql(AssertSqlSafe(self.settings_of_sessions()))
                .execute(&mut connection)
                .await?;
            let (server, _) = serving(&mut connection).await?;
            Ok(Session { connection, server })
        })
        .await
    }

    /// A session of its own.
    pub(super) async fn connect(&self) -> Result<Session, Failure> {
        self.bounded(async { self.set_up(self.dial().await?).await })
            .await
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_encrypted(&self) -> bool {
        !matches!(
            self.connect.get_ssl_mode(),
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer
        )
    }
}

/// The process that serves a connection at this moment, and its age.
pub(super) async fn serving(
    connection: &mut PgConnection,
) -> Result<(ServerProcess, Duration), Failure> {
    // Not prepared: the connection may turn out not to be a session.
    let row = sqlx::raw_sql(
        "SELECT a.pid, a.backend_start::text, \
         (extract(epoch FROM clock_timestamp() - a.backend_start) * 1000000)::bigint \
         FROM pg_catalog.pg_stat_activity a WHERE a.pid = pg_catalog.pg_backend_pid()",
    )
    .fetch_one(connection)
    .await?;
    let server = ServerProcess {
        pid: row.try_get(0)?,
        started: row.try_get(1)?,
    };
    Ok((server, Duration::from_micros(number(row.try_get(2)?))))
}

/// The process of the server that serves a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerProcess {
    pub(super) pid: i32,
    pub(super) started: String,
}

/// A connection, and who serves it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) server: ServerProcess,
}

/// Percent-encodes everything but letters, digits, `-`, `_` and `.`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn decode(text: &str) -> Result<String> {
    let malformed = || invalid("an option in the URL is not percent-encoded as it has to be");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = rest.next().and_then(|byte| char::from(byte).to_digit(16));
            digit.and_then(|digit| u8::try_from(digit).ok())
        };
        let (high, low) = digit().zip(digit()).ok_or_else(malformed)?;
        bytes.push(high << 4 | low);
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_places_have_one_form() {
        let options = Options::from([
            ("schema".to_owned(), "a b".to_owned()),
            ("table".to_owned(), "t".to_owned()),
        ]);
        let normal = normalise("postgresql://u@h/db?sslmode=disable", &options).unwrap();
        assert_eq!(
            normal,
            "postgres://u@h/db?sslmode=disable&annals.schema=a%20b"
        );
        assert_eq!(normalise(&normal, &Options::new()).unwrap(), normal);
        assert_eq!(normalise(&normal, &options).unwrap(), normal);
        let plain = normalise("postgres://u@h/db", &Options::new()).unwrap();
        assert_eq!(plain, "postgres://u@h/db");
    }

    #[test]
    fn a_malformed_url_is_refused_and_not_shown() {
        for url in [
            "",
            "/var/lib",
            "mysql://u:hunter2@h/db",
            "postgres://u:hunter2@h:port/db",
            "postgres://u:hunter2@h/db?sslmode=hunter2",
            "postgres://u:hunter2@h/db?annals.schema=%zz",
            "postgres://u:hunter2@h/db?annals.hunter=2",
        ] {
            let error = normalise(url, &Options::new()).unwrap_err();
            assert!(matches!(error, Error::InvalidConfig { .. }), "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
