//! Topics: created, listed, deleted, restored, purged, verified.

use axum::{
    Json,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body,
    names::Names,
    query::{self, Link, Query},
};
use crate::{
    EventStore, Options, Placement, TopicConfig, TopicInfo, TopicStatus,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// How many topics are asked for their heads at once.
const AT_ONCE: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTopic {
    name: String,
    adapter: Option<String>,
    connection: Option<String>,
    #[serde(default)]
    options: Options,
}

/// `GET /topics[?deleted=true]`.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut query = Query::of(&uri)?;
    let deleted = query.flag("deleted")?;
    query.finish()?;
    let topics = if deleted {
        app.store.list_deleted_topics().await?
    } else {
        app.store.list_topics().await?
    };
    let seen = topics
        .into_iter()
        .filter(|topic| caller.is_allowed(Action::Read, topic.name.as_str()));
    let documents = stream::iter(seen).map(|topic| document(&app.store, topic));
    let topics: Vec<Value> = documents.buffered(AT_ONCE).collect().await;
    Ok(Json(json!({ "topics": topics })))
}

/// `POST /topics`.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    query::none(&head.uri)?;
    let text: Bytes = body::read_json(&head.headers, body).await?;
    let wanted: NewTopic = body::parse(&text)?;
    caller.may(Action::Configure, &wanted.name)?;
    let (adapter, connection) = app.config.place(wanted.adapter, wanted.connection)?;
    let config = TopicConfig::new(wanted.name, adapter, connection);
    let config = with_options(config, wanted.options);
    let topic = app.store.create_topic(config).await?;
    let link = Link::to(["topics", topic.name.as_str()]).into_string();
    let topic = document(&app.store, topic).await;
    let mut response = (StatusCode::CREATED, Json(topic)).into_response();
    if let Ok(link) = HeaderValue::try_from(link) {
        response.headers_mut().insert(header::LOCATION, link);
    }
    Ok(response)
}

/// `GET /topics/T`.
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read, &names.topic)?;
    query::none(&uri)?;
    let topic = app.store.get_topic(&names.topic).await?;
    Ok(Json(document(&app.store, topic).await))
}

/// `DELETE /topics/T`.
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    caller.may(Action::Configure, &names.topic)?;
    query::none(&uri)?;
    app.store.delete_topic(&names.topic).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /topics/T/restore`.
pub(super) async fn restore(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Configure, &names.topic)?;
    query::none(&uri)?;
    let topic = app.store.restore_topic(&names.topic).await?;
    Ok(Json(document(&app.store, topic).await))
}

/// `POST /topics/T/purge`.
pub(super) async fn purge(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    caller.may(Action::Admin, &names.topic)?;
    query::none(&uri)?;
    app.store.purge_topic(&names.topic).await?;
    app.moves.forget(&names.topic);
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /topics/T/former`.
pub(super) async fn remove_former(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Configure, &names.topic)?;
    query::none(&uri)?;
    let removed = app.store.remove_former(&names.topic).await?;
    let removed: Vec<Value> = removed.iter().map(place).collect();
    Ok(Json(json!({ "removed": removed })))
}

/// `POST /topics/T/verify`.
pub(super) async fn verify(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Admin, &names.topic)?;
    query::none(&uri)?;
    let verified = app.store.verify_topic(&names.topic).await?;
    Ok(Json(json!({
        "events": verified.events,
        "bytes": verified.bytes,
        "parts": verified.parts,
    })))
}

pub(super) fn with_options(config: TopicConfig, options: Options) -> TopicConfig {
    let add = |config: TopicConfig, (key, value)| config.option(key, value);
    options.into_iter().fold(config, add)
}

/// A topic as JSON. Secrets are masked where it comes from.
pub(super) async fn document(store: &EventStore, topic: TopicInfo) -> Value {
    let head = match topic.status {
        TopicStatus::Active => store.get_latest_version(topic.name.as_str()).await.ok(),
        _ => None,
    };
    let moving = topic.moving.as_ref().map(|moving| {
        json!({
            "target": target(&moving.target),
            "copied": moving.copied,
            "sealed": moving.sealed,
        })
    });
    let status = match topic.status {
        TopicStatus::Deleted => "deleted",
        _ => "active",
    };
    json!({
        "name": topic.name,
        "status": status,
        "adapter": topic.placement.adapter,
        "connection": topic.placement.connection,
        "options": topic.placement.options,
        "storage": topic.placement.storage,
        "createdAt": topic.created_at.to_string(),
        "head": head,
        "moving": moving,
        "former": topic.former.iter().map(place).collect::<Vec<_>>(),
    })
}

/// Where a move goes.
pub(super) fn target(placement: &Placement) -> Value {
    json!({ "adapter": placement.adapter, "connection": placement.connection })
}

fn place(placement: &Placement) -> Value {
    json!({
        "adapter": placement.adapter,
        "connection": placement.connection,
        "storage": placement.storage,
    })
}
