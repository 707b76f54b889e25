//! The streams API of EventStoreDB, as it is described in `docs/eventstoredb.md`.
//!
//! A stream of its clients is a stream of a topic, which [`placement`] finds by the stream's name. What
//! the two know in different ways is translated in [`names`] (event types, names), [`numbers`] (event
//! numbers count from 0), [`metadata`] and [`deletion`] (a stream that is deleted there may go on).

mod all;
mod answer;
mod append;
mod asked;
mod body;
mod deletion;
mod description;
mod entry;
mod event;
mod feed;
mod info;
mod links;
mod media_type;
mod metadata;
mod names;
mod numbers;
mod pages;
mod placement;
mod pretty;
mod stream;
mod urls;
mod wait;
mod write_metadata;

use axum::{
    Router,
    routing::{MethodRouter, any, get, post},
};

pub(super) use placement::Placements;

use super::state::App;

/// The routes.
pub(super) fn routes() -> Router<App> {
    let stream = get(pages::head)
        .post(append::append)
        .delete(deletion::delete);
    let metadata = get(event::metadata).post(write_metadata::write);
    let routes: [(&str, MethodRouter<App>); 12] = [
        ("/streams/{stream}", stream),
        ("/streams/{stream}/incoming/{id}", post(append::incoming)),
        ("/streams/{stream}/metadata", metadata),
        (
            "/streams/{stream}/metadata/incoming/{id}",
            post(write_metadata::incoming),
        ),
        (
            "/streams/{stream}/metadata/{number}",
            get(event::older_metadata),
        ),
        (
            "/streams/{stream}/metadata/{number}/{direction}/{count}",
            get(pages::of_metadata),
        ),
        (
            "/streams/{stream}/filtered/{position}/{direction}/{count}",
            get(all::filtered),
        ),
        ("/streams/{stream}/{number}", get(event::event)),
        ("/streams/{stream}/{number}/{count}", get(pages::plain)),
        (
            "/streams/{stream}/{number}/{direction}/{count}",
            get(pages::directed),
        ),
        ("/ping", get(info::ping)),
        ("/info", get(info::info)),
    ];
    let mut router = Router::new().route("/health/live", get(info::live));
    for (path, methods) in routes {
        router = router
            .route(path, methods.options(info::options))
            .route(&format!("{path}/"), any(info::without_slash));
    }
    router
}
