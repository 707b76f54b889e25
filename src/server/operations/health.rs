//! Whether the server is ready, and how its repositories are.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    EventStore, HealthReport, HealthStatus, RepositoryHealth,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// How long an answer of the store is good for: whoever asks more often does not ask the databases.
const FRESH: Duration = Duration::from_secs(1);

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the store has said of itself last.
#[derive(Debug)]
pub(in crate::server) struct Health {
    /// Held only to copy.
    last: Mutex<Option<(Instant, Arc<HealthReport>)>>,
    /// One asks the store, and the others wait for what it is told.
    turn: Semaphore,
}

impl Health {
    pub(in crate::server) const fn new() -> Self {
        Self {
            last: Mutex::new(None),
            turn: Semaphore::const_new(1),
        }
    }

    /// How the store is, as of a second ago at most.
    pub(in crate::server) async fn of(&self, store: &EventStore) -> Arc<HealthReport> {
        if let Some(fresh) = self.fresh() {
            return fresh;
        }
        // The semaphore is never closed; were it, each would ask.
        let _turn = self.turn.acquire().await.ok();
        if let Some(fresh) = self.fresh() {
            return fresh;
        }
        let report = match timeout(PATIENCE, store.health()).await {
            Ok(report) => report,
            Err(_) => {
                let late = RepositoryHealth::new("store", HealthStatus::Down);
                HealthReport::new(vec![late.last_error("the store does not answer in time")])
            }
        };
        let report = Arc::new(report);
        *self.last.lock() = Some((Instant::now(), Arc::clone(&report)));
        report
    }

    fn fresh(&self) -> Option<Arc<HealthReport>> {
        let last = self.last.lock();
        let (at, report) = last.as_ref()?;
        (at.elapsed() < FRESH).then(|| Arc::clone(report))
    }
}

/// `GET /health/ready`: 204 where the store answers and the server does not stop.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let unready = |why: &'static str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", why).into_response()
    };
    if app.is_stopping() {
        return unready("the server stops");
    }
    if app.health.of(&app.store).await.status == HealthStatus::Down {
        return unready("the repository of the configuration stream cannot be reached");
    }
    let no_store = HeaderValue::from_static("no-store");
    (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, no_store)]).into_response()
}

/// `GET /api/v1/health`: how each repository is.
pub(super) async fn report(State(app): State<App>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.may_everywhere(Action::Admin)?;
    let report = app.health.of(&app.store).await;
    Ok(Json(json!({
        "status": name(report.status),
        "repositories": report.repositories.iter().map(repository).collect::<Vec<_>>(),
    })))
}

fn repository(health: &RepositoryHealth) -> Value {
    json!({
        "repository": health.repository,
        "status": name(health.status),
        "latencySeconds": health.latency.as_secs_f64(),
        "topics": health.topics,
        "lastError": health.last_error,
        "notes": health.notes,
    })
}

const fn name(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Up => "up",
        HealthStatus::Degraded => "degraded",
        HealthStatus::Down => "down",
    }
}
