//! What is known of webhooks.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::Shown;
use crate::server::{
    access::{Action, Caller},
    api::query,
    groups::{Captured, count, look, page},
    problem::Problem,
    state::App,
};

/// `GET /webhooks`
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    query::none(&uri)?;
    let mut webhooks = Vec::new();
    for (name, shown) in app.webhooks.all(&app.store).await? {
        if caller.is_allowed(Action::Configure, &shown.definition.topic) {
            webhooks.push(brief(&name, &shown));
        }
    }
    Ok(Json(json!({ "webhooks": webhooks })))
}

/// `GET /webhooks/NAME`
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Captured(name): Captured<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    query::none(&uri)?;
    let shown = found(&app, &caller, &name).await?;
    Ok(Json(document(&app, &name, &shown).await?))
}

/// `GET /webhooks/NAME/parked`
pub(super) async fn parked(
    State(app): State<App>,
    caller: Caller,
    Captured(name): Captured<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let shown = found(&app, &caller, &name).await?;
    let definition = &shown.definition;
    caller.may(Action::Read, &definition.topic)?;
    page(&app, &definition.topic, &definition.group_name(&name), &uri).await
}

/// `POST /webhooks/NAME/replay`
pub(super) async fn replay(
    State(app): State<App>,
    caller: Caller,
    Captured(name): Captured<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    query::none(&uri)?;
    let definition = found(&app, &caller, &name).await?.definition;
    let group = definition.group(&name)?;
    let replayed = app.store.replay_parked(&definition.topic, &group).await?;
    Ok(Json(json!({ "replayed": replayed })))
}

/// A webhook that the caller may see, or 404.
pub(super) async fn found(app: &App, caller: &Caller, name: &str) -> Result<Shown, Problem> {
    let shown = app.webhooks.one(&app.store, name).await?;
    let Some(shown) = shown else {
        let detail = format!("there is no webhook {name:?}");
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "webhook-not-found",
            detail,
        ));
    };
    caller.may(Action::Configure, &shown.definition.topic)?;
    Ok(shown)
}

/// A webhook with how far it has come.
pub(super) async fn document(app: &App, name: &str, shown: &Shown) -> Result<Value, Problem> {
    let mut document = brief(name, shown);
    let definition = &shown.definition;
    let group = definition.group_name(name);
    // A topic that is gone has no position; the webhook can be seen and forgotten.
    if let Ok(known) = look(app, &definition.topic).await
        && let Value::Object(members) = &mut document
    {
        let position = known.group(&group).map(|group| group.position());
        let position = definition.begin().max(position.unwrap_or_default());
        let replayed = known.replayed(&group);
        let parked = count(&app.store, &definition.topic, &group, replayed).await?;
        members.insert("position".to_owned(), position.get().into());
        members.insert("head".to_owned(), known.head().get().into());
        members.insert("lag".to_owned(), known.lag(position).into());
        members.insert("parked".to_owned(), parked.into());
    }
    Ok(document)
}

/// A webhook, without the name of its secret.
fn brief(name: &str, shown: &Shown) -> Value {
    let Shown {
        definition, report, ..
    } = shown;
    json!({
        "name": name,
        "topic": definition.topic,
        "url": definition.url,
        "filter": definition.filter,
        "signed": definition.secret.is_some(),
        "from": definition.from,
        "tries": definition.tries,
        "backoff": definition.backoff,
        "timeout": definition.timeout,
        "paused": definition.paused,
        "delivered": report.delivered,
        "failed": report.failed,
        "lastDelivery": report.last_delivery.map(|at| at.to_string()),
        "problem": report.problem,
    })
}
