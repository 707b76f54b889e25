//! What a path names: a topic, and mostly something in it.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use crate::server::problem::Problem;

/// The names in a path, percent-decoded. What is not in the path is empty: a path with an empty stream
/// is that of the topic's default stream.
#[derive(Debug, Default)]
pub(in crate::server) struct Names {
    /// The topic.
    pub(in crate::server) topic: String,
    /// The stream; none where the path does not speak of one.
    pub(in crate::server) stream: Option<String>,
    /// The position.
    pub(in crate::server) position: String,
}

impl Names {
    /// The stream, where the route has one.
    pub(in crate::server) fn stream(&self) -> &str {
        self.stream.as_deref().unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = RawPathParams::from_request_parts(parts, state).await;
        let found = found.map_err(|error| Problem::bad_request(error.to_string()))?;
        let mut names = Self::default();
        for (name, value) in &found {
            match name {
                "topic" => value.clone_into(&mut names.topic),
                "stream" => names.stream = Some(value.to_owned()),
                "position" => value.clone_into(&mut names.position),
                _ => {}
            }
        }
        // An empty name is no segment that a route can capture; such routes have it spelt out.
        let path = parts.uri.path();
        if names.stream.is_none() && (path.contains("/streams//") || path.ends_with("/streams/")) {
            names.stream = Some(String::new());
        }
        Ok(names)
    }
}
