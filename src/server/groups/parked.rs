//! What a group could not process: shown, and tried again.

use axum::{
    Json,
    extract::State,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::TryStreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Captured, configure::found, consumers::look};
use crate::{
    Error, EventStore, Position, Read, RecordedEvent,
    json::write_event,
    server::{
        access::{Action, Caller},
        api::query::{self, Query},
        problem::Problem,
        state::App,
    },
};

/// How many parked events are counted, and shown at once.
const COUNTED: u64 = 10_000;
const SHOWN: u64 = 100;

/// An event that was parked.
#[derive(Debug)]
struct Parked {
    /// Where it is parked.
    place: Position,
    parked_at: crate::Timestamp,
    label: Label,
    /// None where it is not recorded any more.
    event: Option<RecordedEvent>,
}

/// What is kept with it.
#[derive(Debug, Deserialize)]
struct Label {
    position: Position,
    id: Uuid,
    tries: u32,
    reason: String,
}

/// `GET /topics/T/groups/G/parked`
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Captured((topic, group)): Captured<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Action::Read, &topic)?;
    found(&app, &topic, &group).await?;
    page(&app, &topic, &group, &uri).await
}

/// A page of what a group has parked since it was tried again.
pub(in crate::server) async fn page(
    app: &App,
    topic: &str,
    group: &str,
    uri: &Uri,
) -> Result<Response, Problem> {
    let mut query = Query::of(uri)?;
    let after = query.number("after")?.map(Position::new);
    let limit = query.limit(SHOWN, SHOWN)?;
    query.finish()?;
    let after = match after {
        Some(after) => after,
        None => look(app, topic).await?.replayed(group),
    };
    let (parked, next) = parked_events(&app.store, topic, group, (after, limit)).await?;
    let mut out = b"{\"parked\":[".to_vec();
    for (at, one) in parked.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        one.write(&mut out);
    }
    let next = next.map_or_else(|| "null".to_owned(), |next| next.to_string());
    out.extend_from_slice(format!("],\"next\":{next}}}").as_bytes());
    Ok(([(header::CONTENT_TYPE, "application/json")], out).into_response())
}

/// `POST /topics/T/groups/G/replay`
pub(super) async fn replay(
    State(app): State<App>,
    caller: Caller,
    Captured((topic, group)): Captured<(String, String)>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Configure, &topic)?;
    query::none(&uri)?;
    let settings = found(&app, &topic, &group).await?;
    let of_store = settings.value.group(&group)?;
    let replayed = app.store.replay_parked(&topic, &of_store).await?;
    Ok(Json(json!({ "replayed": replayed })))
}

/// How many events a group has parked after a place, [`COUNTED`] at most.
pub(in crate::server) async fn count(
    store: &EventStore,
    topic: &str,
    group: &str,
    after: Position,
) -> crate::Result<u64> {
    let read = Read::stream(group).after(after).limit(COUNTED);
    let mut events = store.read_events(&format!("{topic}.parked"), read);
    let mut count = 0;
    loop {
        match events.try_next().await {
            Ok(Some(_)) => count += 1,
            Ok(None) | Err(Error::TopicNotFound { .. }) => return Ok(count),
            Err(error) => return Err(error),
        }
    }
}

/// Some events that a group has parked after a place, and where to go on.
async fn parked_events(
    store: &EventStore,
    topic: &str,
    group: &str,
    (after, limit): (Position, u64),
) -> Result<(Vec<Parked>, Option<Position>), Problem> {
    let read = Read::stream(group).after(after).limit(limit);
    let found = match store.get_events(&format!("{topic}.parked"), read).await {
        Err(Error::TopicNotFound { .. }) => Vec::new(),
        found => found?,
    };
    let more = found.len() as u64 == limit;
    let next = found.last().map(|last| last.position).filter(|_| more);
    let mut parked = Vec::with_capacity(found.len());
    for one in found {
        let label: Label = one.metadata_json()?;
        let read = Read::all()
            .after(label.position.previous())
            .up_to(label.position);
        let there = store.get_events(topic, read).await?;
        parked.push(Parked {
            place: one.position,
            parked_at: one.recorded_at,
            // A topic that was created anew has other events in these places.
            event: there.into_iter().find(|event| event.id == label.id),
            label,
        });
    }
    Ok((parked, next))
}

impl Parked {
    /// Appends it as JSON. The event's own bytes stay as they are.
    fn write(&self, out: &mut Vec<u8>) {
        let about = json!({
            "place": self.place.get(),
            "parkedAt": self.parked_at.to_string(),
            "position": self.label.position.get(),
            "tries": self.label.tries,
            "reason": self.label.reason,
        });
        let about = about.to_string();
        out.extend_from_slice(about.trim_end_matches('}').as_bytes());
        out.extend_from_slice(b",\"event\":");
        match &self.event {
            Some(event) => write_event(out, event),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
}
