//! What the server says of itself.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::{
    answer::{Answer, plain, redirect},
    asked::Asked,
    feed::{Holds, bytes, document},
    media_type::{Form, SAID, accepted},
    placement::DEFAULT_TOPIC,
};
use crate::{Error, server::state::App};

/// What a ping is answered.
const PONG: &str = "Ping request successfully handled";

/// `GET /ping`
pub(super) async fn ping(asked: Asked) -> Answer {
    let form = accepted(&asked, SAID)?;
    if form == Form::Text {
        let content_type = form.content_type();
        return Ok(bytes(
            &asked,
            content_type,
            PONG,
            None,
            Holds::Seconds(None),
        ));
    }
    let pong = json!({ "msgTypeId": 0, "text": PONG });
    document(&asked, form, &pong, None, Holds::Seconds(None))
}

/// `GET /info`
pub(super) async fn info(asked: Asked) -> Answer {
    let form = accepted(&asked, &[Form::Json])?;
    let version = env!("CARGO_PKG_VERSION");
    let info = json!({
        "dbVersion": version,
        "esVersion": version,
        "server": "Annals",
        "state": "leader",
        "features": { "projections": false, "userManagement": false, "atomPub": true },
    });
    document(&asked, form, &info, None, Holds::Seconds(None))
}

/// `GET /health/live`
pub(super) async fn live(State(app): State<App>, asked: Asked) -> Response {
    let code = asked.query("liveCode").and_then(|code| code.parse().ok());
    let code = code.filter(|code| (200..600).contains(code));
    let live = code.and_then(|code| StatusCode::from_u16(code).ok());
    // A topic that may not be there: the store answers from memory, unless it is closed.
    match app.store.get_stream(DEFAULT_TOPIC, "").await {
        Err(Error::Closed) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => live.unwrap_or(StatusCode::NO_CONTENT).into_response(),
    }
}

/// `OPTIONS` of anything
pub(super) async fn options() -> Response {
    plain(StatusCode::OK, "OK")
}

/// An address with a slash at its end leads to the one without.
pub(super) async fn without_slash(uri: Uri) -> Response {
    let path = uri.path().trim_end_matches('/');
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let mut response = redirect(&format!("{path}{query}"), "Temporary Redirect");
    let a_year = HeaderValue::from_static("max-age=31536000, public");
    response.headers_mut().insert(header::CACHE_CONTROL, a_year);
    response
}
