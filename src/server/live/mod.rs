//! Live subscriptions, as server-sent events.
//!
//! A topic that has live subscribers is followed once, by its [`Hub`](hub::Hub): each event is encoded
//! once, and what has come within a tick is one block of bytes that all subscribers are sent. The hub
//! keeps the newest blocks in a [`Ring`](ring::Ring). A subscriber that is not in reach of the ring, as
//! it begins far back or is slow, reads the store by itself until it is. Both go by position, so nothing
//! is left out or sent twice where it goes from one to the other.

mod client;
mod flight;
mod hub;
mod message;
mod query;
mod ring;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;

use self::{client::Client, query::LiveQuery};
use super::{
    access::{Action, Caller},
    groups::Captured,
    problem::Problem,
    state::App,
};

pub(super) use hub::Hubs;

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/topics/{topic}/live", get(of_topic))
        .route("/topics/{topic}/streams/{stream}/live", get(of_stream))
        // The default stream, whose id is empty.
        .route("/topics/{topic}/streams//live", get(of_default))
}

async fn of_topic(
    State(app): State<App>,
    caller: Caller,
    Captured(topic): Captured<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(Action::Read, &topic)?;
    let query = LiveQuery::new(&uri, &headers, None)?;
    live(&app, caller, topic, query).await
}

async fn of_stream(
    State(app): State<App>,
    caller: Caller,
    Captured((topic, stream)): Captured<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(Action::Read, &topic)?;
    let query = LiveQuery::new(&uri, &headers, Some(stream))?;
    live(&app, caller, topic, query).await
}

async fn of_default(
    state: State<App>,
    caller: Caller,
    Captured(topic): Captured<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let names = Captured((topic, String::new()));
    of_stream(state, caller, names, uri, headers).await
}

async fn live(
    app: &App,
    caller: Caller,
    topic: String,
    query: LiveQuery,
) -> Result<Response, Problem> {
    let client = Client::begin(app, caller, topic, query).await?;
    let messages = stream::unfold(client, |mut client| async move {
        client.next().await.map(|message| (message, client))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // For proxies that would wait for more.
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, Body::from_stream(messages)).into_response())
}
