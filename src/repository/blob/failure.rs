//! What can go wrong with an object store, and what it means for the call.

use std::{error::Error as _, fmt, sync::Arc};

use object_store::{
    client::{HttpError, HttpErrorKind},
    path::Path,
};

use crate::models::{Error, TopicName};

/// A failure. Nothing in it is secret. It is cloned for all who waited for the same.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The store did not do, or did not answer, what it was asked.
    Unavailable {
        /// Whether it may have done it.
        sent: bool,
        reason: String,
        source: Option<Arc<object_store::Error>>,
    },
    /// What is stored is not what was written.
    Corrupt { place: String, reason: String },
    /// A segment is not there: another manifest names others, or it is lost.
    Missing { key: String },
    /// The storage is not there (any more).
    Gone,
    /// The repository was closed.
    Closed,
}

impl Failure {
    /// Something was asked and went wrong.
    pub(super) fn of(doing: &str, key: &Path, error: object_store::Error) -> Self {
        let why = match &error {
            object_store::Error::NotFound { .. } => "there is no such bucket, container or object",
            object_store::Error::PermissionDenied { .. } => "permission is denied",
            object_store::Error::Unauthenticated { .. } => "the credentials are not accepted",
            object_store::Error::NotImplemented { .. }
            | object_store::Error::NotSupported { .. } => "the store cannot do that",
            _ => match http(&error) {
                Some(HttpErrorKind::Connect) => "the store cannot be reached",
                Some(HttpErrorKind::Timeout) => "no answer came in time",
                _ => "it failed",
            },
        };
        Self::Unavailable {
            sent: http(&error) != Some(HttpErrorKind::Connect),
            reason: format!("{doing} {key}: {why}"),
            source: Some(Arc::new(error)),
        }
    }

    /// Something that nobody sent.
    pub(super) fn unsent(reason: impl Into<String>) -> Self {
        Self::Unavailable {
            sent: false,
            reason: reason.into(),
            source: None,
        }
    }

    pub(super) fn corrupt(key: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            place: key.to_string(),
            reason: reason.into(),
        }
    }

    /// Whether the store says that it cannot do such a thing at all.
    pub(super) fn is_not_supported(&self) -> bool {
        let source = match self {
            Self::Unavailable { source, .. } => source.as_deref(),
            _ => None,
        };
        matches!(
            source,
            Some(
                object_store::Error::NotImplemented { .. }
                    | object_store::Error::NotSupported { .. }
            )
        )
    }

    /// The error of a call to this repository; for a topic, where it is about one.
    pub(super) fn error(self, repository: &str, topic: Option<&TopicName>) -> Error {
        match self {
            Self::Unavailable { reason, source, .. } => Error::RepositoryUnavailable {
                repository: repository.to_owned(),
                reason,
                source: source.map(|source| Box::new(source) as _),
            },
            Self::Corrupt { place, reason } => Error::Corruption {
                place: format!("{repository}, object {place}"),
                reason,
            },
            Self::Missing { key } => Error::Corruption {
                place: format!("{repository}, object {key}"),
                reason: "it is not there".to_owned(),
            },
            Self::Gone => Error::TopicNotFound {
                topic: topic.map_or_else(String::new, ToString::to_string),
            },
            Self::Closed => Error::Closed,
        }
    }

    /// The error of an append of which nobody knows what came of it.
    pub(super) fn unknown(self) -> Error {
        match self {
            Self::Unavailable { reason, source, .. } => Error::OutcomeUnknown {
                reason,
                source: source.map(|source| Box::new(source) as _),
            },
            other => Error::OutcomeUnknown {
                reason: other.to_string(),
                source: None,
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Corruption { place, reason } => Self::Corrupt { place, reason },
            Error::Closed => Self::Closed,
            other => Self::unsent(other.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { reason, .. } => f.write_str(reason),
            Self::Corrupt { place, reason } => write!(f, "{place}: {reason}"),
            Self::Missing { key } => write!(f, "{key} is not there"),
            Self::Gone => f.write_str("the storage is not there"),
            Self::Closed => f.write_str("the repository is closed"),
        }
    }
}

/// What kind of failure it was, where the store is spoken to over HTTP.
fn http(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        cause = error.source();
    }
    None
}
