//! The body of a request, and what is wrong with it.

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;

use crate::server::problem::Problem;

/// Reads a body whole. How large it may be was settled before it came here: what is beyond the server's
/// limits ends as a body that breaks off, and is answered with what it was.
pub(in crate::server) async fn read(body: Body) -> Result<Bytes, Problem> {
    to_bytes(body, usize::MAX).await.map_err(|error| {
        let error = error.into_inner();
        Problem::bad_request(format!("the body could not be read: {error}"))
    })
}

/// Reads a body that has to be JSON.
pub(in crate::server) async fn read_json(
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Problem> {
    match media_type(headers) {
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => read(body).await,
        found => Err(unsupported(found, &["application/json"])),
    }
}

/// The media type of the body, without its parameters.
pub(in crate::server) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim())
}

/// 415. A body without a media type is refused too: it is what other sites can make a browser send.
pub(in crate::server) fn unsupported(found: Option<&str>, known: &[&str]) -> Problem {
    let found = match found {
        Some(found) => format!("the body is {found:?}"),
        None => "the body has no media type".to_owned(),
    };
    let detail = format!("{found}; send it as `Content-Type: {}`", known.join("`, `"));
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        detail,
    )
}

/// Reads JSON, and says where it is not as it should be.
pub(in crate::server) fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| malformed::<T>(text, &error))
}

/// What is wrong with a JSON text, with the line, the column, and the path of the member.
fn malformed<'a, T: Deserialize<'a>>(text: &'a [u8], error: &serde_json::Error) -> Problem {
    // It is read again with an eye on the path, which would cost time where nothing is wrong.
    let mut reader = serde_json::Deserializer::from_slice(text);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => error.path().to_string(),
        Ok(_) => ".".to_owned(),
    };
    let (place, found) = match path.as_str() {
        "." => (String::new(), "the body"),
        path => (format!(" at `{path}`"), path),
    };
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid-json",
        format!("the body is not as it should be{place}: {error}"),
    )
    .with("line", error.line())
    .with("column", error.column())
    .with("path", found)
}
