//! One event, by its position.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    accept::{Accept, Format},
    cloud_events,
    names::Names,
    query::Query,
};
use crate::{
    Position, Read, RecordedEvent,
    json::write_event,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// `GET /topics/T/events/N[?mode=binary]`.
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Action::Read, &names.topic)?;
    let binary = is_binary(&mut Query::of(request.uri())?)?;
    let accept = Accept::of(request.headers())?;
    let format = if binary {
        None
    } else {
        Some(accept.one_of(&[Format::Json, Format::CloudEvent])?)
    };
    let place: u64 = names.position.parse().map_err(|_| {
        let detail = format!("{:?} is no position", names.position);
        Problem::bad_request(detail)
    })?;
    let position = Position::new(place);
    let read = Read::all().after(position.previous()).up_to(position);
    let found = app.store.get_events(&names.topic, read).await?.pop();
    let Some(event) = found.filter(|_| place > 0) else {
        let detail = format!("the topic {:?} has no event {place}", names.topic);
        let problem = Problem::new(StatusCode::NOT_FOUND, "event-not-found", detail);
        return Err(problem);
    };
    Ok(match format {
        None => cloud_events::binary_answer(&app.store, &event),
        Some(format) => answer(&app, request.headers(), format, &event),
    })
}

fn is_binary(query: &mut Query<'_>) -> Result<bool, Problem> {
    let binary = match query.one("mode")?.as_deref() {
        None => false,
        Some("binary") => true,
        Some(other) => {
            return Err(Problem::bad_request(format!(
                "the query parameter `mode` is `binary`, and not {other:?}"
            )));
        }
    };
    query.finish()?;
    Ok(binary)
}

/// An event never changes, but its topic can be erased, and another one can have its name. So it may be
/// kept, and has to be asked for again by its tag, which is made of its id.
fn answer(app: &App, request: &HeaderMap, format: Format, event: &RecordedEvent) -> Response {
    let suffix = if format == Format::Json { "" } else { "-ce" };
    let tag = format!("\"{}{suffix}\"", event.id);
    let known = is_known(request, &tag);
    let mut headers = HeaderMap::new();
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    let caching = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, caching);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let mut body = Vec::new();
    match format {
        Format::CloudEvent => cloud_events::write(&mut body, &app.store, event),
        _ => write_event(&mut body, event),
    }
    let kind = HeaderValue::from_static(format.media_type());
    headers.insert(header::CONTENT_TYPE, kind);
    (headers, Body::from(body)).into_response()
}

/// Whether the client has what the tag is of (RFC 9110, by weak comparison).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter();
    lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
