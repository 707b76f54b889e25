//! `/sync`: what devices that work offline ask and tell.

use annals::SyncToken;
use axum::{
    Json, Router,
    extract::State,
    http::Uri,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{Write, query};
use crate::{
    event::TOPIC,
    ledger::{Ledger, Shown},
    problem::Problem,
    sync::{MOST_PUSHED, Pushed},
};

pub(super) fn routes() -> Router<Ledger> {
    Router::new()
        .route("/sync/changes", get(changes))
        .route("/sync/push", post(push))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    since: Option<String>,
    #[serde(default = "usual")]
    limit: usize,
}

const fn usual() -> usize {
    200
}

async fn changes(State(ledger): State<Ledger>, uri: Uri) -> Result<Json<Value>, Problem> {
    let Since { since, limit } = query(&uri)?;
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad_request("limit is 1 to 1000"));
    }
    let since: SyncToken = match since {
        Some(text) => text.parse()?,
        None => SyncToken::START,
    };
    let changes = ledger.store.changes(TOPIC, since, limit).await?;
    let events: Result<Vec<_>, _> = changes.events.iter().map(Shown::of).collect();
    Ok(Json(json!({
        "events": events?,
        "next": changes.next,
        "more": changes.more,
    })))
}

async fn push(State(ledger): State<Ledger>, write: Write) -> Result<Json<Value>, Problem> {
    let pushed: Pushed = write.json()?;
    if pushed.events.len() > MOST_PUSHED {
        let detail = format!("a push has {MOST_PUSHED} events at most; push the rest after it");
        return Err(Problem::bad_request(detail));
    }
    let outcomes = ledger.take(pushed).await?;
    Ok(Json(json!({ "outcomes": outcomes })))
}
