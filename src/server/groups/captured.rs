//! What a path names, with a problem in place of a plain text where it cannot be read.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::server::problem::Problem;

/// The names in a path, percent-decoded.
#[derive(Debug)]
pub(in crate::server) struct Captured<T>(pub(in crate::server) T);

impl<T, S> FromRequestParts<S> for Captured<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(error) => Err(Problem::bad_request(error.body_text())),
        }
    }
}
