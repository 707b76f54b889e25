//! Calls of all kinds, by random.

use uuid::Uuid;

use super::{
    random::Random,
    record::{AppendAnswer, AppendCall, Ask, Event, Expected, Filter, keyed_id},
};

pub(crate) fn some_read(random: &mut Random, stream: &str) -> Ask {
    Ask {
        stream: random.one_in(2).then(|| stream.to_owned()),
        filter: if random.one_in(3) {
            Filter::tag("seat:1")
        } else {
            Filter::all()
        },
        backward: random.one_in(3),
        limit: random.one_in(3).then(|| 1 + random.below(9)),
        include_deleted: random.one_in(2),
        ..Ask::all()
    }
}

pub(crate) fn some_append(random: &mut Random, stream: &str, expected: Expected) -> AppendCall {
    let id =
        |random: &mut Random| Uuid::from_u64_pair(random.below(u64::MAX), random.below(u64::MAX));
    let key = random.one_in(4).then(|| id(random).to_string());
    let events = (0..=random.below(3)).map(|index| Event {
        id: key
            .as_ref()
            .map_or_else(|| id(random), |key| keyed_id(key, index)),
        stream: stream.to_owned(),
        event_type: "Tried".to_owned(),
        payload: vec![7; usize::try_from(random.below(300)).unwrap()],
        content_type: "application/octet-stream".to_owned(),
        metadata: Vec::new(),
        tags: vec![format!("seat:{}", random.below(5))],
    });
    AppendCall {
        stream: stream.to_owned(),
        expected,
        unless: None,
        events: events.collect(),
        key,
        answer: AppendAnswer::Unknown,
    }
}
