//! What has changed since a client looked last.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};

use super::{
    accept::Format,
    names::Names,
    query::Query,
    read::{MOST_EVENTS, USUAL_LIMIT},
};
use crate::{
    SyncToken,
    json::write_event,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// `GET /topics/T/changes`.
pub(super) async fn changes(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Action::Read, &names.topic)?;
    let mut query = Query::of(&uri)?;
    let since = match query.one("since")?.as_deref() {
        None | Some("") => SyncToken::START,
        Some(token) => token.parse()?,
    };
    let limit = query.limit(USUAL_LIMIT, MOST_EVENTS)?;
    let filter = query.criteria(true)?;
    query.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let changes = app
        .store
        .changes_of(&names.topic, filter, since, limit)
        .await?;
    let mut body = b"{\"events\":[".to_vec();
    app.metrics.read(changes.events.len() as u64);
    for (event, nth) in changes.events.into_iter().zip(0..) {
        if nth > 0 {
            body.push(b',');
        }
        write_event(&mut body, &event);
    }
    let rest = format!(
        "],\"next\":\"{}\",\"more\":{}}}",
        changes.next, changes.more
    );
    body.extend_from_slice(rest.as_bytes());
    let headers = [
        (header::CONTENT_TYPE, Format::Json.media_type()),
        (header::CACHE_CONTROL, "no-store"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)));
    Ok((headers, Body::from(body)).into_response())
}
