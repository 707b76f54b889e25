//! What the fuzz targets in `fuzz/` call, and what the tests call with the same inputs: one function
//! for each decoder. Not a part of the library: it is there in tests and where `cargo fuzz` builds,
//! which sets `cfg(fuzzing)`; a feature would be there for everyone.

use bytes::Bytes;

use crate::{
    models::{
        ContentType, EventType, Position, RecordedEvent, StreamId, Tags, Timestamp, TopicName,
        Version,
    },
    write_model::{ConfigurationEvent, Model},
};

#[cfg(feature = "file")]
pub use files::{index_file, journal, mark, segment};

#[cfg(feature = "file")]
mod files {
    use crate::repository::file::fuzz;

    /// The mark beside a log.
    pub fn mark(data: &[u8]) {
        fuzz::mark(data);
    }

    /// A segment: its header, frames and records, and recovery.
    pub fn segment(data: &[u8]) {
        fuzz::segment(data);
    }

    /// A journal.
    pub fn journal(data: &[u8]) {
        fuzz::journal(data);
    }

    /// An index file.
    pub fn index_file(data: &[u8]) {
        fuzz::index_file(data);
    }
}

/// The record of an event.
pub fn record(data: &[u8]) {
    crate::repository::fuzz::record(data);
}

/// A configuration stream, one event to a line: its type, a space, and its JSON. What is read is
/// written and read again as the same; an event that is refused leaves the model as it was; and
/// folding anew gives the same model.
pub fn configuration(data: &[u8]) {
    let mut model = Model::default();
    let mut folded: Vec<RecordedEvent> = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b' ');
        let (kind, payload) = (parts.next(), parts.next());
        let Ok(kind) = str::from_utf8(kind.unwrap_or_default()) else {
            continue;
        };
        let Ok(kind) = EventType::new(kind) else {
            continue;
        };
        let event = recorded(model.position.next(), kind, payload.unwrap_or_default());
        if let Ok(read) = ConfigurationEvent::from_recorded(&event) {
            write_again(&event, &read);
        }
        let before = model.clone();
        if model.apply(&event).is_ok() {
            folded.push(event);
        } else {
            assert!(model == before);
        }
    }
    let mut anew = Model::default();
    assert!(folded.iter().all(|event| anew.apply(event).is_ok()));
    assert!(anew == model);
    for topic in model.topics().iter().chain(model.deleted_topics()) {
        assert!(model.uses(topic.placement.storage));
    }
}

fn recorded(position: Position, event_type: EventType, payload: &[u8]) -> RecordedEvent {
    RecordedEvent {
        topic: TopicName::configuration(),
        position,
        stream: StreamId::default(),
        version: Version::new(position.get()),
        id: uuid::Uuid::nil(),
        event_type,
        payload: Bytes::copy_from_slice(payload),
        content_type: ContentType::JSON,
        metadata: Bytes::new(),
        tags: Tags::default(),
        recorded_at: Timestamp::default(),
    }
}

fn write_again(event: &RecordedEvent, read: &ConfigurationEvent) {
    let written = read.to_event();
    assert!(written.is_ok(), "{written:?}");
    let Ok(written) = written else { return };
    assert_eq!(written.event_type, event.event_type.as_str());
    let again = recorded(event.position, event.event_type.clone(), &written.payload);
    let again = ConfigurationEvent::from_recorded(&again);
    assert!(again.as_ref().is_ok_and(|again| again == read), "{again:?}");
}

#[cfg(test)]
mod tests;
