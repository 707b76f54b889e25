//! Takes what a client has made offline.

use std::{collections::HashMap, fmt};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer as _, MapAccess, value::MapAccessDeserializer},
};
use uuid::Uuid;

use super::{accept::Format, body, expectation::Expected, names::Names, query, read::PAGE_BYTES};
use crate::{
    Error, PushEvent, PushOutcome, RecordedEvent,
    json::{NewEventDocument, write_event},
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// The most events of one push.
const MOST_EVENTS: usize = 1_000;
/// How many are handed to the store at once. Conflicts hold events, so they are not gathered for ever.
const AT_ONCE: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Push<'a> {
    #[serde(borrow)]
    events: Vec<Document<'a>>,
}

/// A NEW EVENT with `expectedVersion` beside its fields.
struct Document<'a> {
    event: NewEventDocument<'a>,
    expected: Option<Expected>,
}

/// What comes of an event: the [`PushOutcome`], beside the event's id.
type Outcome = (Uuid, PushOutcome);

/// `POST /topics/T/push`.
pub(super) async fn push(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Action::Append, &names.topic)?;
    let (head, body) = request.into_parts();
    query::none(&head.uri)?;
    let text = body::read_json(&head.headers, body).await?;
    let events = parse(&text)?;
    let mut pushing = Pushing {
        app: &app,
        topic: &names.topic,
        shows_events: caller.is_allowed(Action::Read, &names.topic),
        refused: HashMap::new(),
        body: b"{\"outcomes\":[".to_vec(),
    };
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        pushing
            .some(events.by_ref().take(AT_ONCE).collect())
            .await?;
    }
    let mut body = pushing.body;
    body.extend_from_slice(b"]}");
    let kind = HeaderValue::from_static(Format::Json.media_type());
    Ok(([(header::CONTENT_TYPE, kind)], Body::from(body)).into_response())
}

fn parse(text: &[u8]) -> Result<Vec<Pushed>, Problem> {
    let push: Push<'_> = body::parse(text)?;
    if push.events.len() > MOST_EVENTS {
        return Err(Error::TooLarge {
            what: "push in events",
            limit: MOST_EVENTS as u64,
            actual: push.events.len() as u64,
        }
        .into());
    }
    let events = push.events.into_iter().zip(0..);
    let events = events.map(|(document, index)| document.pushed(index));
    Ok(events.collect::<Result<_, Error>>()?)
}

/// An event that is to be recorded.
struct Pushed {
    event: PushEvent,
    stream: String,
    /// The bytes of its payload.
    bytes: usize,
}

impl Document<'_> {
    fn pushed(self, index: usize) -> Result<Pushed, Error> {
        if self.event.id.is_none() {
            // Who pushes again because an answer was lost would record it twice.
            let reason = "a pushed event has an `id`, made where the event was".to_owned();
            return Err(Error::InvalidEvent { index, reason });
        }
        let expected = self.expected.map(|Expected(expected)| expected);
        let stream = self.event.stream.as_deref().unwrap_or_default().to_owned();
        let event = self.event.into_event(index)?;
        let bytes = event.payload.len();
        let event = PushEvent::new(event, stream.clone(), expected.unwrap_or_default());
        Ok(Pushed {
            event,
            stream,
            bytes,
        })
    }
}

/// A push under way.
struct Pushing<'a> {
    app: &'a App,
    topic: &'a str,
    /// Whether the caller may see what others have recorded.
    shows_events: bool,
    /// The first event of each stream that was not recorded.
    refused: HashMap<String, Uuid>,
    body: Vec<u8>,
}

impl Pushing<'_> {
    /// Hands some events to the store, and writes what came of them.
    async fn some(&mut self, events: Vec<Pushed>) -> Result<(), Error> {
        let mut plan = Vec::with_capacity(events.len());
        let mut handed = Vec::with_capacity(events.len());
        for pushed in events {
            let refused = self.refused.get(&pushed.stream).copied();
            plan.push((pushed.event.id(), pushed.stream, pushed.bytes, refused));
            if refused.is_none() {
                handed.push(pushed.event);
            }
        }
        let pushed = self.app.store.push(self.topic, handed).await?;
        let mut outcomes = pushed.into_iter();
        for (id, stream, bytes, refused) in plan {
            let outcome = match refused {
                Some(refused) => Some(PushOutcome::Follows { refused }),
                None => outcomes.next(),
            };
            let Some(outcome) = outcome else { break };
            if outcome.is_recorded() {
                let duplicate = matches!(outcome, PushOutcome::Duplicate { .. });
                self.app.metrics.appended(1, bytes, duplicate);
            } else {
                self.refused.entry(stream).or_insert(id);
            }
            self.write((id, outcome));
        }
        Ok(())
    }

    fn write(&mut self, (id, outcome): Outcome) {
        if self.body.last() == Some(&b'}') {
            self.body.push(b',');
        }
        let text = match &outcome {
            PushOutcome::Accepted { position, version } => {
                format!(r#""accepted","position":{position},"version":{version}"#)
            }
            PushOutcome::Duplicate { position, version } => {
                format!(r#""duplicate","position":{position},"version":{version}"#)
            }
            PushOutcome::Conflict { version, .. } => {
                format!(r#""conflict","version":{version}"#)
            }
            PushOutcome::Follows { refused } => format!(r#""follows","refused":"{refused}""#),
            PushOutcome::Refused(_) => r#""refused""#.to_owned(),
        };
        let text = format!(r#"{{"id":"{id}","outcome":{text}"#);
        self.body.extend_from_slice(text.as_bytes());
        match outcome {
            PushOutcome::Conflict { events, .. } => self.write_events(&events),
            PushOutcome::Refused(error) => {
                let problem = format!(r#","problem":{}"#, Problem::from(error).document());
                self.body.extend_from_slice(problem.as_bytes());
            }
            _ => {}
        }
        self.body.push(b'}');
    }

    /// `,"events":[…]`: what the client did not expect. No events where it may not see them, or where
    /// the answer is large already: it can read the stream.
    fn write_events(&mut self, events: &[RecordedEvent]) {
        self.body.extend_from_slice(b",\"events\":[");
        let shown = self.shows_events && self.body.len() < PAGE_BYTES;
        for (event, nth) in events
            .iter()
            .take(if shown { usize::MAX } else { 0 })
            .zip(0..)
        {
            if nth > 0 {
                self.body.push(b',');
            }
            write_event(&mut self.body, event);
        }
        self.body.push(b']');
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Document<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document<'de>, A::Error> {
                let mut apart = Apart {
                    map,
                    expected: None,
                };
                let event = NewEventDocument::deserialize(MapAccessDeserializer::new(&mut apart))?;
                Ok(Document {
                    event,
                    expected: apart.expected,
                })
            }
        }
        from.deserialize_map(Visitor)
    }
}

/// The members of an event, with `expectedVersion` kept apart from them.
struct Apart<A> {
    map: A,
    expected: Option<Expected>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Apart<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.map.next_key::<String>()? {
            if name != "expectedVersion" {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            self.expected = Some(self.map.next_value()?);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
