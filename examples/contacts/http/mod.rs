//! The service over HTTP: what is asked, and what is answered.

mod contacts;
mod request;
mod sync;
mod transactions;

use std::{future::Future, net::SocketAddr};

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Result, event::Entity, ledger::Ledger, problem::Problem, rows::Row};

/// The most bytes of a request.
const MOST_BYTES: usize = 1 << 20;

/// All that is answered.
pub(crate) fn routes(ledger: Ledger) -> Router {
    Router::new()
        .merge(contacts::routes())
        .merge(transactions::routes())
        .merge(sync::routes())
        .route("/health", get(|| async { Json(json!({ "status": "up" })) }))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(ledger)
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
}

async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} is not for {}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

/// Serves until `stop` is there; what has begun is finished.
pub(crate) async fn serve(
    listener: TcpListener,
    ledger: Ledger,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let serving = axum::serve(listener, routes(ledger)).with_graceful_shutdown(stop);
    Ok(serving.await?)
}

/// Listens here, and tells where that is.
pub(crate) async fn listen(address: &str) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A row, with its version as its entity tag.
fn row_response<D: Serialize>(status: StatusCode, row: &Row<D>) -> Response {
    let tag = etag(row.version);
    let mut response = (status, Json(row)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert("etag", tag);
    }
    response
}

fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

fn path_of(entity: Entity) -> String {
    format!("/{}s/{}", entity.kind(), entity.id())
}
