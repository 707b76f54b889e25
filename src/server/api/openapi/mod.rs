//! The description of the API, which the server gives itself (OpenAPI 3.1). Each part has its paths in a
//! file of its own; tests compare them with the routes.

use std::sync::OnceLock;

use axum::{
    body::Bytes,
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{accept::Format, query};
use crate::server::problem::Problem;

/// What all parts share: the components, and the head of the document.
const BASE: &str = include_str!("base.json");
/// The parts: `paths`, and `components` and `tags` of their own where they have some.
const PARTS: &[&str] = &[
    include_str!("topics.json"),
    include_str!("events.json"),
    include_str!("streams.json"),
    include_str!("sync.json"),
    include_str!("groups.json"),
    include_str!("webhooks.json"),
];

/// `GET /openapi.json`.
pub(super) async fn get(uri: Uri) -> Result<Response, Problem> {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    query::none(&uri)?;
    let document = DOCUMENT.get_or_init(|| document().to_string().into());
    let kind = HeaderValue::from_static(Format::Json.media_type());
    Ok(([(header::CONTENT_TYPE, kind)], document.clone()).into_response())
}

fn document() -> Value {
    // The tests read all of them.
    let read = |text: &&str| serde_json::from_str(text).unwrap_or_default();
    let mut document: Value = read(&BASE);
    PARTS
        .iter()
        .map(read)
        .for_each(|part| merge(&mut document, part));
    if let Some(version) = document.pointer_mut("/info/version") {
        *version = env!("CARGO_PKG_VERSION").into();
    }
    document
}

/// Adds what is in `part`: members of objects, and elements of arrays.
fn merge(into: &mut Value, part: Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            for (name, value) in part {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(part)) => into.extend(part),
        (into, part) => *into = part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_json() {
        for part in PARTS.iter().chain([&BASE]) {
            serde_json::from_str::<Value>(part).unwrap();
        }
    }
}
