//! A digest of events in their order: two runs of the same events have the same one.

use std::hash::{DefaultHasher, Hasher as _};

use crate::models::{Position, RecordedEvent};

/// What was seen of a topic, from its first event up to a position.
///
/// It is compared only with one that was made by the same process, so that the algorithm of the
/// standard library may be another one in each version. It guards against faults, not against forgers.
#[derive(Clone, Debug)]
pub(super) struct Digest {
    pub(super) at: Position,
    hasher: DefaultHasher,
}

impl Digest {
    pub(super) fn new() -> Self {
        Self {
            at: Position::START,
            hasher: DefaultHasher::new(),
        }
    }

    /// Adds the next event. False where it is not the next.
    pub(super) fn add(&mut self, event: &RecordedEvent) -> bool {
        if event.position != self.at.next() {
            return false;
        }
        self.at = event.position;
        let hasher = &mut self.hasher;
        hasher.write_u64(event.position.get());
        hasher.write_u64(event.version.get());
        hasher.write_u128(event.id.as_u128());
        hasher.write_i64(event.recorded_at.as_micros());
        let texts = [
            event.stream.as_str(),
            event.event_type.as_str(),
            event.content_type.as_str(),
        ];
        for text in texts {
            piece(hasher, text.as_bytes());
        }
        piece(hasher, event.tags.joined().as_bytes());
        piece(hasher, &event.metadata);
        piece(hasher, &event.payload);
        true
    }

    pub(super) fn value(&self) -> u64 {
        self.hasher.finish()
    }
}

fn piece(hasher: &mut DefaultHasher, bytes: &[u8]) {
    hasher.write_u64(bytes.len() as u64);
    hasher.write(bytes);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::models::{ContentType, EventType, StreamId, Tags, Timestamp, TopicName, Version};

    fn event() -> RecordedEvent {
        RecordedEvent {
            topic: TopicName::configuration(),
            position: Position::new(1),
            stream: StreamId::default(),
            version: Version::new(1),
            id: Uuid::from_u128(1),
            event_type: EventType::new("Given").unwrap(),
            payload: Bytes::from_static(b"ab"),
            content_type: ContentType::JSON,
            metadata: Bytes::from_static(b"c"),
            tags: Tags::join(&["x".to_owned(), "y".to_owned()]).unwrap(),
            recorded_at: Timestamp::from_micros(5),
        }
    }

    fn digest(event: &RecordedEvent) -> u64 {
        let mut digest = Digest::new();
        assert!(digest.add(event));
        digest.value()
    }

    #[test]
    fn whatever_is_changed_changes_it() {
        let changes: [fn(&mut RecordedEvent); 9] = [
            |event| event.stream = StreamId::new("s").unwrap(),
            |event| event.version = Version::new(2),
            |event| event.id = Uuid::from_u128(2),
            |event| event.event_type = EventType::new("Giveo").unwrap(),
            |event| event.payload = Bytes::from_static(b"ac"),
            |event| event.content_type = ContentType::new("text/plain").unwrap(),
            |event| {
                event.metadata = Bytes::from_static(b"");
                event.payload = Bytes::from_static(b"cab");
            },
            |event| event.tags = Tags::join(&["xy".to_owned()]).unwrap(),
            |event| event.recorded_at = Timestamp::from_micros(6),
        ];
        let before = digest(&event());
        assert_eq!(before, digest(&event()));
        for change in changes {
            let mut changed = event();
            change(&mut changed);
            assert_ne!(before, digest(&changed), "{changed:?}");
        }
    }

    #[test]
    fn what_is_not_the_next_is_refused() {
        let mut digest = Digest::new();
        assert!(digest.add(&event()));
        assert!(!digest.add(&event()));
    }
}
