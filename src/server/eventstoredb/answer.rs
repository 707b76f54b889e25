//! Answers in the form of EventStoreDB: what is to be said stands in the reason phrase, the body is empty.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::ext::ReasonPhrase;

use crate::{Error, Version, server::problem::Problem};

/// The type of answers without a document.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A request that is not done, and the answer to it.
#[derive(Debug)]
pub(super) struct Refusal(Box<Response>);

/// What a handler gives.
pub(super) type Answer = Result<Response, Refusal>;

impl Refusal {
    pub(super) fn new(status: StatusCode, reason: &str) -> Self {
        plain(status, reason).into()
    }

    pub(super) fn bad_request(reason: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    /// The stream is deleted for good; writers are told so in other words than readers.
    pub(super) fn deleted_to_readers() -> Self {
        Self::new(StatusCode::GONE, "Deleted")
    }

    pub(super) fn deleted_to_writers() -> Self {
        Self::new(StatusCode::GONE, "Stream deleted")
    }

    /// The stream has another version than was expected.
    pub(super) fn wrong_version(actual: Version) -> Self {
        let mut response = plain(StatusCode::BAD_REQUEST, "Wrong expected EventNumber");
        let current = HeaderValue::from(number_or_none(actual));
        let headers = response.headers_mut();
        headers.insert("es-currentversion", current.clone());
        headers.insert("kurrent-currentversion", current);
        response.into()
    }
}

/// The event number that a version is: counted from 0, and -1 where there is none.
pub(super) fn number_or_none(version: Version) -> i64 {
    i64::try_from(version.get()).map_or(i64::MAX, |version| version.saturating_sub(1))
}

/// An answer without a body.
pub(super) fn plain(status: StatusCode, reason: &str) -> Response {
    let mut response = status.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    if let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes().to_vec()) {
        response.extensions_mut().insert(reason);
    }
    response
}

/// A redirection that asks for the same request elsewhere.
pub(super) fn redirect(location: &str, reason: &str) -> Response {
    let mut response = plain(StatusCode::TEMPORARY_REDIRECT, reason);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        problem.into_response().into()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match &error {
            Error::WrongExpectedVersion { actual, .. } => Self::wrong_version(*actual),
            Error::StreamDeleted { .. } => Self::deleted_to_writers(),
            Error::TopicNotFound { .. } | Error::StreamNotFound { .. } => Self::not_found(),
            Error::TooLarge { limit, .. } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("Too large events received. Limit is {limit} bytes."),
            ),
            Error::InvalidEvent { .. }
            | Error::InvalidAppend { .. }
            | Error::InvalidStreamId { .. } => Self::bad_request(&error.to_string()),
            Error::IdempotencyConflict { .. } => Self::bad_request(
                "Event ids of this request are recorded already, but not as these events",
            ),
            Error::OutcomeUnknown { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Write timeout")
            }
            // With what went wrong, and when to try again.
            _ => Problem::from(error).into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}
