//! Events as they are sent.

use std::borrow::Cow;

use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{answer::Refusal, asked::Asked, media_type::Sent, names::recorded_type};
use crate::NewEvent;

/// An event of an array.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    event_id: Option<Uuid>,
    #[serde(borrow)]
    event_type: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    metadata: Option<&'a RawValue>,
}

/// The events of an array. `given` is the type of those that have none.
pub(super) fn events(body: &[u8], given: Option<&str>) -> Result<Vec<NewEvent>, Refusal> {
    let written: Vec<Written<'_>> = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(&format!("Write request body invalid. {error}")))?;
    if written.is_empty() {
        return Err(Refusal::bad_request("Write request body invalid."));
    }
    written.into_iter().map(|one| one.event(given)).collect()
}

/// The event whose data the body is.
pub(super) fn event(
    body: Bytes,
    sent: &Sent,
    id: Uuid,
    event_type: &str,
) -> Result<NewEvent, Refusal> {
    let event_type = recorded_type(event_type);
    let event = match sent {
        Sent::Bytes(content_type) => NewEvent::binary(event_type, content_type.as_str(), body),
        Sent::Events => return Err(super::media_type::unsupported()),
        Sent::Json => {
            if serde_json::from_slice::<&RawValue>(&body).is_err() {
                return Err(Refusal::bad_request("Write request body invalid."));
            }
            NewEvent::json_text(event_type, body)
        }
    };
    Ok(event.id(id))
}

/// The type that the headers name, which has to be there where the body has none.
pub(super) fn required_type(asked: &Asked) -> Result<String, Refusal> {
    asked.event_type().ok_or_else(without_type)
}

fn without_type() -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "Must include an event type with the request either in body or as Kurrent-EventType header.",
    )
}

impl Written<'_> {
    fn event(self, given: Option<&str>) -> Result<NewEvent, Refusal> {
        let id = self.event_id.filter(|id| !id.is_nil());
        let id = id.ok_or_else(|| Refusal::bad_request("Empty eventId provided."))?;
        let own = self.event_type.as_deref().filter(|own| !own.is_empty());
        let event_type = recorded_type(own.or(given).ok_or_else(without_type)?);
        let (data, content_type) = bytes_of(self.data);
        let (metadata, metadata_type) = bytes_of(self.metadata);
        let event = match (content_type, metadata_type) {
            (Kind::Json, _) | (Kind::Nothing, Kind::Json) => NewEvent::json_text(event_type, data),
            (Kind::Text, _) => NewEvent::binary(event_type, "text/plain; charset=utf-8", data),
            (Kind::Nothing, _) => NewEvent::binary(event_type, "application/octet-stream", data),
        };
        Ok(event.id(id).metadata_bytes(metadata))
    }
}

/// What a member's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Text,
    Nothing,
}

/// The bytes of a member: objects and arrays as they were written, a string that is such a text as that
/// text, any other string as what it says. Numbers, truth values and null are nothing.
fn bytes_of(member: Option<&RawValue>) -> (Bytes, Kind) {
    let raw = member.map_or("", RawValue::get);
    if raw.starts_with(['{', '[']) {
        return (Bytes::copy_from_slice(raw.as_bytes()), Kind::Json);
    }
    let Ok(text) = serde_json::from_str::<String>(raw) else {
        return (Bytes::new(), Kind::Nothing);
    };
    let kind = if text.is_empty() {
        Kind::Nothing
    } else if is_object_or_array(&text) {
        Kind::Json
    } else {
        Kind::Text
    };
    (text.into(), kind)
}

fn is_object_or_array(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().starts_with(['{', '[']))
}
