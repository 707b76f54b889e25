//! Events as rows: what is stored of each, and how it is read back and checked.

use bytes::Bytes;
use serde::de::IgnoredAny;
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use super::codec::{moment_from_bytes, number};
use crate::{
    models::{
        ContentType, Error, EventType, Position, RecordedEvent, Result, StreamId, Tags, Timestamp,
        TopicName, Version, text::Text,
    },
    repository::record::RecordView,
};

/// What is read of an event `e`, in the order in which [`event`] takes it.
pub(super) const COLUMNS: &str = "e.position, e.version, e.recorded_at, e.id, e.stream, e.type, \
     e.payload, e.payload_bytes, e.content_type, e.metadata, e.metadata_bytes, \
     array_to_string(e.tags, E'\\x1f'), e.checksum";

/// How many there are; a query may ask for more behind them.
pub(super) const COLUMN_COUNT: usize = 13;

/// JSON that is nested deeper is stored as bytes: the server's parser has a stack.
const MAX_DEPTH: usize = 256;

/// Content as it is stored: as JSON that the server can look into, or as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Json(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    /// Content of which it is said that it is JSON. It may be something else, or JSON that the
    /// server would not take: nested too deep, for one.
    pub(super) fn of(bytes: &'a [u8], is_json: bool) -> Self {
        if is_json
            && let Ok(text) = std::str::from_utf8(bytes)
            && serde_json::from_str::<IgnoredAny>(text).is_ok()
            && is_shallow(text)
        {
            return Self::Json(text);
        }
        Self::Bytes(bytes)
    }

    pub(super) const fn json(self) -> Option<&'a str> {
        match self {
            Self::Json(text) => Some(text),
            Self::Bytes(_) => None,
        }
    }

    pub(super) const fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Json(_) => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// Whether well-formed JSON is nested no deeper than is stored as JSON. Mostly it has fewer brackets.
fn is_shallow(json: &str) -> bool {
    let brackets = json.bytes().filter(|byte| matches!(byte, b'[' | b'{'));
    brackets.count() <= MAX_DEPTH || depth(json) <= MAX_DEPTH
}

/// How deep arrays and objects are nested in JSON that is well-formed.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The checksum of what a caller gave: CRC32C over each part behind its length.
pub(super) fn checksum(event: &RecordView<'_>) -> i32 {
    let parts = [
        event.event_type,
        event.stream,
        event.tags,
        event.content_type,
        event.metadata,
        event.payload,
    ];
    let sum = parts
        .into_iter()
        .fold(crc32c::crc32c(event.id.as_bytes()), |sum, part| {
            let sum = crc32c::crc32c_append(sum, &(part.len() as u64).to_le_bytes());
            crc32c::crc32c_append(sum, part)
        });
    sum.cast_signed()
}

/// The bytes of a column; none where it is null.
pub(super) fn raw(row: &PgRow, column: usize) -> Result<Option<&[u8]>, sqlx::Error> {
    use sqlx::ValueRef;
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(None);
    }
    value.as_bytes().map(Some).map_err(sqlx::Error::Decode)
}

fn fixed<const N: usize>(row: &PgRow, column: usize) -> Result<[u8; N], sqlx::Error> {
    let bytes = raw(row, column)?.unwrap_or_default();
    bytes
        .try_into()
        .map_err(|_| sqlx::Error::Decode("a column has another size".into()))
}

/// The number in a `bigint` column.
pub(super) fn bigint_at(row: &PgRow, column: usize) -> Result<u64, sqlx::Error> {
    Ok(number(i64::from_be_bytes(fixed(row, column)?)))
}

/// Where the parts of an event are, for slices of one buffer.
struct Parts<'a> {
    stream: &'a [u8],
    event_type: &'a [u8],
    payload: &'a [u8],
    content_type: &'a [u8],
    metadata: &'a [u8],
    tags: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(row: &'a PgRow) -> Result<Self, sqlx::Error> {
        let either = |json, bytes| {
            Ok::<_, sqlx::Error>(match raw(row, json)? {
                Some(text) => text,
                None => raw(row, bytes)?.unwrap_or_default(),
            })
        };
        Ok(Self {
            stream: raw(row, 4)?.unwrap_or_default(),
            event_type: raw(row, 5)?.unwrap_or_default(),
            payload: either(6, 7)?,
            content_type: raw(row, 8)?.unwrap_or_default(),
            metadata: either(9, 10)?,
            tags: raw(row, 11)?.unwrap_or_default(),
        })
    }
}

/// The event in a row, if it is the one that was recorded.
pub(super) fn event(row: &PgRow, topic: &TopicName, place: &str) -> Result<RecordedEvent> {
    let undecodable = |error: sqlx::Error| Error::Corruption {
        place: place.to_owned(),
        reason: format!("a row cannot be read: {error}"),
    };
    decode(row, topic)
        .map_err(undecodable)?
        .map_err(|(position, reason)| Error::Corruption {
            place: format!("{place}, position {position}"),
            reason: reason.to_owned(),
        })
}

type Damaged = (Position, &'static str);

fn decode(row: &PgRow, topic: &TopicName) -> Result<Result<RecordedEvent, Damaged>, sqlx::Error> {
    let position = Position::new(bigint_at(row, 0)?);
    let version = Version::new(bigint_at(row, 1)?);
    let recorded_at = moment_from_bytes(fixed(row, 2)?);
    let id = Uuid::from_bytes(fixed(row, 3)?);
    let parts = Parts::of(row)?;
    let expected = i32::from_be_bytes(fixed(row, 12)?);
    let view = view(&parts, id, version, recorded_at);
    if checksum(&view) != expected {
        let reason = "the event is not what was recorded: its checksum does not match";
        return Ok(Err((position, reason)));
    }
    let decoded = assemble(&parts, topic, position, &view);
    Ok(decoded.ok_or((position, "the event has text that is not UTF-8")))
}

fn view<'a>(
    parts: &Parts<'a>,
    id: Uuid,
    version: Version,
    recorded_at: Timestamp,
) -> RecordView<'a> {
    RecordView {
        id,
        version,
        recorded_at,
        event_type: parts.event_type,
        stream: parts.stream,
        tags: parts.tags,
        content_type: parts.content_type,
        metadata: parts.metadata,
        payload: parts.payload,
    }
}

/// Copies the parts into one buffer, of which those of the event are slices.
fn assemble(
    parts: &Parts<'_>,
    topic: &TopicName,
    position: Position,
    view: &RecordView<'_>,
) -> Option<RecordedEvent> {
    let all = [
        parts.payload,
        parts.metadata,
        parts.stream,
        parts.event_type,
        parts.content_type,
        parts.tags,
    ];
    let mut buffer = Bytes::from(all.concat());
    let mut part = |length: usize| {
        if length == 0 {
            Bytes::new()
        } else {
            buffer.split_to(length)
        }
    };
    let payload = part(parts.payload.len());
    let metadata = part(parts.metadata.len());
    let mut text = |length: usize| {
        let bytes = part(length);
        Text::of_page(&bytes, &bytes)
    };
    let stream = text(parts.stream.len())?;
    let event_type = text(parts.event_type.len())?;
    let content_type = text(parts.content_type.len())?;
    let tags = text(parts.tags.len())?;
    Some(RecordedEvent {
        topic: topic.clone(),
        position,
        stream: StreamId::trusted(stream),
        version: view.version,
        id: view.id,
        event_type: EventType::trusted(event_type),
        payload,
        content_type: if content_type.as_str().is_empty() {
            ContentType::JSON
        } else {
            ContentType::trusted(content_type)
        },
        metadata,
        tags: Tags::trusted(tags),
        recorded_at: view.recorded_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_what_only_says_so() {
        let brackets = format!("\"{}\"", "[".repeat(1000));
        for good in [
            "{}",
            " [1, 2.50e+400] ",
            r#""\u0000\ud800\"[""#,
            "null",
            &brackets,
        ] {
            assert_eq!(Content::of(good.as_bytes(), true), Content::Json(good));
            assert_eq!(
                Content::of(good.as_bytes(), false),
                Content::Bytes(good.as_bytes())
            );
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let many = format!("[{}0]", "[{}],".repeat(1000));
        for good in [nested(256), many, format!("[\"[\",{}]", nested(255))] {
            assert_eq!(Content::of(good.as_bytes(), true), Content::Json(&good));
        }
        let over = nested(257);
        let deep = nested(1000);
        for bad in ["", "{", "{} x", "\"\n\"", "\u{feff}{}", "NaN", &over, &deep] {
            let stored = Content::of(bad.as_bytes(), true);
            assert!(stored == Content::Bytes(bad.as_bytes()), "{}", bad.len());
        }
        assert_eq!(Content::of(b"\"\xff\"", true), Content::Bytes(b"\"\xff\""));
    }
}
