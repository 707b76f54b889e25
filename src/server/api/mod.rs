//! The API of its own: topics, streams and events.

mod accept;
mod append;
mod append_body;
pub(super) mod body;
mod changes;
mod cloud_events;
mod event;
mod expectation;
pub(super) mod filter;
mod lines;
mod moves;
pub(super) mod names;
mod openapi;
mod push;
pub(super) mod query;
mod read;
mod streams;
mod topics;
mod types;

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    routing::{delete, get, post},
};

pub(super) use self::moves::Moves;
use super::{problem::Problem, state::App};

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/topics", get(topics::list).post(topics::create))
        .route(
            "/topics/{topic}",
            get(topics::get).put(moves::update).delete(topics::delete),
        )
        .route(
            "/topics/{topic}/move",
            get(moves::get).delete(moves::cancel),
        )
        .route("/topics/{topic}/restore", post(topics::restore))
        .route("/topics/{topic}/purge", post(topics::purge))
        .route("/topics/{topic}/former", delete(topics::remove_former))
        .route("/topics/{topic}/verify", post(topics::verify))
        .route(
            "/topics/{topic}/events",
            get(read::read).post(append::append),
        )
        .route("/topics/{topic}/events/{position}", get(event::get))
        .route(
            "/topics/{topic}/streams/{stream}/events",
            get(read::read).post(append::append),
        )
        .route("/topics/{topic}/streams", get(streams::list))
        .route(
            "/topics/{topic}/streams/{stream}",
            get(streams::get).delete(streams::delete),
        )
        .route(
            "/topics/{topic}/streams/{stream}/restore",
            post(streams::restore),
        )
        .route("/topics/{topic}/types", get(types::list))
        .route("/topics/{topic}/changes", get(changes::changes))
        .route("/topics/{topic}/push", post(push::push))
        .route("/openapi.json", get(openapi::get))
        // The default stream, whose id is empty.
        .route(
            "/topics/{topic}/streams/",
            get(streams::get).delete(streams::delete),
        )
        .route("/topics/{topic}/streams//restore", post(streams::restore))
        .route(
            "/topics/{topic}/streams//events",
            get(read::read).post(append::append),
        )
}

/// Answers a path that there is not.
pub(super) async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {:?}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
}

/// Answers a method that a path does not have; the header `Allow` names those that it has.
pub(super) async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("the method {method} is not to be had here");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}
