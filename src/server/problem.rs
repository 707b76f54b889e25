//! Errors as `application/problem+json` (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{Error, ExpectedVersion};

/// How long a client is asked to wait before it tries again, in seconds.
const RETRY_AFTER: &str = "1";

/// What callers can show who they are by.
const CHALLENGE: HeaderValue =
    HeaderValue::from_static(r#"Basic realm="annals", charset="UTF-8", Bearer"#);

/// An error as an answer: the status, what kind of problem it is, what was found and what to do.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// What kind of problem it is, in kebab-case: what a program looks at.
    kind: &'static str,
    detail: String,
    /// Further members: `actual`, `expected` …
    more: Map<String, Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            more: Map::new(),
        }
    }

    /// The request itself is wrong.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// Adds a member.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The problem as it is written.
    pub(super) fn document(&self) -> Value {
        let mut members = json!({
            "type": format!("urn:annals:problem:{}", self.kind),
            "title": self.kind.replace('-', " "),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Value::Object(members) = &mut members {
            members.extend(self.more.clone());
        }
        members
    }

    /// The same with another status: a conflict with a header is 412 and not 409.
    pub(super) const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, kind) = kind(&error);
        let problem = Self::new(status, kind, error.to_string());
        match &error {
            Error::WrongExpectedVersion {
                actual, expected, ..
            } => problem
                .with("actual", actual.get())
                .with("expected", expectation(*expected)),
            Error::ConditionFailed { position } | Error::IdempotencyConflict { position, .. } => {
                problem.with("position", position.get())
            }
            Error::TooLarge { limit, actual, .. } => {
                problem.with("limit", *limit).with("actual", *actual)
            }
            Error::InvalidEvent { index, .. } => problem.with("index", *index),
            Error::PositionAhead { head, .. } => problem.with("head", head.get()),
            _ => problem,
        }
    }
}

/// What was expected, as it is written in an append.
fn expectation(expected: ExpectedVersion) -> Value {
    match expected {
        ExpectedVersion::Any => "any".into(),
        ExpectedVersion::NoStream => "noStream".into(),
        ExpectedVersion::StreamExists => "streamExists".into(),
        ExpectedVersion::Exact(version) => version.get().into(),
    }
}

/// The status of an error, and what kind of problem it is.
pub(super) fn kind(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::InvalidTopicName { .. } => (StatusCode::BAD_REQUEST, "invalid-topic-name"),
        Error::InvalidStreamId { .. } => (StatusCode::BAD_REQUEST, "invalid-stream-id"),
        Error::InvalidEvent { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-event"),
        Error::InvalidAppend { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-append"),
        Error::InvalidConfig { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-config"),
        Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        Error::TopicNotFound { .. } => (StatusCode::NOT_FOUND, "topic-not-found"),
        Error::StreamNotFound { .. } => (StatusCode::NOT_FOUND, "stream-not-found"),
        Error::StreamDeleted { .. } => (StatusCode::GONE, "stream-deleted"),
        Error::TokenExpired { .. } => (StatusCode::GONE, "token-expired"),
        Error::PositionAhead { .. } => (StatusCode::GONE, "position-ahead"),
        Error::TopicAlreadyExists { .. } => (StatusCode::CONFLICT, "topic-already-exists"),
        Error::TopicNotDeleted { .. } => (StatusCode::CONFLICT, "topic-not-deleted"),
        Error::NotMoving { .. } => (StatusCode::CONFLICT, "not-moving"),
        Error::MoveFailed { .. } => (StatusCode::CONFLICT, "move-failed"),
        Error::WrongExpectedVersion { .. } => (StatusCode::CONFLICT, "wrong-expected-version"),
        Error::ConditionFailed { .. } => (StatusCode::CONFLICT, "condition-failed"),
        Error::IdempotencyConflict { .. } => (StatusCode::CONFLICT, "idempotency-conflict"),
        Error::LeaseLost { .. } => (StatusCode::CONFLICT, "lease-lost"),
        Error::CheckpointConflict { .. } => (StatusCode::CONFLICT, "checkpoint-conflict"),
        Error::ReadOnly { .. } => (StatusCode::FORBIDDEN, "read-only"),
        Error::TopicSealed { .. } => (StatusCode::SERVICE_UNAVAILABLE, "topic-sealed"),
        Error::TopicMoving { .. } => (StatusCode::CONFLICT, "topic-moving"),
        Error::RepositoryLocked { .. } => (StatusCode::SERVICE_UNAVAILABLE, "repository-locked"),
        Error::RepositoryUnavailable { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "repository-unavailable")
        }
        Error::OutcomeUnknown { .. } => (StatusCode::SERVICE_UNAVAILABLE, "outcome-unknown"),
        Error::Closed => (StatusCode::SERVICE_UNAVAILABLE, "closed"),
        Error::Corruption { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "corruption"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.document().to_string()).into_response();
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, content_type);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            _ => {}
        }
        response
    }
}
