//! The types of a span of events, with their counts.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::Uri};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::{
    names::Names,
    query::{Link, Query},
    streams::SPAN,
};
use crate::{
    Position, Read,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// How many events are looked at unless another limit is given.
const USUAL_SPAN: u64 = 10_000;

/// `GET /topics/T/types`.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read, &names.topic)?;
    let mut query = Query::of(&uri)?;
    let after = Position::new(query.number("after")?.unwrap_or_default());
    let limit = query.limit(USUAL_SPAN, SPAN)?;
    query.finish()?;
    // One more than the span tells that there are more.
    let read = Read::all().after(after).limit(limit + 1);
    let mut reading = app.store.read_events(&names.topic, read);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let (mut looked, mut looked_to, mut more) = (0, after, false);
    while let Some(event) = reading.try_next().await? {
        more = looked == limit;
        if more {
            break;
        }
        looked += 1;
        looked_to = event.position;
        match counts.get_mut(event.event_type.as_str()) {
            Some(count) => *count += 1,
            None => drop(counts.insert(event.event_type.to_string(), 1)),
        }
    }
    let next = more.then(|| {
        let link = Link::to(["topics", &names.topic, "types"]);
        link.with("after", looked_to)
            .with("limit", limit)
            .into_string()
    });
    let types = counts
        .iter()
        .map(|(event_type, count)| json!({ "type": event_type, "count": count }));
    Ok(Json(json!({
        "types": types.collect::<Vec<_>>(),
        "lookedTo": looked_to,
        "links": { "next": next },
    })))
}
