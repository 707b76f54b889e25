//! Consumer groups over HTTP, and what is known of all consumers.
//!
//! A client takes deliveries and answers them, and keeps nothing but their tokens: the server is the
//! member of the group on behalf of its clients. What a group is like is kept as events beside its topic
//! ([`settings`]), so that a server that starts anew, and other servers, know it.

mod captured;
mod configure;
mod consumers;
mod deliveries;
mod member;
mod members;
mod newest;
mod parked;
mod settings;
mod span;
mod state;

use axum::{
    Router,
    routing::{get, post},
};

use super::state::App;

pub(super) use self::{
    captured::Captured,
    configure::resolved,
    consumers::look,
    members::Groups,
    newest::Newest,
    parked::{count, page},
    settings::{
        FORGOTTEN, Place, Stored, WEBHOOK_CONFIGURED, filter, invalid, keep, settings_of, version,
    },
    span::Span,
};

/// The routes.
pub(super) fn routes() -> Router<App> {
    let group = get(state::get)
        .put(configure::configure)
        .delete(configure::forget);
    Router::new()
        .route("/topics/{topic}/consumers", get(consumers::list))
        .route("/topics/{topic}/groups", get(state::list))
        .route("/topics/{topic}/groups/{group}", group)
        .route(
            "/topics/{topic}/groups/{group}/take",
            post(deliveries::take),
        )
        .route("/topics/{topic}/groups/{group}/ack", post(deliveries::ack))
        .route(
            "/topics/{topic}/groups/{group}/retry",
            post(deliveries::retry),
        )
        .route(
            "/topics/{topic}/groups/{group}/park",
            post(deliveries::park),
        )
        .route("/topics/{topic}/groups/{group}/parked", get(parked::list))
        .route(
            "/topics/{topic}/groups/{group}/replay",
            post(parked::replay),
        )
}
