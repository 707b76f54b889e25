//! Events as CloudEvents.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    attributes::{Attribute, Attributes, Form, SPECVERSION, STREAM, Stored, TAGS},
    read::is_json,
};
use crate::{EventStore, RecordedEvent, json::is_one_line};

/// The metadata of an event that was no CloudEvent, where it is text.
const METADATA: &str = "annalsmetadata";

/// Appends the event to `out`, as a CloudEvent in the JSON format.
pub(in crate::server::api) fn write(out: &mut Vec<u8>, store: &EventStore, event: &RecordedEvent) {
    let stored = stored(event);
    let form = stored.as_ref().and_then(|stored| stored.form);
    let attributes = attributes(store, event, stored);
    // Attributes are text, numbers and flags, which are written to memory without fail.
    serde_json::to_writer(&mut *out, &attributes).unwrap_or(());
    out.pop();
    data(out, event, form);
    out.push(b'}');
}

/// What was stored with an event that was written as a CloudEvent.
pub(super) fn stored(event: &RecordedEvent) -> Option<Stored> {
    serde_json::from_slice(&event.metadata).ok()
}

/// All attributes of an event, those of the store included.
pub(super) fn attributes(
    store: &EventStore,
    event: &RecordedEvent,
    stored: Option<Stored>,
) -> Attributes {
    let mut all = Vec::with_capacity(16);
    let mut add = |name: &str, value: String| all.push((name.to_owned(), Attribute::Text(value)));
    add("specversion", SPECVERSION.to_owned());
    add("type", event.event_type.to_string());
    let mut left = Vec::new();
    match stored {
        Some(stored) => {
            if stored.cloudevents.get("id").is_none() {
                add("id", event.id.to_string());
            }
            left = stored.cloudevents.0;
        }
        None => {
            add("id", event.id.to_string());
            add(
                "source",
                format!("urn:annals:{}:{}", store.id(), event.topic),
            );
            add("time", event.recorded_at.to_string());
            add("datacontenttype", event.content_type.to_string());
            if !event.stream.is_default() {
                add("subject", event.stream.to_string());
            }
            if let (false, Ok(text)) = (
                event.metadata.is_empty(),
                std::str::from_utf8(&event.metadata),
            ) {
                add(METADATA, text.to_owned());
            }
        }
    }
    if !event.stream.is_default() {
        add(STREAM, event.stream.to_string());
    }
    if !event.tags.is_empty() {
        let tags: Vec<&str> = event.tags.iter().collect();
        add(TAGS, serde_json::json!(tags).to_string());
    }
    add("annalstopic", event.topic.to_string());
    // Numbers of CloudEvents have 32 bits.
    add("annalsposition", event.position.to_string());
    add("annalsversion", event.version.to_string());
    add("annalsrecordedat", event.recorded_at.to_string());
    all.extend(left);
    Attributes(all)
}

/// `,"data":…` or `,"data_base64":"…"`, or nothing where there is no data.
fn data(out: &mut Vec<u8>, event: &RecordedEvent, form: Option<Form>) {
    let payload = &event.payload;
    if payload.is_empty() && form.is_none() {
        return;
    }
    let kind = event.content_type.as_str();
    let json = form == Some(Form::Json) || (form.is_none() && is_json(kind));
    if json && is_one_line(payload) {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(payload);
        return;
    }
    let texts = form == Some(Form::Text) || (form.is_none() && kind.starts_with("text/"));
    if let (true, Ok(text)) = (texts, std::str::from_utf8(payload)) {
        out.extend_from_slice(b",\"data\":");
        // Writing text to memory as JSON has no way to fail.
        serde_json::to_writer(out, text).unwrap_or(());
        return;
    }
    out.extend_from_slice(b",\"data_base64\":\"");
    out.extend_from_slice(STANDARD.encode(payload).as_bytes());
    out.push(b'"');
}
