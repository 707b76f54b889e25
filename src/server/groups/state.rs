//! What is known of a topic's groups.

use axum::{Json, extract::State, http::Uri};
use serde_json::{Value, json};

use super::{
    Captured, Stored,
    configure::found,
    consumers::{Known, look},
    parked,
    settings::GroupSettings,
};
use crate::server::{
    access::{Action, Caller},
    api::query,
    problem::Problem,
    state::App,
};

/// `GET /topics/T/groups`
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Captured(topic): Captured<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read, &topic)?;
    query::none(&uri)?;
    let known = look(&app, &topic).await?;
    let settings = &app.groups.settings;
    let all = super::settings_of::<GroupSettings>(settings, &app.store, &topic, "group").await?;
    let groups: Vec<Value> = all
        .iter()
        .map(|(name, Stored { value, .. })| {
            let lag = known.group(name).map_or_else(
                || known.lag(value.from.position()),
                |group| known.lag(group.position().max(value.from.position())),
            );
            json!({ "group": name, "settings": value, "lag": lag })
        })
        .collect();
    Ok(Json(json!({ "groups": groups })))
}

/// `GET /topics/T/groups/G`
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Captured((topic, group)): Captured<(String, String)>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read, &topic)?;
    query::none(&uri)?;
    let Stored { value, .. } = found(&app, &topic, &group).await?;
    let known = look(&app, &topic).await?;
    let parked = parked::count(&app.store, &topic, &group, known.replayed(&group)).await?;
    Ok(Json(document(&group, &value, &known, parked)))
}

fn document(group: &str, settings: &GroupSettings, known: &Known, parked: u64) -> Value {
    let begin = settings.from.position();
    let state = known.group(group);
    let members = state.as_ref().map_or(0, |state| state.members);
    let partitions: Vec<Value> = state
        .iter()
        .flat_map(|state| &state.partitions)
        .enumerate()
        .map(|(number, (position, holder))| {
            let position = begin.max(*position);
            json!({
                "partition": number,
                "position": position.get(),
                "lag": known.lag(position),
                "holder": holder,
            })
        })
        .collect();
    let position = state.map_or(begin, |state| state.position().max(begin));
    json!({
        "group": group,
        "settings": settings,
        "members": members,
        "position": position.get(),
        "head": known.head().get(),
        "lag": known.lag(position),
        "parked": parked,
        "partitions": partitions,
    })
}
