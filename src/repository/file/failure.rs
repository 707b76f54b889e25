//! An error that all requests of a group are told.

use std::sync::Arc;

use crate::models::{BoxError, Error};

/// Why a group failed.
#[derive(Debug)]
pub(super) enum Failure {
    Gone(String),
    Unknown {
        reason: String,
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    Unavailable {
        repository: String,
        reason: String,
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
}

/// The failure that `error` is, so that it can be told again and again.
pub(super) fn failure(error: Error) -> Failure {
    match error {
        Error::OutcomeUnknown { reason, source } => Failure::Unknown {
            reason,
            source: source.map(Arc::from),
        },
        Error::RepositoryUnavailable {
            repository,
            reason,
            source,
        } => Failure::Unavailable {
            repository,
            reason,
            source: source.map(Arc::from),
        },
        other => Failure::Unknown {
            reason: other.to_string(),
            source: None,
        },
    }
}

impl Failure {
    /// The error for one of them.
    pub(super) fn error(&self) -> Error {
        match self {
            Self::Gone(topic) => Error::TopicNotFound {
                topic: topic.clone(),
            },
            Self::Unknown { reason, source } => Error::OutcomeUnknown {
                reason: reason.clone(),
                source: source.clone().map(boxed),
            },
            Self::Unavailable {
                repository,
                reason,
                source,
            } => Error::RepositoryUnavailable {
                repository: repository.clone(),
                reason: reason.clone(),
                source: source.clone().map(boxed),
            },
        }
    }
}

fn boxed(source: Arc<dyn std::error::Error + Send + Sync>) -> BoxError {
    Box::new(source)
}
