//! Appends.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use uuid::Uuid;

use super::{
    answer::{Answer, Refusal, plain, redirect},
    asked::{Asked, Expected},
    body::{event, events, required_type},
    media_type::{Sent, sent, unsupported},
    metadata::StreamMetadata,
    names::{ALL, recorded_stream},
    placement::{Home, TRIES},
    stream::topic_of,
    urls::encoded,
};
use crate::{
    Append, Error, ExpectedVersion, NewEvent, Position, Read, Version,
    server::{
        access::{Action, Caller},
        state::App,
    },
};

/// `POST /streams/{stream}`
pub(super) async fn append(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path(stream): Path<String>,
    body: Bytes,
) -> Answer {
    asked.check()?;
    let expected = asked.expected()?;
    let events = match sent(&asked)? {
        Sent::Events => events(&body, asked.event_type().as_deref())?,
        single => {
            let event_type = required_type(&asked)?;
            let Some(id) = asked.event_id()? else {
                return Ok(to_incoming(&asked, &stream, "incoming"));
            };
            vec![event(body, &single, id, &event_type)?]
        }
    };
    let first = record(&app, &caller, &asked, &stream, &events, expected).await?;
    Ok(created(&asked, &stream, first))
}

/// `POST /streams/{stream}/incoming/{id}`: the same request again is the same event.
pub(super) async fn incoming(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path((stream, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    asked.check()?;
    let id = incoming_id(&id)?;
    let expected = asked.expected()?;
    let single = sent(&asked)?;
    if single == Sent::Events {
        return Err(unsupported());
    }
    let events = [event(body, &single, id, &required_type(&asked)?)?];
    let first = record(&app, &caller, &asked, &stream, &events, expected).await?;
    Ok(created(&asked, &stream, first))
}

pub(super) fn incoming_id(text: &str) -> Result<Uuid, Refusal> {
    let id = Uuid::parse_str(text).ok().filter(|id| !id.is_nil());
    id.ok_or_else(|| Refusal::bad_request("Invalid request. Unable to parse guid"))
}

/// Gives an event without an id one, at an address to which it can be sent again and again.
pub(super) fn to_incoming(asked: &Asked, stream: &str, below: &str) -> Response {
    let id = Uuid::new_v4();
    let query = asked.query("topic");
    let query = query.map_or(String::new(), |topic| format!("?topic={}", encoded(topic)));
    let location = format!("/streams/{}/{below}/{id}{query}", encoded(stream));
    redirect(&location, "Forwarding to idempotent URI")
}

pub(super) fn created(asked: &Asked, stream: &str, first: u64) -> Response {
    let location = asked.base.stream(stream, asked.query("topic")).below(first);
    let mut response = plain(StatusCode::CREATED, "Created");
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Records events in a stream, and tells the number of the first.
pub(super) async fn record(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    stream: &str,
    events: &[NewEvent],
    expected: Expected,
) -> Result<u64, Refusal> {
    if stream == ALL {
        return Err(Refusal::bad_request(
            "Events cannot be written to the stream of all events",
        ));
    }
    caller.may(Action::Append, &topic_of(app, asked, stream).await?)?;
    for _ in 0..TRIES {
        let home = match asked.query("topic") {
            Some(topic) => Home::certain(topic),
            None => app.eventstoredb.to_append(&app.store, stream).await?,
        };
        caller.may(Action::Append, &home.topic)?;
        match record_in(app, &home, stream, events, expected).await {
            Ok(first) => return Ok(first),
            // A topic was created for the stream's category.
            Err(Failure::Again) => {}
            Err(Failure::Refused(refusal)) => return Err(refusal),
        }
    }
    Err(Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "Server Is Too Busy",
    ))
}

/// Why events were not recorded.
#[derive(Debug)]
enum Failure {
    Again,
    Refused(Refusal),
}

impl<T: Into<Refusal>> From<T> for Failure {
    fn from(refusal: T) -> Self {
        Self::Refused(refusal.into())
    }
}

async fn record_in(
    app: &App,
    home: &Home,
    stream: &str,
    events: &[NewEvent],
    expected: Expected,
) -> Result<u64, Failure> {
    let recorded = recorded_stream(stream);
    if expected == Expected::StreamExists && truncated(app, home, recorded).await?.is_some() {
        return Err(Refusal::deleted_to_writers().into());
    }
    let append = home.guard(Append::new(events.iter().cloned()).stream(recorded));
    let appending = app
        .store
        .append_events(&home.topic, append.clone().expected(version(expected)));
    let mut outcome = appending.await;
    if expected == Expected::NoStream
        && matches!(outcome, Err(Error::WrongExpectedVersion { .. }))
        && let Some(last) = truncated(app, home, recorded).await?
    {
        // A stream whose events are all deleted is begun anew, and goes on counting.
        let appending = app.store.append_events(&home.topic, append.expected(last));
        outcome = appending.await;
    }
    let count = events.len() as u64;
    match outcome {
        Ok(receipt) => {
            let bytes = events.iter().map(|event| event.payload.len()).sum();
            app.metrics.appended(events.len(), bytes, receipt.duplicate);
            Ok(receipt.version.get().saturating_sub(count))
        }
        Err(Error::ConditionFailed { .. }) => Err(Failure::Again),
        Err(Error::IdempotencyConflict { position, .. }) => {
            let first = recognise(app, &home.topic, recorded, events, position).await?;
            first.ok_or_else(|| conflict().into())
        }
        Err(error) => Err(error.into()),
    }
}

fn conflict() -> Refusal {
    Refusal::bad_request("Event ids of this request are recorded already, but not as these events")
}

pub(super) const fn version(expected: Expected) -> ExpectedVersion {
    match expected {
        Expected::Any => ExpectedVersion::Any,
        Expected::NoStream => ExpectedVersion::NoStream,
        Expected::StreamExists => ExpectedVersion::StreamExists,
        Expected::Number(number) => ExpectedVersion::exact(number.saturating_add(1)),
    }
}

/// The version of a stream all of whose events are deleted, though it is not.
async fn truncated(app: &App, home: &Home, stream: &str) -> Result<Option<Version>, Refusal> {
    let state = match app.store.get_stream(&home.topic, stream).await {
        Ok(state) if state.exists() && !state.deleted => state,
        Ok(_) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (metadata, _) = StreamMetadata::load(&app.store, &home.topic, stream).await?;
    let all = metadata.truncate_before >= state.version.get();
    Ok(all.then_some(state.version))
}

/// The number of the first of the events where they are recorded one after the other in the stream by
/// these ids, whatever else they say: an id names an event once and for all, also where a client has
/// written the same JSON in another way.
async fn recognise(
    app: &App,
    topic: &str,
    stream: &str,
    events: &[NewEvent],
    conflict: Position,
) -> Result<Option<u64>, Refusal> {
    let at = |position: Position| Read::all().after(position.previous());
    let read = at(conflict).limit(1);
    let Some(differing) = app.store.get_events(topic, read).await?.pop() else {
        return Ok(None);
    };
    let index = events.iter().position(|one| one.event_id() == differing.id);
    let Some(first) = index.and_then(|index| conflict.get().checked_sub(index as u64)) else {
        return Ok(None);
    };
    let read = at(Position::new(first)).limit(events.len() as u64);
    let recorded = app.store.get_events(topic, read).await?;
    let same = recorded.len() == events.len()
        && recorded
            .iter()
            .zip(events)
            .all(|(one, event)| one.id == event.event_id() && one.stream == *stream);
    let number = recorded
        .first()
        .map(|one| one.version.get().saturating_sub(1));
    Ok(number.filter(|_| same))
}
