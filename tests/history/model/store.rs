//! A store so simple that it is right: a list of events.

use std::collections::HashMap;

use annals::{
    ContentType, EventType, RecordedEvent, STREAM_DELETED, STREAM_RESTORED, StreamId, Tags,
    Timestamp, TopicName, repository::BatchEvent,
};
use uuid::Uuid;

use crate::history::{
    client::event_filter,
    record::{
        AppendAnswer, AppendCall, Change, ChangeAnswer, ChangeCall, Event, Expected, Filter,
        ReadAnswer, ReadCall, Receipt, Refusal, Seen, State, keyed_id,
    },
};

/// What a topic is.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) topic: String,
    pub(super) log: Vec<RecordedEvent>,
    pub(super) ids: HashMap<Uuid, u64>,
    pub(super) streams: HashMap<String, (State, Vec<u64>)>,
}

impl Store {
    pub(super) fn head(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn state(&self, stream: &str) -> State {
        self.streams
            .get(stream)
            .map_or_else(State::default, |s| s.0)
    }

    fn first_match(&self, filter: &Filter, after: u64) -> Option<u64> {
        let filter = event_filter(filter);
        let mut later = self.log.iter().skip(usize::try_from(after).unwrap());
        later
            .find(|event| filter.matches(event))
            .map(|event| event.position.get())
    }

    fn write(&mut self, event: &Event, now: u64) {
        let place = self.head() + 1;
        let (state, places) = self.streams.entry(event.stream.clone()).or_default();
        state.version += 1;
        state.deleted = event.event_type == STREAM_DELETED;
        places.push(place);
        self.ids.insert(event.id, place);
        let version = state.version;
        self.log
            .push(recorded(&self.topic, event, (place, version), now));
    }

    /// Answers an append as the design says, and records it.
    pub(super) fn append(&mut self, call: &AppendCall, now: u64) -> AppendAnswer {
        match self.refuse(call) {
            Some(answer) => answer,
            None => {
                let first = self.head() + 1;
                call.events.iter().for_each(|event| self.write(event, now));
                let version = self.state(&call.stream).version;
                let last = self.head();
                AppendAnswer::Recorded(Receipt {
                    first,
                    last,
                    version,
                })
            }
        }
    }

    fn refuse(&self, call: &AppendCall) -> Option<AppendAnswer> {
        let places: Vec<_> = call.events.iter().map(|e| self.ids.get(&e.id)).collect();
        let count = places.len() as u64;
        let beyond = call
            .key
            .as_ref()
            .and_then(|key| self.ids.get(&keyed_id(key, count)));
        let known = places
            .iter()
            .flatten()
            .copied()
            .copied()
            .chain(beyond.copied())
            .next();
        if let Some(position) = known {
            let in_order = places
                .iter()
                .zip(position..)
                .all(|(is, due)| *is == Some(&due));
            let same = in_order && beyond.is_none() && {
                let recorded = self.log.iter().skip(usize::try_from(position - 1).unwrap());
                call.events
                    .iter()
                    .zip(recorded)
                    .all(|(one, other)| one.is_recorded_as(other))
            };
            if !same {
                return Some(refused(Refusal::IdConflict { position }));
            }
            let last = position + count - 1;
            let own = call
                .events
                .iter()
                .rposition(|event| event.stream == call.stream);
            let version = own.map_or(self.state(&call.stream).version, |index| {
                self.log[usize::try_from(position - 1).unwrap() + index]
                    .version
                    .get()
            });
            return Some(AppendAnswer::Duplicate(Receipt {
                first: position,
                last,
                version,
            }));
        }
        if let Some(event) = call.events.iter().find(|e| self.state(&e.stream).deleted) {
            let stream = event.stream.clone();
            return Some(refused(Refusal::StreamDeleted { stream }));
        }
        let actual = self.state(&call.stream).version;
        let admitted = match call.expected {
            Expected::Any => true,
            Expected::NoStream => actual == 0,
            Expected::StreamExists => actual > 0,
            Expected::Exact(version) => version == actual,
        };
        if !admitted {
            let (stream, expected) = (call.stream.clone(), call.expected);
            return Some(refused(Refusal::WrongVersion {
                stream,
                expected,
                actual,
            }));
        }
        let unless = call.unless.as_ref()?;
        let position = self.first_match(&unless.filter, unless.after)?;
        Some(refused(Refusal::ConditionFailed { position }))
    }

    pub(super) fn change(&mut self, call: &ChangeCall, id: Uuid, now: u64) -> ChangeAnswer {
        let state = self.state(&call.stream);
        if state.version == 0 {
            return ChangeAnswer::NotFound;
        }
        if state.deleted != (call.change == Change::Delete) {
            let event_type = match call.change {
                Change::Delete => STREAM_DELETED,
                Change::Restore => STREAM_RESTORED,
            };
            let event = Event {
                id,
                stream: call.stream.clone(),
                event_type: event_type.to_owned(),
                payload: b"{}".to_vec(),
                content_type: "application/json".to_owned(),
                metadata: Vec::new(),
                tags: Vec::new(),
            };
            self.write(&event, now);
        }
        let version = self.state(&call.stream).version;
        ChangeAnswer::Done { version }
    }

    pub(super) fn read(&self, call: &mut ReadCall) {
        let ask = &call.ask;
        if let Some(stream) = &ask.stream
            && !ask.include_deleted
            && self.state(stream).deleted
        {
            call.answer = ReadAnswer::StreamDeleted;
            return;
        }
        let filter = event_filter(&ask.filter);
        let own = ask.stream.as_ref().map(|stream| {
            let known = self.streams.get(stream);
            known.map_or(&[][..], |known| known.1.as_slice())
        });
        let meant = |event: &&RecordedEvent| {
            let version = event.version.get();
            let position = event.position.get();
            filter.matches(event)
                && position > ask.after
                && position <= ask.up_to
                && (own.is_none() || version > ask.after_version && version <= ask.up_to_version)
        };
        let at = |place: u64| &self.log[usize::try_from(place).unwrap() - 1];
        let places: Vec<u64> = match own {
            Some(own) => own.to_vec(),
            None => (ask.after + 1..=self.head()).collect(),
        };
        let mut events: Vec<_> = places.into_iter().map(at).filter(meant).collect();
        if ask.backward {
            events.reverse();
        }
        let limit = usize::try_from(ask.limit.unwrap_or(u64::MAX)).unwrap();
        let full = events.len() >= limit;
        events.truncate(limit);
        call.seen = events.into_iter().map(Seen::of).collect();
        let end = self.head().min(ask.up_to);
        call.looked_to = match call.seen.last() {
            Some(last) if full => Some(last.position),
            _ if ask.after < end => Some(end),
            _ => Some(0),
        };
        if ask.backward || ask.up_to_version < u64::MAX {
            call.looked_to = None;
        }
    }
}

pub(crate) fn recorded(topic: &str, event: &Event, at: (u64, u64), now: u64) -> RecordedEvent {
    let given = BatchEvent {
        id: event.id,
        stream: StreamId::new(event.stream.clone()).unwrap(),
        event_type: EventType::new(event.event_type.clone()).unwrap(),
        payload: event.payload.clone().into(),
        content_type: ContentType::new(event.content_type.clone()).unwrap(),
        metadata: event.metadata.clone().into(),
        tags: Tags::new(&event.tags).unwrap(),
    };
    let time = Timestamp::from_micros(i64::try_from(now / 100).unwrap());
    given.into_recorded(
        TopicName::new(topic).unwrap(),
        at.0.into(),
        at.1.into(),
        time,
    )
}

pub(super) const fn refused(refusal: Refusal) -> AppendAnswer {
    AppendAnswer::Refused(refusal)
}
