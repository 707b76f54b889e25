//! The options of topics in a database, and of the repository that holds them.

use std::{collections::BTreeMap, ops::RangeInclusive, str::FromStr, time::Duration};

use super::names::{MAX_IDENTIFIER, MAX_TABLE, check_identifier};
use crate::models::{Error, Options, Result};

/// What belongs to the repository: connections and their limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) schema: String,
    pub(super) read_connections: u32,
    pub(super) append_connections: u32,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) lock_timeout: Duration,
    pub(super) outcome_timeout: Duration,
    pub(super) application_name: String,
    pub(super) allow_not_durable: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schema: "annals".to_owned(),
            read_connections: 8,
            append_connections: 4,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            outcome_timeout: Duration::from_secs(5),
            application_name: "annals".to_owned(),
            allow_not_durable: false,
        }
    }
}

/// The options that there are.
const KNOWN: [&str; 10] = [
    "schema",
    "table",
    "read_connections",
    "append_connections",
    "connect_timeout_ms",
    "statement_timeout_ms",
    "lock_timeout_ms",
    "outcome_timeout_ms",
    "application_name",
    "unsafe_allow_not_durable",
];

/// The options of a topic, parsed: those of its repository, and what its table is to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PostgresOptions {
    pub(super) settings: Settings,
    pub(super) table: Option<String>,
    /// Those of the settings that were given, as they were given.
    pub(super) given: BTreeMap<String, String>,
}

impl PostgresOptions {
    /// Reads options as they stand in a topic's configuration.
    pub(super) fn parse(options: &Options) -> Result<Self> {
        let mut parsed = Self::default();
        let settings = &mut parsed.settings;
        for (key, value) in options {
            match key.as_str() {
                "schema" => {
                    check_identifier(key, value, MAX_IDENTIFIER)?;
                    if value.starts_with("pg_") {
                        return Err(invalid(
                            key,
                            "schemas that begin with `pg_` are the server's own",
                        ));
                    }
                    settings.schema.clone_from(value);
                }
                "table" => {
                    check_identifier(key, value, MAX_TABLE)?;
                    parsed.table = Some(value.clone());
                    continue;
                }
                "read_connections" => settings.read_connections = number(key, value, 1..=1000)?,
                "append_connections" => settings.append_connections = number(key, value, 1..=1000)?,
                "connect_timeout_ms" => {
                    settings.connect_timeout = millis(key, value, 100..=600_000)?
                }
                "statement_timeout_ms" => {
                    settings.statement_timeout = millis(key, value, 100..=3_600_000)?;
                }
                "lock_timeout_ms" => settings.lock_timeout = millis(key, value, 100..=3_600_000)?,
                "outcome_timeout_ms" => settings.outcome_timeout = millis(key, value, 0..=600_000)?,
                "application_name" => {
                    check_identifier(key, value, MAX_IDENTIFIER)?;
                    settings.application_name.clone_from(value);
                }
                "unsafe_allow_not_durable" => {
                    settings.allow_not_durable = value
                        .parse()
                        .map_err(|_| invalid(key, "allowed are `true` and `false`"))?;
                }
                _ => return Err(unknown(key)),
            }
            parsed.given.insert(key.clone(), value.clone());
        }
        Ok(parsed)
    }
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    key: &str,
    value: &str,
    allowed: RangeInclusive<T>,
) -> Result<T> {
    value
        .parse()
        .ok()
        .filter(|number| allowed.contains(number))
        .ok_or_else(|| {
            let (least, most) = allowed.into_inner();
            invalid(key, &format!("allowed are {least} to {most}"))
        })
}

fn millis(key: &str, value: &str, allowed: RangeInclusive<u64>) -> Result<Duration> {
    number(key, value, allowed).map(Duration::from_millis)
}

fn unknown(key: &str) -> Error {
    let known: Vec<_> = KNOWN.iter().map(|one| format!("`{one}`")).collect();
    invalid(
        key,
        &format!("the postgres adapter has the options {}", known.join(", ")),
    )
}

fn invalid(key: &str, reason: &str) -> Error {
    Error::InvalidConfig {
        key: format!("option `{key}`"),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<PostgresOptions> {
        PostgresOptions::parse(&Options::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn options_are_read_or_refused_by_name() {
        assert_eq!(parse("schema", "a b").unwrap().settings.schema, "a b");
        assert_eq!(parse("table", "t").unwrap().table.as_deref(), Some("t"));
        let timeout = parse("lock_timeout_ms", "200")
            .unwrap()
            .settings
            .lock_timeout;
        assert_eq!(timeout, Duration::from_millis(200));
        for (key, value) in [
            ("schema", ""),
            ("schema", "pg_catalog"),
            ("table", &*"x".repeat(41)),
            ("read_connections", "0"),
            ("statement_timeout_ms", "soon"),
            ("unsafe_allow_not_durable", "yes"),
            ("shema", "a"),
        ] {
            let error = parse(key, value).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidConfig { key: named, .. } if named.contains(key)),
                "{error}"
            );
        }
    }

    #[test]
    fn every_option_is_known() {
        for key in KNOWN {
            let error = parse(key, "\n").unwrap_err().to_string();
            assert!(!error.contains("has the options"), "{error}");
        }
    }
}
