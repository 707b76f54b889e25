//! CloudEvents in binary mode: the attributes are headers, and the body is the data.

use std::borrow::Cow;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

use super::{
    super::append_body::Wanted,
    attributes::{Attribute, Attributes},
    write::{attributes, stored},
};
use crate::{Error, EventStore, RecordedEvent, server::problem::Problem};

/// What the binding asks to be encoded in a header, beside all that is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
const PREFIX: &str = "ce-";

/// Whether the request is a CloudEvent in binary mode.
pub(in crate::server::api) fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion")
}

/// The one event of a request in binary mode.
pub(in crate::server::api) fn of_binary(
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Wanted, Problem> {
    let invalid = |reason| Error::InvalidEvent { index: 0, reason };
    let mut attributes = Attributes::default();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        if name == "datacontenttype" {
            let reason = "`datacontenttype` is the header `Content-Type` in binary mode";
            return Err(invalid(reason.to_owned()).into());
        }
        let value = Attribute::Text(decoded(name, value)?);
        attributes.add(name.to_owned(), value).map_err(invalid)?;
    }
    let content_type = match headers.get(header::CONTENT_TYPE) {
        None => None,
        Some(kind) => Some(
            kind.to_str()
                .map_err(|_| Problem::bad_request("the header `content-type` is not ASCII"))?,
        ),
    };
    if let Some(kind) = content_type {
        let kind = Attribute::Text(kind.to_owned());
        let added = attributes.add("datacontenttype".to_owned(), kind);
        added.map_err(invalid)?;
    }
    let content_type = content_type.unwrap_or("application/octet-stream");
    let event = attributes.into_event((content_type, body), None);
    let (event, stream) = event.map_err(invalid)?;
    let mut wanted = Wanted::new();
    wanted.push(event, stream.as_deref());
    Ok(wanted)
}

/// The value of a header: percent-encoded UTF-8, which may be in quotes.
fn decoded(name: &str, value: &HeaderValue) -> Result<String, Problem> {
    let quoted = value.as_bytes();
    let inner = quoted
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let bytes = inner.map_or(Cow::Borrowed(quoted), |inner| {
        let mut escaped = false;
        let plain = inner.iter().copied().filter(|byte| {
            escaped = *byte == b'\\' && !escaped;
            !escaped
        });
        Cow::Owned(plain.collect())
    });
    let text = percent_decode(&bytes).decode_utf8();
    text.map(Cow::into_owned).map_err(|_| {
        Problem::bad_request(format!(
            "the header `{PREFIX}{name}` is not UTF-8, percent-encoded"
        ))
    })
}

/// Answers with an event in binary mode.
pub(in crate::server::api) fn answer(store: &EventStore, event: &RecordedEvent) -> Response {
    let mut headers = HeaderMap::new();
    let all = attributes(store, event, stored(event));
    for (name, value) in all.0 {
        let text = match value {
            Attribute::Text(text) => text,
            Attribute::Number(number) => number.to_string(),
            Attribute::Flag(flag) => flag.to_string(),
        };
        let (name, text) = if name == "datacontenttype" {
            (Ok(header::CONTENT_TYPE), text)
        } else {
            let encoded = utf8_percent_encode(&text, ENCODED).to_string();
            (HeaderName::try_from(format!("{PREFIX}{name}")), encoded)
        };
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(text)) {
            headers.insert(name, value);
        }
    }
    // What others have written is never a page of this server.
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    (headers, Body::from(event.payload.clone())).into_response()
}
