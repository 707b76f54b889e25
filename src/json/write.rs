//! Events to JSON.

use std::{fmt, io::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::RecordedEvent;

/// About how many bytes an event's object has beside its payload and metadata.
const OVERHEAD: usize = 320;

/// Appends the event's object to `out`. There is no line break in it, and none after it.
pub fn write_event(out: &mut Vec<u8>, event: &RecordedEvent) {
    out.reserve(OVERHEAD + event.payload.len() + event.metadata.len());
    out.extend_from_slice(b"{\"topic\":");
    text(out, event.topic.as_str());
    out.extend_from_slice(b",\"position\":");
    number(out, event.position.get());
    out.extend_from_slice(b",\"stream\":");
    text(out, event.stream.as_str());
    out.extend_from_slice(b",\"version\":");
    number(out, event.version.get());
    out.extend_from_slice(b",\"id\":\"");
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(event.id.hyphenated().encode_lower(&mut id).as_bytes());
    out.extend_from_slice(b"\",\"type\":");
    text(out, event.event_type.as_str());
    out.extend_from_slice(b",\"recordedAt\":");
    display(out, event.recorded_at);
    out.extend_from_slice(b",\"tags\":[");
    for (nth, tag) in event.tags.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        text(out, tag);
    }
    out.extend_from_slice(b"],\"contentType\":");
    text(out, event.content_type.as_str());
    bytes(out, "data", &event.payload, event.content_type.is_json());
    bytes(out, "metadata", &event.metadata, true);
    out.push(b'}');
}

/// The event's object as a line, the break at its end included.
#[must_use]
pub fn event_line(event: &RecordedEvent) -> Vec<u8> {
    let mut line = Vec::new();
    write_event(&mut line, event);
    line.push(b'\n');
    line
}

fn text(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing text to memory as JSON has no way to fail.
        serde_json::to_writer(out, text).unwrap_or(());
    }
}

fn number(out: &mut Vec<u8>, number: u64) {
    // Writing to memory has no way to fail.
    write!(out, "{number}").unwrap_or(());
}

fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to memory has no way to fail; a timestamp has no character that JSON escapes.
    write!(out, "\"{value}\"").unwrap_or(());
}

/// `,"name":…` where the bytes are JSON, `,"nameBase64":"…"` where they are not, nothing where there
/// are none.
fn bytes(out: &mut Vec<u8>, name: &str, bytes: &[u8], json: bool) {
    if bytes.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    if json && is_one_line(bytes) {
        out.extend_from_slice(b"\":");
        out.extend_from_slice(bytes);
    } else {
        out.extend_from_slice(b"Base64\":\"");
        out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
        out.push(b'"');
    }
}

/// Whether the bytes are one JSON text without line breaks, and without white space around it, which
/// a reader of the line would take for its own.
#[must_use]
pub fn is_one_line(bytes: &[u8]) -> bool {
    let white = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    !white(bytes.first())
        && !white(bytes.last())
        && !bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
        && serde_json::from_slice::<Readable>(bytes).is_ok()
}

/// A text that every reader can make values of: what only skips one takes half a surrogate pair, numbers
/// beyond all and any depth, and one such payload would make a whole page unreadable for others.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
