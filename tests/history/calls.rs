//! Calls of all kinds, by random.

use std::time::Duration;

use uuid::Uuid;

use super::{
    client::{Client, Served},
    random::Random,
    record::{AppendAnswer, AppendCall, Ask, Change, Event, Expected, Filter, Unless, keyed_id},
};

/// Has a client make some call on one of few streams, so that clients meet. `tried` are appends that it
/// may make again, and `patience` the longest that one is waited for which is given up.
pub(crate) async fn some_call<S: Served>(
    client: &mut Client<S>,
    random: &mut Random,
    tried: &mut Vec<AppendCall>,
    patience: Duration,
) {
    let stream = format!("s-{}", random.below(5));
    match random.below(24) {
        0 => client.change(&stream, Change::Delete).await,
        1 | 2 => client.change(&stream, Change::Restore).await,
        3 => client.head().await,
        4..7 => drop(client.read(some_read(random, &stream)).await),
        7 | 8 if !tried.is_empty() => {
            let mut again = random.pick(tried).unwrap().clone();
            again.expected = Expected::NoStream;
            client.append(again).await;
        }
        9 => {
            let patience = random.below(u64::try_from(patience.as_micros()).unwrap());
            let call = some_append(random, &stream, Expected::Any);
            let patience = Duration::from_micros(patience);
            client.append_for(patience, call.clone()).await;
            tried.push(call);
        }
        10 | 11 => {
            let filter = Filter::tag("seat:1");
            let ask = Ask {
                filter: filter.clone(),
                ..Ask::all()
            };
            let after = client.read(ask).await;
            let mut call = some_append(random, &stream, Expected::Any);
            call.unless = Some(Unless { filter, after });
            client.append(call).await;
        }
        12..16 => {
            let call = some_append(random, &stream, Expected::Any);
            client.append(call.clone()).await;
            tried.push(call);
        }
        _ => {
            let version = client.state(&stream).await;
            let call = some_append(random, &stream, Expected::Exact(version));
            client.append(call.clone()).await;
            tried.push(call);
        }
    }
    if tried.len() > 200 {
        tried.drain(..100);
    }
}

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
