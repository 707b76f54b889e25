//! What is answered where.

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit};

use super::guard;
use crate::server::{api, eventstoredb, groups, live, operations, page, state::App, webhooks};

pub(super) fn router(app: App) -> Router {
    let v1 = Router::new()
        .merge(api::routes())
        .merge(live::routes())
        .merge(groups::routes())
        .merge(webhooks::routes())
        .merge(operations::v1_routes())
        .method_not_allowed_fallback(api::method_not_allowed)
        .fallback(api::not_found);
    Router::new()
        .nest("/api/v1", v1)
        .merge(eventstoredb::routes())
        .merge(operations::routes())
        .merge(page::routes())
        // Bodies are limited as they come, to what the configuration says.
        .layer((guard::layer(Arc::clone(&app)), DefaultBodyLimit::disable()))
        .with_state(app)
}
