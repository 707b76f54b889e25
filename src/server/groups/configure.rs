//! What a group is like: said, and forgotten.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};

use super::{
    Captured, Place, Stored,
    settings::{self, FORGOTTEN, GROUP_CONFIGURED, GroupSettings},
};
use crate::{
    EventStore, Position,
    server::{
        access::{Action, Caller},
        api::{body, query},
        problem::Problem,
        state::App,
    },
};

/// `PUT /topics/T/groups/G`
pub(super) async fn configure(
    State(app): State<App>,
    caller: Caller,
    Captured((topic, group)): Captured<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(Action::Configure, &topic)?;
    query::none(&uri)?;
    let body = body::read_json(&headers, body).await?;
    let mut given: GroupSettings = serde_json::from_slice(&body)
        .map_err(|error| settings::invalid(format!("the group's settings: {error}")))?;
    given.check()?;
    check_name(&group)?;
    // Asked before the settings: what somebody else says in between makes this one fail.
    let before = settings::version(&app.store, &topic, "group", &group).await?;
    let known = known(&app, &topic, &group).await?;
    match &known {
        // Where it began, it has begun.
        Some(Stored { value, .. }) => {
            if value.partitions != given.partitions {
                return Err(Problem::new(
                    StatusCode::CONFLICT,
                    "partitions-stay",
                    format!(
                        "the group {group:?} has {} partitions; another number needs a group of another name",
                        value.partitions
                    ),
                ));
            }
            given.from = value.from;
        }
        None => given.from = resolved(&app.store, &topic, given.from).await?,
    }
    let place = (topic.as_str(), "group", group.as_str());
    settings::keep(&app.store, place, (GROUP_CONFIGURED, &given), before).await?;
    app.groups.leave_one(&topic, &group).await;
    let status = if known.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let answer = serde_json::json!({ "group": group, "settings": given });
    Ok((status, Json(answer)).into_response())
}

/// `DELETE /topics/T/groups/G`
pub(super) async fn forget(
    State(app): State<App>,
    caller: Caller,
    Captured((topic, group)): Captured<(String, String)>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    caller.may(Action::Configure, &topic)?;
    query::none(&uri)?;
    let Stored { version, .. } = found(&app, &topic, &group).await?;
    let place = (topic.as_str(), "group", group.as_str());
    settings::keep(&app.store, place, (FORGOTTEN, &()), version).await?;
    app.groups.leave_one(&topic, &group).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The settings of a group; none where nobody has said any.
async fn known(
    app: &App,
    topic: &str,
    group: &str,
) -> Result<Option<Stored<GroupSettings>>, Problem> {
    // The topic itself has to be there.
    app.store.get_topic(topic).await?;
    let all = super::settings_of(&app.groups.settings, &app.store, topic, "group").await?;
    Ok(all
        .into_iter()
        .find_map(|(name, stored)| (name == group).then_some(stored)))
}

/// The settings of a group, or 404.
pub(super) async fn found(
    app: &App,
    topic: &str,
    group: &str,
) -> Result<Stored<GroupSettings>, Problem> {
    known(app, topic, group).await?.ok_or_else(|| {
        let detail = format!("the topic {topic:?} has no group {group:?}; PUT its settings first");
        Problem::new(StatusCode::NOT_FOUND, "group-not-found", detail)
    })
}

/// A place that stays where it is.
pub(in crate::server) async fn resolved(
    store: &EventStore,
    topic: &str,
    from: Place,
) -> Result<Place, Problem> {
    let head = store.get_latest_version(topic).await?;
    match from {
        Place::Start => Ok(Place::Start),
        Place::Now => Ok(Place::After(head.get())),
        Place::After(position) if Position::new(position) <= head => Ok(from),
        Place::After(position) => Err(settings::invalid(format!(
            "`from` is {position}, beyond the topic's last event, {head}"
        ))),
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    let fits = (1..=100).contains(&name.len())
        && !name
            .chars()
            .any(|c| c.is_control() || matches!(c, '/' | ':'));
    if fits {
        return Ok(());
    }
    Err(settings::invalid(
        "a group's name has 1 to 100 bytes, and no control characters, `/` or `:`",
    ))
}
