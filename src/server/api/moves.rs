//! Updates of topics: options are changed at once, and moves go on in the background.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    body,
    names::Names,
    query::{self, Link, Query},
    topics::{document, target, with_options},
};
use crate::{
    EventStore, FormerStorage, MoveOptions, MovePhase, MoveProgress, Options, Placement,
    TopicConfig, TopicInfo, TopicMove,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// How long an update is waited for before it is taken for a move that has begun.
const SOON: Duration = Duration::from_millis(500);

/// The last move of each topic that this server was asked for.
#[derive(Default)]
pub(in crate::server) struct Moves {
    /// Held for no longer than it takes to look or to note.
    topics: Mutex<HashMap<String, Arc<Moving>>>,
}

/// A move that was asked for here.
struct Moving {
    /// Where it goes. The connection is in it once it is recorded, masked; until then it may have a
    /// secret.
    target: Mutex<Value>,
    /// Told when the move says how it gets on for the first time.
    begun: Notify,
    /// Held for no longer than it takes to look or to note.
    state: Mutex<Stage>,
}

#[derive(Clone, Debug, Default)]
enum Stage {
    /// It has not said anything yet.
    #[default]
    Begins,
    Goes(MoveProgress),
    Done(Option<MoveProgress>),
    Failed(Option<MoveProgress>, Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    adapter: String,
    #[serde(default)]
    connection: String,
    #[serde(default)]
    options: Options,
    #[serde(default)]
    former: Former,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Former {
    #[default]
    Keep,
    Remove,
}

/// `PUT /topics/T[?wait=true]`.
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Action::Configure, &names.topic)?;
    let (head, body) = request.into_parts();
    let mut query = Query::of(&head.uri)?;
    let wait = query.flag("wait")?;
    query.finish()?;
    let text = body::read_json(&head.headers, body).await?;
    let wanted: Update = body::parse(&text)?;
    let before = app.store.get_topic(&names.topic).await?;
    let moving = Arc::new(Moving::new(&wanted));
    let mut updating = tokio::spawn(run(Arc::clone(&app), before, wanted, Arc::clone(&moving)));
    let updated = if wait {
        (&mut updating).await
    } else {
        tokio::select! {
            updated = &mut updating => updated,
            () = moving.begun.notified() => return accepted(&app, &names.topic, &moving).await,
            () = tokio::time::sleep(SOON) => return accepted(&app, &names.topic, &moving).await,
        }
    };
    match updated {
        Ok(updated) => Ok(Json(document(&app.store, updated?).await).into_response()),
        Err(error) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("the update has broken off: {error}"),
        )),
    }
}

/// `GET /topics/T/move`.
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read, &names.topic)?;
    query::none(&uri)?;
    let topic = app.store.get_topic(&names.topic).await?;
    let own = app.moves.topics.lock().get(&names.topic).cloned();
    match (own, &topic.moving) {
        (Some(own), None) => Ok(Json(own.document())),
        (Some(own), Some(recorded)) if own.goes_on() => {
            own.goes_to(&recorded.target);
            Ok(Json(own.document()))
        }
        // Somebody else moves it.
        (_, Some(moving)) => Ok(Json(foreign(&app.store, &topic, moving).await)),
        (None, None) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "move-not-found",
            format!("no move of the topic {:?} was begun here", names.topic),
        )),
    }
}

/// `DELETE /topics/T/move`.
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    caller.may(Action::Configure, &names.topic)?;
    query::none(&uri)?;
    app.store.cancel_move(&names.topic).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Updates the topic. It goes on where nobody waits for it any more.
async fn run(
    app: App,
    before: TopicInfo,
    wanted: Update,
    moving: Arc<Moving>,
) -> crate::Result<TopicInfo> {
    let name = before.name.as_str();
    let former = match wanted.former {
        Former::Keep => FormerStorage::Keep,
        Former::Remove => FormerStorage::Remove,
    };
    let config = TopicConfig::new(name, wanted.adapter, wanted.connection);
    let (heard, hears) = (Arc::clone(&moving), Arc::clone(&app));
    let hears_of = before.name.clone();
    let options = MoveOptions::default()
        .former(former)
        .on_progress(move |progress| {
            if heard.goes(progress) {
                hears.moves.note(hears_of.as_str(), &heard);
                heard.begun.notify_one();
            }
        });
    let updated = app
        .store
        .move_topic(with_options(config, wanted.options), options)
        .await;
    if let Ok(after) = &updated
        && after.placement.storage != before.placement.storage
    {
        moving.goes_to(&after.placement);
        app.moves.note(name, &moving);
    }
    moving.ends(updated.as_ref().err());
    updated
}

async fn accepted(app: &App, topic: &str, moving: &Arc<Moving>) -> Result<Response, Problem> {
    app.moves.note(topic, moving);
    if let Some(recorded) = app.store.get_topic(topic).await?.moving {
        moving.goes_to(&recorded.target);
    }
    let mut response = (StatusCode::ACCEPTED, Json(moving.document())).into_response();
    let link = Link::to(["topics", topic, "move"]).into_string();
    if let Ok(link) = HeaderValue::try_from(link) {
        response.headers_mut().insert(header::LOCATION, link);
    }
    Ok(response)
}

impl Moves {
    /// Notes a move, unless there is one that goes on: then this is about to be refused.
    fn note(&self, topic: &str, moving: &Arc<Moving>) {
        let mut topics = self.topics.lock();
        let goes_on = topics.get(topic).is_some_and(|noted| noted.goes_on());
        if !goes_on {
            topics.insert(topic.to_owned(), Arc::clone(moving));
        }
    }

    /// Forgets the moves of a topic that is gone.
    pub(super) fn forget(&self, topic: &str) {
        self.topics.lock().remove(topic);
    }
}

impl fmt::Debug for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moves").finish_non_exhaustive()
    }
}

impl Moving {
    fn new(wanted: &Update) -> Self {
        Self {
            target: Mutex::new(json!({ "adapter": wanted.adapter, "connection": null })),
            begun: Notify::new(),
            state: Mutex::default(),
        }
    }

    fn goes_to(&self, placement: &Placement) {
        *self.target.lock() = target(placement);
    }

    /// Notes how it gets on, and tells whether that is the first of it.
    fn goes(&self, progress: &MoveProgress) -> bool {
        let mut state = self.state.lock();
        let first = matches!(*state, Stage::Begins);
        *state = Stage::Goes(progress.clone());
        first
    }

    fn ends(&self, error: Option<&crate::Error>) {
        let mut state = self.state.lock();
        let last = match std::mem::take(&mut *state) {
            Stage::Goes(progress) => Some(progress),
            _ => None,
        };
        *state = match error {
            None => Stage::Done(last),
            Some(error) => Stage::Failed(last, error.to_string().into()),
        };
    }

    fn goes_on(&self) -> bool {
        matches!(*self.state.lock(), Stage::Begins | Stage::Goes(_))
    }

    fn document(&self) -> Value {
        let state = self.state.lock().clone();
        let (state, progress, problem) = match state {
            Stage::Begins => ("moving", None, Value::Null),
            Stage::Goes(progress) => ("moving", Some(progress), Value::Null),
            Stage::Done(progress) => ("done", progress, Value::Null),
            Stage::Failed(progress, problem) => ("failed", progress, problem),
        };
        json!({
            "state": state,
            "phase": progress.as_ref().map(|progress| phase(progress.phase)),
            "copied": progress.as_ref().map(|progress| progress.copied),
            "head": progress.as_ref().map(|progress| progress.head),
            "eventsPerSecond": progress.as_ref().map(|progress| progress.events_per_second.round()),
            "target": *self.target.lock(),
            "problem": problem,
        })
    }
}

const fn phase(phase: MovePhase) -> &'static str {
    match phase {
        MovePhase::Copying => "copying",
        MovePhase::Comparing => "comparing",
        MovePhase::Sealed => "sealed",
    }
}

/// A move that another process has said to be under way.
async fn foreign(store: &EventStore, topic: &TopicInfo, moving: &TopicMove) -> Value {
    let head = store.get_latest_version(topic.name.as_str()).await.ok();
    json!({
        "state": "moving",
        "phase": if moving.sealed { "sealed" } else { "copying" },
        "copied": moving.copied,
        "head": head,
        "eventsPerSecond": null,
        "target": target(&moving.target),
        "problem": null,
    })
}
