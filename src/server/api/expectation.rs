//! What an append expects, as headers and as JSON.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, header};
use serde::{Deserialize, Deserializer, de};

use crate::{ExpectedVersion, server::problem::Problem};

/// An expected version as JSON: `"any"`, `"noStream"`, `"streamExists"` or a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected(pub(super) ExpectedVersion);

/// The expectation that the headers tell: `If-Match: "7"`, `If-Match: *`, `If-None-Match: *`.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<ExpectedVersion>, Problem> {
    let matching = header_text(headers, &header::IF_MATCH)?;
    let unlike = header_text(headers, &header::IF_NONE_MATCH)?;
    match (matching, unlike) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Problem::bad_request(
            "both `If-Match` and `If-None-Match` are given; give one of them",
        )),
        (Some("*"), None) => Ok(Some(ExpectedVersion::StreamExists)),
        (Some(tag), None) => version(tag).map(|number| Some(ExpectedVersion::exact(number))),
        (None, Some("*")) => Ok(Some(ExpectedVersion::NoStream)),
        (None, Some(other)) => Err(Problem::bad_request(format!(
            "`If-None-Match` is `*` in an append, and not `{other}`"
        ))),
    }
}

/// The number in an entity tag.
fn version(tag: &str) -> Result<u64, Problem> {
    let number = tag
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        Problem::bad_request(format!(
            "`If-Match` is `*` or the stream's version in quotes, such as `\"7\"`, and not `{tag}`"
        ))
    })
}

/// A header that may be given once.
pub(super) fn header_text<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Problem::bad_request(format!(
            "the header `{name}` is given more than once"
        )));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| Problem::bad_request(format!("the header `{name}` is not ASCII")))
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Expected;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"any\", \"noStream\", \"streamExists\" or a version")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Expected, E> {
        Ok(Expected(ExpectedVersion::exact(number)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Expected, E> {
        let expected = match text {
            "any" => ExpectedVersion::Any,
            "noStream" => ExpectedVersion::NoStream,
            "streamExists" => ExpectedVersion::StreamExists,
            _ => return Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        };
        Ok(Expected(expected))
    }
}
