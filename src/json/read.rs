//! Events from JSON.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    ContentType, Error, EventType, NewEvent, Position, RecordedEvent, Result, StreamId, Tags,
    TopicName, Version,
};

/// The tags of an event in JSON.
pub type Tagged<'a> = Vec<Cow<'a, str>>;

/// An event that is to be appended, as JSON. Unknown fields are refused: a misspelt one would be lost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewEventDocument<'a> {
    /// The id; made anew where it is missing.
    pub id: Option<Uuid>,
    /// The type.
    #[serde(rename = "type", borrow)]
    pub event_type: Cow<'a, str>,
    /// The stream, where it is not that of the append.
    #[serde(borrow)]
    pub stream: Option<Cow<'a, str>>,
    /// The tags.
    #[serde(default, borrow)]
    pub tags: Tagged<'a>,
    /// The media type of the payload; `application/json` where it is missing.
    #[serde(borrow)]
    pub content_type: Option<Cow<'a, str>>,
    /// The payload as JSON.
    #[serde(default, borrow, deserialize_with = "raw")]
    pub data: Option<&'a RawValue>,
    /// The payload as bytes, in base64.
    #[serde(borrow)]
    pub data_base64: Option<Cow<'a, str>>,
    /// The metadata as JSON.
    #[serde(default, borrow, deserialize_with = "raw")]
    pub metadata: Option<&'a RawValue>,
    /// The metadata as bytes, in base64.
    #[serde(borrow)]
    pub metadata_base64: Option<Cow<'a, str>>,
}

impl NewEventDocument<'_> {
    /// The event. Its bytes are copied out of the document.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`] with `index` where both forms of a field are given, or base64 is none.
    pub fn into_event(self, index: usize) -> Result<NewEvent> {
        let data = field("data", self.data, self.data_base64.as_deref(), index)?;
        let metadata = field(
            "metadata",
            self.metadata,
            self.metadata_base64.as_deref(),
            index,
        )?;
        let event_type = self.event_type.into_owned();
        let mut event = match self.content_type {
            Some(content_type) => NewEvent::binary(event_type, content_type, data),
            None => NewEvent::json_text(event_type, data),
        };
        if let Some(id) = self.id {
            event = event.id(id);
        }
        if let Some(stream) = self.stream {
            event = event.stream(stream);
        }
        Ok(event.tags(self.tags).metadata_bytes(metadata))
    }
}

/// A recorded event as JSON, as [`write_event`](super::write_event) writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedEventDocument<'a> {
    topic: Cow<'a, str>,
    position: u64,
    #[serde(default)]
    stream: Cow<'a, str>,
    version: u64,
    id: Uuid,
    #[serde(rename = "type")]
    event_type: Cow<'a, str>,
    recorded_at: Cow<'a, str>,
    #[serde(default)]
    tags: Tagged<'a>,
    content_type: Cow<'a, str>,
    #[serde(default, borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    data_base64: Option<Cow<'a, str>>,
    #[serde(default, borrow, deserialize_with = "raw")]
    metadata: Option<&'a RawValue>,
    metadata_base64: Option<Cow<'a, str>>,
}

impl RecordedEventDocument<'_> {
    /// The event, with the bytes that it had when it was written.
    ///
    /// # Errors
    /// [`Error::InvalidTopicName`], [`Error::InvalidStreamId`], [`Error::InvalidEvent`] or
    /// [`Error::Serialization`] where a field breaks its rule.
    pub fn into_event(self) -> Result<RecordedEvent> {
        Ok(RecordedEvent {
            payload: field("data", self.data, self.data_base64.as_deref(), 0)?,
            metadata: field(
                "metadata",
                self.metadata,
                self.metadata_base64.as_deref(),
                0,
            )?,
            topic: TopicName::new(&self.topic)?,
            position: Position::new(self.position),
            stream: StreamId::new(self.stream)?,
            version: Version::new(self.version),
            id: self.id,
            event_type: EventType::new(self.event_type)?,
            content_type: ContentType::new(self.content_type)?,
            tags: Tags::new(&self.tags)?,
            recorded_at: self.recorded_at.parse()?,
        })
    }
}

/// A field that is there, also where it is `null`: that is a payload too.
fn raw<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

fn field(name: &str, json: Option<&RawValue>, base64: Option<&str>, index: usize) -> Result<Bytes> {
    let invalid = |reason| Error::InvalidEvent { index, reason };
    match (json, base64) {
        (Some(_), Some(_)) => Err(invalid(format!(
            "both `{name}` and `{name}Base64` are given; give one of them"
        ))),
        (Some(json), None) => Ok(Bytes::copy_from_slice(json.get().as_bytes())),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map(Bytes::from)
            .map_err(|error| invalid(format!("`{name}Base64` is not base64: {error}"))),
        (None, None) => Ok(Bytes::new()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::event_line;

    fn event(payload: &[u8], metadata: &[u8], content_type: ContentType) -> RecordedEvent {
        RecordedEvent {
            topic: TopicName::new("orders").unwrap(),
            position: Position::new(u64::MAX),
            stream: StreamId::new("order \"42\" \\ é\u{7f}".replace('\u{7f}', "")).unwrap(),
            version: Version::new(1),
            id: Uuid::from_u128(7),
            event_type: EventType::new("$stream-deleted").unwrap(),
            payload: Bytes::copy_from_slice(payload),
            content_type,
            metadata: Bytes::copy_from_slice(metadata),
            tags: Tags::new(&["a:1", "b\"2"]).unwrap(),
            recorded_at: crate::Timestamp::from_micros(1_290_000_000_123_456),
        }
    }

    fn comes_back(event: &RecordedEvent) {
        let line = event_line(event);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let document: RecordedEventDocument<'_> = serde_json::from_slice(&line).unwrap();
        assert_eq!(&document.into_event().unwrap(), event);
        // And for others it is JSON.
        serde_json::from_slice::<serde_json::Value>(&line).unwrap();
    }

    #[test]
    fn an_event_comes_back_byte_for_byte() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for payload in [
            &b""[..],
            b"null",
            b"{\"a\" : 1.10, \"a\":2}",
            b" {}",
            b"{}\n",
            b"{\n}",
            b"{}\r",
            b"nonsense",
            b"\"\xff\"",
            b"\"\\ud800\"",
            b"1e400",
            b"1 2",
            deep.as_bytes(),
        ] {
            for metadata in [&b""[..], b"{}", payload] {
                comes_back(&event(payload, metadata, ContentType::JSON));
                let text = ContentType::new("text/plain").unwrap();
                comes_back(&event(payload, metadata, text));
            }
        }
    }

    #[test]
    fn a_new_event_says_what_is_wrong_with_it() {
        let parse = |text: &'static str| serde_json::from_str::<NewEventDocument<'_>>(text);
        let event = |text| parse(text).unwrap().into_event(3);
        let both = event(r#"{"type":"A","data":1,"dataBase64":"AA=="}"#).unwrap_err();
        assert!(both.to_string().contains("give one of them"), "{both}");
        let none = event(r#"{"type":"A","dataBase64":"?"}"#).unwrap_err();
        assert!(none.to_string().contains("invalid event 3"), "{none}");
        let misspelt = parse(r#"{"type":"A","dta":1}"#).unwrap_err();
        assert!(
            misspelt.to_string().contains("unknown field `dta`"),
            "{misspelt}"
        );
        let null = event(r#"{"type":"A","data":null}"#).unwrap();
        assert_eq!(&null.payload[..], b"null");
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(payload: Vec<u8>, metadata: Vec<u8>, json: bool) {
            let kind = if json { ContentType::JSON } else { ContentType::new("x/y").unwrap() };
            comes_back(&event(&payload, &metadata, kind));
        }

        #[test]
        fn any_text_comes_back(payload in "[\\[\\]{}\",:0-9a-f\\\\ \n]{0,20}") {
            comes_back(&event(payload.as_bytes(), payload.as_bytes(), ContentType::JSON));
        }
    }
}
