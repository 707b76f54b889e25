//! How one event is written down: the record that memory and file repositories share.
//!
//! A record holds what a caller gave and what the topic added, but for the topic's name and the
//! event's position, which follow from where the record is. Its layout is drawn in
//! `ARCHITECTURE.md`. It knows nothing of checksums: whoever keeps it frames it.

use bytes::{BufMut, Bytes};
use uuid::Uuid;

use crate::models::{
    ContentType, EventType, Position, RecordedEvent, STREAM_DELETED, STREAM_RESTORED, StreamId,
    Tags, Timestamp, TopicName, Version, text::Text,
};

pub(crate) use super::varint::Malformed;
use super::{
    BatchEvent,
    varint::{Cursor, put_bytes, put_varint},
};

const HAS_STREAM: u8 = 1;
const HAS_TAGS: u8 = 2;
const HAS_CONTENT_TYPE: u8 = 4;
const HAS_METADATA: u8 = 8;
const KNOWN_FLAGS: u8 = HAS_STREAM | HAS_TAGS | HAS_CONTENT_TYPE | HAS_METADATA;

/// The parts of an event that are written, borrowed from wherever they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordView<'a> {
    pub(crate) id: Uuid,
    pub(crate) version: Version,
    pub(crate) recorded_at: Timestamp,
    pub(crate) event_type: &'a [u8],
    pub(crate) stream: &'a [u8],
    pub(crate) tags: &'a [u8],
    /// Empty for JSON.
    pub(crate) content_type: &'a [u8],
    pub(crate) metadata: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// The record of a batch's event.
    pub(crate) fn of_batch(
        event: &'a BatchEvent,
        version: Version,
        recorded_at: Timestamp,
    ) -> Self {
        Self {
            id: event.id,
            version,
            recorded_at,
            event_type: event.event_type.as_str().as_bytes(),
            stream: event.stream.as_str().as_bytes(),
            tags: event.tags.joined().as_bytes(),
            content_type: content_type_bytes(&event.content_type),
            metadata: &event.metadata,
            payload: &event.payload,
        }
    }

    /// The record of an event that is recorded elsewhere.
    pub(crate) fn of_recorded(event: &'a RecordedEvent) -> Self {
        Self {
            id: event.id,
            version: event.version,
            recorded_at: event.recorded_at,
            event_type: event.event_type.as_str().as_bytes(),
            stream: event.stream.as_str().as_bytes(),
            tags: event.tags.joined().as_bytes(),
            content_type: content_type_bytes(&event.content_type),
            metadata: &event.metadata,
            payload: &event.payload,
        }
    }

    /// At least as many bytes as the record has when it is written.
    pub(crate) const fn size_bound(&self) -> usize {
        // Flags, id, two numbers, and the lengths of five texts.
        1 + 16
            + 10
            + 10
            + 5 * 5
            + self.event_type.len()
            + self.stream.len()
            + self.tags.len()
            + self.content_type.len()
            + self.metadata.len()
            + self.payload.len()
    }

    /// Writes the record; its time is kept as the distance from `base`.
    pub(crate) fn encode(&self, base: Timestamp, out: &mut impl BufMut) {
        let mut flags = 0;
        for (flag, bytes) in [
            (HAS_STREAM, self.stream),
            (HAS_TAGS, self.tags),
            (HAS_CONTENT_TYPE, self.content_type),
            (HAS_METADATA, self.metadata),
        ] {
            if !bytes.is_empty() {
                flags |= flag;
            }
        }
        out.put_u8(flags);
        out.put_slice(self.id.as_bytes());
        put_varint(out, self.version.get());
        put_varint(
            out,
            zigzag(self.recorded_at.as_micros().wrapping_sub(base.as_micros())),
        );
        put_bytes(out, self.event_type);
        for bytes in [self.stream, self.tags, self.content_type, self.metadata] {
            if !bytes.is_empty() {
                put_bytes(out, bytes);
            }
        }
        out.put_slice(self.payload);
    }

    /// Reads a record that [`encode`](Self::encode) has written.
    pub(crate) fn decode(record: &'a [u8], base: Timestamp) -> Result<Self, Malformed> {
        let mut rest = Cursor(record);
        let flags = rest.byte()?;
        if flags & !KNOWN_FLAGS != 0 {
            return Err("the record has flags that this version does not know");
        }
        let id = Uuid::from_slice(rest.take(16)?).map_err(|_| "it is too short")?;
        let version = Version::new(rest.varint()?);
        let recorded_at =
            Timestamp::from_micros(base.as_micros().wrapping_add(unzigzag(rest.varint()?)));
        let event_type = rest.bytes()?;
        let mut optional = |flag| {
            if flags & flag == 0 {
                Ok(&[][..])
            } else {
                rest.bytes()
            }
        };
        let stream = optional(HAS_STREAM)?;
        let tags = optional(HAS_TAGS)?;
        let content_type = optional(HAS_CONTENT_TYPE)?;
        let metadata = optional(HAS_METADATA)?;
        let payload = rest.0;
        Ok(Self {
            id,
            version,
            recorded_at,
            event_type,
            stream,
            tags,
            content_type,
            metadata,
            payload,
        })
    }

    /// The event at `position`; its texts and bytes are slices of `page`, which the view borrows
    /// from.
    pub(crate) fn to_event(
        self,
        page: &Bytes,
        topic: &TopicName,
        position: Position,
    ) -> Result<RecordedEvent, Malformed> {
        let bytes = |part: &[u8]| {
            if part.is_empty() {
                Bytes::new()
            } else {
                page.slice_ref(part)
            }
        };
        let text =
            |part: &[u8]| Text::of_page(page, part).ok_or("the record has text that is not UTF-8");
        Ok(RecordedEvent {
            topic: topic.clone(),
            position,
            stream: StreamId::trusted(text(self.stream)?),
            version: self.version,
            id: self.id,
            event_type: EventType::trusted(text(self.event_type)?),
            payload: bytes(self.payload),
            content_type: if self.content_type.is_empty() {
                ContentType::JSON
            } else {
                ContentType::trusted(text(self.content_type)?)
            },
            metadata: bytes(self.metadata),
            tags: Tags::trusted(text(self.tags)?),
            recorded_at: self.recorded_at,
        })
    }

    /// The tags, one after the other.
    pub(crate) fn each_tag(&self) -> impl Iterator<Item = &'a [u8]> {
        self.tags
            .split(|byte| *byte == 0x1f)
            .filter(|tag| !tag.is_empty())
    }

    /// Whether the event deletes its stream (`true`), restores it (`false`), or neither.
    pub(crate) fn deletion(&self) -> Option<bool> {
        if self.event_type == STREAM_DELETED.as_bytes() {
            Some(true)
        } else if self.event_type == STREAM_RESTORED.as_bytes() {
            Some(false)
        } else {
            None
        }
    }
}

fn content_type_bytes(content_type: &ContentType) -> &[u8] {
    if content_type.is_json() {
        &[]
    } else {
        content_type.as_str().as_bytes()
    }
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(stream: &str, tags: &[&str], payload: &'static [u8]) -> RecordedEvent {
        RecordedEvent {
            topic: TopicName::new("t").unwrap(),
            position: Position::new(7),
            stream: StreamId::new(stream).unwrap(),
            version: Version::new(300),
            id: Uuid::from_u128(42),
            event_type: EventType::new("Type").unwrap(),
            payload: Bytes::from_static(payload),
            content_type: ContentType::new("text/plain").unwrap(),
            metadata: Bytes::from_static(b"{}"),
            tags: Tags::new(tags).unwrap(),
            recorded_at: Timestamp::from_micros(-5),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for original in [
            event("", &[], b""),
            event("s", &["a", "b"], b"\x00\xff"),
            event("日本", &["x"], b"{}"),
        ] {
            for base in [i64::MIN, -1, 0, 1_700_000_000_000_000, i64::MAX] {
                let base = Timestamp::from_micros(base);
                let mut bytes = Vec::new();
                RecordView::of_recorded(&original).encode(base, &mut bytes);
                let page = Bytes::from(bytes);
                let view = RecordView::decode(&page, base).unwrap();
                assert_eq!(
                    view.to_event(&page, &original.topic, original.position)
                        .unwrap(),
                    original
                );
            }
        }
    }

    #[test]
    fn a_record_cut_short_or_changed_never_panics() {
        let mut bytes = Vec::new();
        RecordView::of_recorded(&event("s", &["a"], b"payload"))
            .encode(Timestamp::default(), &mut bytes);
        for end in 0..bytes.len() {
            assert!(end > 17 || RecordView::decode(&bytes[..end], Timestamp::default()).is_err());
        }
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let page = Bytes::from(changed);
                if let Ok(view) = RecordView::decode(&page, Timestamp::default()) {
                    let _whatever =
                        view.to_event(&page, &TopicName::new("t").unwrap(), Position::new(1));
                }
            }
        }
    }
}
