//! Streams: their state, their deletion, and the list of a topic's.

use std::collections::HashSet;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::{
    names::Names,
    query::{self, Link, Query},
};
use crate::{
    EventFilter, EventStore, Position, Read, RecordedEvent, Result, StreamState, Version,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// How many streams a page has unless another limit is given, and the most.
const USUAL_LIMIT: u64 = 100;
const MOST_STREAMS: u64 = 1_000;
/// How many events one request looks at.
pub(super) const SPAN: u64 = 100_000;
/// How many streams are asked for their state at once.
const AT_ONCE: usize = 16;

/// `GET /topics/T/streams/S`.
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Action::Read, &names.topic)?;
    query::none(&uri)?;
    let state = app.store.get_stream(&names.topic, names.stream()).await?;
    if state.exists() {
        return Ok(answer(&names, state));
    }
    let detail = format!(
        "the topic {:?} has no stream {:?}",
        names.topic,
        names.stream()
    );
    let problem = Problem::new(StatusCode::NOT_FOUND, "stream-not-found", detail);
    Err(problem.with("version", 0))
}

/// `DELETE /topics/T/streams/S`.
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Action::Append, &names.topic)?;
    query::none(&uri)?;
    let deleted = app.store.delete_stream(&names.topic, names.stream()).await;
    Ok(answer(&names, deleted?))
}

/// `POST /topics/T/streams/S/restore`.
pub(super) async fn restore(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Action::Append, &names.topic)?;
    query::none(&uri)?;
    let restored = app.store.restore_stream(&names.topic, names.stream()).await;
    Ok(answer(&names, restored?))
}

fn answer(names: &Names, state: StreamState) -> Response {
    let body = Json(json!({
        "stream": names.stream(),
        "version": state.version,
        "deleted": state.deleted,
    }));
    let mut response = body.into_response();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", state.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// What a list's query asks for.
struct Wanted {
    topic: String,
    filter: EventFilter,
    /// Whether the filter may match a stream's later events alone.
    of_any_event: bool,
    after: Position,
    limit: u64,
}

/// `GET /topics/T/streams`.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read, &names.topic)?;
    let wanted = Wanted::of(names, &uri)?;
    let store = &app.store;
    let (first_events, looked_to, more) = wanted.scan(store).await?;
    let documents = stream::iter(first_events).map(|event| wanted.document(store, event));
    let streams: Vec<Value> = documents.buffered(AT_ONCE).try_collect().await?;
    let next = more.then(|| wanted.link(looked_to));
    Ok(Json(json!({
        "streams": streams,
        "lookedTo": looked_to,
        "links": { "next": next },
    })))
}

impl Wanted {
    fn of(names: Names, uri: &Uri) -> Result<Self, Problem> {
        let mut query = Query::of(uri)?;
        let (types, tags) = (query.all("type"), query.all("tag"));
        let of_any_event = !types.is_empty() || !tags.is_empty();
        let mut filter = EventFilter::all().types(types).tags(tags);
        if let Some(prefix) = query.one("prefix")? {
            filter = filter.stream_prefix(prefix);
        }
        let wanted = Self {
            after: Position::new(query.number("after")?.unwrap_or_default()),
            limit: query.limit(USUAL_LIMIT, MOST_STREAMS)?,
            topic: names.topic,
            filter,
            of_any_event,
        };
        query.finish()?;
        Ok(wanted)
    }

    /// The events that bring streams into the list, up to where they were looked for, and whether
    /// there may be more.
    async fn scan(&self, store: &EventStore) -> Result<(Vec<RecordedEvent>, Position, bool)> {
        let read = Read::all()
            .after(self.after)
            .filter(self.filter.clone())
            .limit(SPAN);
        let mut reading = store.read_events(&self.topic, read);
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        let mut looked = 0;
        let mut looked_to = self.after;
        while let Some(event) = reading.try_next().await? {
            looked += 1;
            looked_to = event.position;
            if self.begins(store, &event, &mut seen).await? {
                found.push(event);
            }
            if found.len() as u64 == self.limit || looked == SPAN {
                return Ok((found, looked_to, true));
            }
        }
        Ok((found, reading.looked_to().max(looked_to), false))
    }

    /// Whether the event is the first of its stream that matches.
    async fn begins(
        &self,
        store: &EventStore,
        event: &RecordedEvent,
        seen: &mut HashSet<String>,
    ) -> Result<bool> {
        if event.version == Version::new(1) {
            seen.insert(event.stream.to_string());
            return Ok(true);
        }
        if !self.of_any_event || !seen.insert(event.stream.to_string()) {
            return Ok(false);
        }
        let read = Read::stream(event.stream.as_str())
            .include_deleted()
            .filter(self.filter.clone())
            .limit(1);
        let first = store.get_events(&self.topic, read).await?;
        Ok(first
            .first()
            .is_none_or(|first| first.position == event.position))
    }

    async fn document(&self, store: &EventStore, event: RecordedEvent) -> Result<Value> {
        let stream = event.stream.as_str();
        let state = store.get_stream(&self.topic, stream).await?;
        let mut first = None;
        if event.version > Version::new(1) {
            let read = Read::stream(stream).include_deleted().limit(1);
            first = store.get_events(&self.topic, read).await?.pop();
        }
        let first = first.as_ref().unwrap_or(&event);
        Ok(json!({
            "stream": stream,
            "version": state.version,
            "deleted": state.deleted,
            "createdAt": first.recorded_at.to_string(),
            "createdPosition": first.position,
        }))
    }

    fn link(&self, after: Position) -> String {
        let mut link = Link::to(["topics", &self.topic, "streams"])
            .with("after", after)
            .with("limit", self.limit);
        for item in self.filter.items() {
            for (name, values) in [("type", &item.types), ("tag", &item.tags)] {
                for value in values {
                    link = link.with(name, value);
                }
            }
            if let Some(prefix) = &item.stream_prefix {
                link = link.with("prefix", prefix);
            }
        }
        link.into_string()
    }
}
