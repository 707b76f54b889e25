//! What a stream can be asked for: the answer to those who take anything.

use axum::http::{HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use serde_json::json;

use super::{
    answer::Answer,
    asked::Asked,
    feed::{Holds, document},
    media_type::Form,
};

/// The forms of a stream, as the answer to a request for them, or to one that asked for nothing that
/// there is.
pub(super) fn describe(asked: &Asked, form: Form, stream: &str, is_asked_for: bool) -> Answer {
    let url = asked.base.stream(stream, asked.query("topic")).itself();
    let description = json!({
        "title": format!("Description document for '{stream}'"),
        "description": "The description document will be presented when no accept header is present or it was requested",
        "_links": {
            "self": {
                "href": url,
                "supportedContentTypes": [
                    "application/vnd.eventstore.streamdesc+json",
                    "application/vnd.kurrent.streamdesc+json",
                ],
            },
            "stream": {
                "href": url,
                "supportedContentTypes": [
                    "application/vnd.eventstore.atom+json",
                    "application/vnd.kurrent.atom+json",
                    "application/json",
                ],
            },
        },
    });
    let mut response = document(asked, form, &description, None, Holds::Seconds(None))?;
    if !is_asked_for {
        *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
        let reason =
            ReasonPhrase::from_static(b"Requested URI is not available in requested format");
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}
