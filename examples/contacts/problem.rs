//! What is wrong, as `application/problem+json` (RFC 9457).

use annals::{Error, cqrs::CommandError};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::refusal::Refusal;

/// What is wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// What a program looks at.
    kind: &'static str,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            more: Map::new(),
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// The read model has not come so far.
    pub(crate) fn behind(position: u64) -> Self {
        let detail = format!("the read model has not come to position {position} yet; try again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "behind", detail)
    }

    pub(crate) fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "the Idempotency-Key was used for another request; each needs a key of its own",
        )
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::Invalid(_) | Refusal::NotAsDecided | Refusal::NoContact => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::Deleted => StatusCode::GONE,
            Refusal::Stale { .. } => StatusCode::PRECONDITION_FAILED,
            Refusal::Exists
            | Refusal::NotDeleted
            | Refusal::ContactDeleted
            | Refusal::HasTransactions { .. } => StatusCode::CONFLICT,
        };
        let problem = Self::new(status, refusal.kind(), refusal.to_string());
        match refusal {
            Refusal::Invalid(wrong) => problem.with("errors", json!(wrong)),
            Refusal::Stale { expected, actual } => {
                problem.with("expected", expected).with("actual", actual)
            }
            Refusal::HasTransactions { open } => problem.with("transactions", open),
            _ => problem,
        }
    }
}

impl From<CommandError<Refusal>> for Problem {
    fn from(error: CommandError<Refusal>) -> Self {
        match error {
            CommandError::Rejected(refusal) => refusal.into(),
            CommandError::Contended { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "contended",
                error.to_string(),
            ),
            CommandError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            // Only keys of clients are keys here.
            Error::IdempotencyConflict { .. } => Self::key_reused(),
            Error::TokenExpired { .. } => {
                Self::new(StatusCode::GONE, "token-expired", error.to_string())
            }
            Error::TooLarge { .. } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                error.to_string(),
            ),
            Error::InvalidAppend { .. } => Self::bad_request(error.to_string()),
            Error::Closed | Error::ProjectionStopped { .. } => Self::unavailable(&error),
            error if error.is_retryable() => Self::unavailable(&error),
            error => Self::internal(&error),
        }
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Problem {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        // The database of the read model.
        Self::unavailable(&*error)
    }
}

impl Problem {
    fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(error, "a request could not be served now");
        let detail = "the service cannot do this now; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request could not be served");
        let detail = "the service has failed; its log tells how";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut members = json!({
            "type": format!("urn:contacts:problem:{}", self.kind),
            "title": self.kind.replace('-', " "),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Value::Object(members) = &mut members {
            members.extend(self.more);
        }
        let mut response = (self.status, members.to_string()).into_response();
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, content_type);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
