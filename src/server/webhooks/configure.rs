//! Webhooks: registered, paused, resumed and forgotten.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};

use super::{
    definition::{Definition, Given},
    sender::name_of,
    state::{document, found},
    target,
};
use crate::{
    EventStore, Version,
    server::{
        access::{Action, Caller},
        api::{body, query},
        groups::{Captured, FORGOTTEN, WEBHOOK_CONFIGURED, invalid, keep, resolved, version},
        problem::Problem,
        state::App,
    },
};

/// `PUT /webhooks/NAME`
pub(super) async fn register(
    State(app): State<App>,
    caller: Caller,
    Captured(name): Captured<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    query::none(&uri)?;
    let body = body::read_json(&headers, body).await?;
    let given: Given =
        serde_json::from_slice(&body).map_err(|error| invalid(format!("the webhook: {error}")))?;
    caller.may(Action::Configure, &given.topic)?;
    // Who may have a topic sent elsewhere has to be one who may read it.
    caller.may(Action::Read, &given.topic)?;
    check_name(&name)?;
    check_secret(given.secret.as_deref())?;
    target::parse(&given.url, app.config.private_webhooks)?;
    // Asked before the webhook: what somebody else says in between makes this one fail.
    let expected = version(&app.store, &given.topic, "webhook", &name).await?;
    let before = app.webhooks.one(&app.store, &name).await?;
    if let Some(before) = &before
        && before.definition.topic != given.topic
    {
        // Also where the caller may not see that one: the name is taken.
        let detail = format!("there is a webhook {name:?} of another topic; forget it first");
        return Err(Problem::new(StatusCode::CONFLICT, "webhook-exists", detail));
    }
    let from = resolved(&app.store, &given.topic, given.from).await?;
    let definition = Definition::new(given, from, before.as_ref().map(|one| &one.definition));
    definition.check()?;
    let place = (definition.topic.as_str(), "webhook", name.as_str());
    let kept = (WEBHOOK_CONFIGURED, &definition);
    keep(&app.store, place, kept, expected).await?;
    app.webhooks.look(&app.store).await?;
    let status = if before.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let shown = found(&app, &caller, &name).await?;
    Ok((status, Json(document(&app, &name, &shown).await?)).into_response())
}

/// `DELETE /webhooks/NAME`
pub(super) async fn forget(
    State(app): State<App>,
    caller: Caller,
    Captured(name): Captured<String>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    query::none(&uri)?;
    let shown = found(&app, &caller, &name).await?;
    let place = (shown.definition.topic.as_str(), "webhook", name.as_str());
    keep(&app.store, place, (FORGOTTEN, &()), shown.version).await?;
    app.webhooks.look(&app.store).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /webhooks/NAME/pause`
pub(super) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Captured(name): Captured<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    change(&app, &caller, &name, &uri, Some("it was asked to")).await
}

/// `POST /webhooks/NAME/resume`
pub(super) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Captured(name): Captured<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    change(&app, &caller, &name, &uri, None).await
}

async fn change(
    app: &App,
    caller: &Caller,
    name: &str,
    uri: &Uri,
    paused: Option<&str>,
) -> Result<Response, Problem> {
    query::none(uri)?;
    let shown = found(app, caller, name).await?;
    set_paused(&app.store, name, (&shown.definition, shown.version), paused).await?;
    app.webhooks.look(&app.store).await?;
    let shown = found(app, caller, name).await?;
    Ok(Json(document(app, name, &shown).await?).into_response())
}

/// Keeps that a webhook is paused, or is not, unless something else was said of it meanwhile.
pub(super) async fn set_paused(
    store: &EventStore,
    name: &str,
    (definition, version): (&Definition, Version),
    paused: Option<&str>,
) -> crate::Result<()> {
    let mut next = definition.clone();
    next.paused = paused.map(ToOwned::to_owned);
    if next == *definition {
        return Ok(());
    }
    let place = (definition.topic.as_str(), "webhook", name);
    keep(store, place, (WEBHOOK_CONFIGURED, &next), version).await?;
    Ok(())
}

fn check_name(name: &str) -> Result<(), Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(invalid(
        "a webhook's name has 1 to 64 letters, digits, `-`, `_` or `.`",
    ))
}

/// A secret is only ever named: what is registered is an event, and stays.
fn check_secret(secret: Option<&str>) -> Result<(), Problem> {
    match secret.map(name_of) {
        None | Some(Some(_)) => Ok(()),
        Some(None) => Err(invalid(
            "`secret` is ${NAME}, the name of an environment variable of the server: what is registered is \
             recorded as an event, and a secret in it would stay there",
        )),
    }
}
