//! The web page: what the server's root shows to a browser.
//!
//! It is made of the files below `assets`, which are part of the program: plain HTML, styles and
//! modules, which nothing builds and which come from no other host. The page asks the API what it
//! shows, with the credentials of whoever looks at it; its own files hold nothing of the store, and
//! everybody may read them.

mod assets;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use self::assets::Asset;
use super::{problem::Problem, state::App};

/// What the page may do: only with what came from this server, and nothing that is written in the page
/// itself or made from text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// What browsers are told with each file.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    // Kept, and asked for again each time: another version of the program has other files.
    (header::CACHE_CONTROL, "no-cache"),
];

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(index))
        .route("/page/{*name}", get(asset))
}

async fn index(headers: HeaderMap) -> Result<Response, Problem> {
    answer("index.html", &headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    answer(&name, &headers)
}

fn answer(name: &str, request: &HeaderMap) -> Result<Response, Problem> {
    let asset = assets::find(name).ok_or_else(|| {
        let detail = format!("the page has no file `{name}`");
        Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
    })?;
    let mut response = if has(request, asset) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = [(header::CONTENT_TYPE, asset.content_type)];
        (kind, asset.bytes).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Whether the browser has the file as it is.
fn has(request: &HeaderMap, asset: &Asset) -> bool {
    let tags = request.get_all(header::IF_NONE_MATCH).into_iter();
    let mut tags = tags
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.trim_start_matches("W/") == asset.tag
    })
}
