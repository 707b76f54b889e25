//! What can go wrong with a database, and what it means for the call.

use std::{fmt, sync::Arc};

use crate::models::{BoxError, Error, TopicName};

/// The code with which the functions of a topic say that it is gone.
const REMOVED: &str = "AN404";

/// What a failure leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing was done: there was no connection.
    Unreachable,
    /// The connection was lost after something was sent: nobody knows what came of it.
    Lost,
    /// The tables are not there (any more).
    Gone,
    /// Nothing was done: the server does not take the data.
    Data,
    /// Nothing was done, for another reason.
    Refused,
    /// Nothing was done: the repository was closed.
    Closed,
}

/// A failure of a database. Nothing in it is secret.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    reason: String,
    /// Shared by all appends of a group that fails.
    source: Option<Arc<sqlx::Error>>,
}

impl Failure {
    pub(super) fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            source: None,
        }
    }

    /// Nothing was heard for too long.
    pub(super) fn timed_out(doing: &str) -> Self {
        Self::new(
            Kind::Lost,
            format!("{doing} took too long, and no answer came"),
        )
    }

    /// The same, where nothing but a connection was asked for.
    pub(super) fn before_sending(mut self) -> Self {
        if self.kind == Kind::Lost {
            self.kind = Kind::Unreachable;
        }
        self
    }

    /// Whether the session can be used on.
    pub(super) const fn spares_session(&self) -> bool {
        matches!(self.kind, Kind::Gone | Kind::Data | Kind::Refused)
    }

    /// The error of a call to this repository; for a topic, where it is about one.
    pub(super) fn error(self, repository: &str, topic: Option<&TopicName>) -> Error {
        match (self.kind, topic) {
            (Kind::Gone, Some(topic)) => Error::TopicNotFound {
                topic: topic.to_string(),
            },
            (Kind::Closed, _) => Error::Closed,
            _ => Error::RepositoryUnavailable {
                repository: repository.to_owned(),
                reason: self.reason,
                source: self.source.map(boxed),
            },
        }
    }

    /// The error of an append of which nobody knows what came of it.
    pub(super) fn unknown(self) -> Error {
        Error::OutcomeUnknown {
            reason: self.reason,
            source: self.source.map(boxed),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let (kind, reason) = match &error {
            sqlx::Error::Database(database) => {
                by_code(&database.code().unwrap_or_default(), database.message())
            }
            sqlx::Error::Io(_) => (Kind::Lost, "the connection to the server failed".to_owned()),
            sqlx::Error::Tls(_) => (
                Kind::Unreachable,
                "the server offers no connection with the TLS that is asked for".to_owned(),
            ),
            sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                (Kind::Lost, "the server broke off".to_owned())
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                (Kind::Unreachable, "no connection is free".to_owned())
            }
            _ => (
                Kind::Refused,
                "the server's answer could not be understood".to_owned(),
            ),
        };
        // The cause of a bad configuration may quote it.
        let source = (!matches!(error, sqlx::Error::Configuration(_))).then_some(error);
        Self {
            kind,
            reason,
            source: source.map(Arc::new),
        }
    }
}

fn boxed(error: Arc<sqlx::Error>) -> BoxError {
    Box::new(error)
}

/// What a code of the server means, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn by_code(code: &str, message: &str) -> (Kind, String) {
    let (kind, reason) = match code {
        REMOVED | "42P01" | "42883" | "3F000" => (Kind::Gone, "its tables are not there"),
        // The server may have committed before it ended the connection.
        "57P01" | "57P02" => (Kind::Lost, "the server ended the connection"),
        "57P03" => (
            Kind::Unreachable,
            "the server is starting up or shutting down",
        ),
        // A prepared statement that is not there, or that somebody else has prepared.
        "26000" | "42P05" => (
            Kind::Unreachable,
            "the connection is no session: a pooler gives it to others between transactions",
        ),
        "53300" => (Kind::Unreachable, "the server has no connection left"),
        "28P01" | "28000" => (Kind::Unreachable, "the server refuses user or password"),
        "3D000" => (Kind::Unreachable, "there is no such database"),
        "53100" => (Kind::Refused, "the server's disk is full"),
        "25006" => (Kind::Refused, "the server only takes reads"),
        "42501" => (Kind::Refused, "the user is not allowed to"),
        "57014" => (
            Kind::Refused,
            "a statement took longer than `statement_timeout_ms`",
        ),
        "55P03" => (
            Kind::Refused,
            "another writer held the topic for longer than `lock_timeout_ms`",
        ),
        "25P03" => (
            Kind::Lost,
            "the server ended a transaction that stood still",
        ),
        _ if code.starts_with("08") => (Kind::Lost, "the connection to the server failed"),
        _ if code.starts_with("22") || code.starts_with("54") => {
            (Kind::Data, "the server does not take the data")
        }
        _ if code.starts_with("23") => (
            Kind::Data,
            "the tables do not hold what they have to, so an index refuses the data",
        ),
        _ if code.starts_with("XX") => (Kind::Data, "the server found its own data damaged"),
        _ => (Kind::Refused, "the server refused"),
    };
    (kind, format!("{reason} ({code}: {message})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_whether_the_outcome_is_known() {
        for (code, kind) in [
            ("57P01", Kind::Lost),
            ("08006", Kind::Lost),
            ("53300", Kind::Unreachable),
            ("42P01", Kind::Gone),
            ("22P05", Kind::Data),
            ("55P03", Kind::Refused),
            ("40001", Kind::Refused),
        ] {
            assert_eq!(by_code(code, "").0, kind, "{code}");
        }
    }
}
