//! Appends events, whichever form they come in.

use axum::{
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    append_body::{Wanted, of_json, of_lines},
    body, cloud_events,
    expectation::{self, header_text},
    names::Names,
    query::{self, Link},
};
use crate::{
    Append, AppendReceipt, Error, ExpectedVersion,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const CLOUD_EVENT: &str = "application/cloudevents+json";
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

/// `POST /topics/T/events`, `POST /topics/T/streams/S/events`.
pub(super) async fn append(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Action::Append, &names.topic)?;
    let (head, body) = request.into_parts();
    query::none(&head.uri)?;
    let format = Format::of(&head.headers)?;
    let by_header = expectation::of(&head.headers)?;
    let key = header_text(&head.headers, &IDEMPOTENCY_KEY)?;
    let body = body::read(body).await?;
    let wanted = format.parse(&head.headers, body)?;
    let events = wanted.events.len();
    let bytes = wanted.events.iter().map(|event| event.payload.len()).sum();
    let append = prepared(&names, wanted, by_header, key)?;
    let appended = app.store.append_events(&names.topic, append).await;
    match appended {
        Ok(receipt) => {
            app.metrics.appended(events, bytes, receipt.duplicate);
            Ok(answer(&names.topic, receipt))
        }
        Err(error @ Error::WrongExpectedVersion { .. }) if by_header.is_some() => {
            Err(Problem::from(error).status(StatusCode::PRECONDITION_FAILED))
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    Lines,
    CloudEvent,
    CloudEvents,
    BinaryCloudEvent,
}

impl Format {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let kind = body::media_type(headers);
        let is = |name: &str| kind.is_some_and(|kind| kind.eq_ignore_ascii_case(name));
        if is(CLOUD_EVENT) {
            return Ok(Self::CloudEvent);
        }
        if is(CLOUD_EVENTS) {
            return Ok(Self::CloudEvents);
        }
        if cloud_events::is_binary(headers) {
            return Ok(Self::BinaryCloudEvent);
        }
        if is(JSON) {
            return Ok(Self::Json);
        }
        if is(LINES) {
            return Ok(Self::Lines);
        }
        let known = [JSON, LINES, CLOUD_EVENT, CLOUD_EVENTS];
        Err(body::unsupported(kind, &known))
    }

    fn parse(self, headers: &HeaderMap, body: Bytes) -> Result<Wanted, Problem> {
        match self {
            Self::Json => of_json(&body),
            Self::Lines => of_lines(&body),
            Self::CloudEvent => cloud_events::of_one(&body),
            Self::CloudEvents => cloud_events::of_batch(&body),
            Self::BinaryCloudEvent => cloud_events::of_binary(headers, body),
        }
    }
}

/// The append that is wanted. Its stream is that of the path; where that names none, the one that all
/// events name, or else the topic's default stream.
fn prepared(
    names: &Names,
    wanted: Wanted,
    by_header: Option<ExpectedVersion>,
    key: Option<&str>,
) -> Result<Append, Problem> {
    if by_header.is_some() && wanted.expected.is_some() {
        return Err(Problem::bad_request(
            "the expected version is in a header and in the body; give it once",
        ));
    }
    let expected = by_header.or(wanted.expected);
    let stream = match (&names.stream, wanted.streams.common()) {
        (Some(stream), _) => stream.clone(),
        (None, Some(common)) => common.to_owned(),
        (None, None) if expected.is_none() => String::new(),
        (None, None) => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid-append",
                "a version is expected, and the events are of several streams; \
                 send them to the path of the stream that is meant",
            ));
        }
    };
    let mut append = Append::new(wanted.events).stream(stream);
    if let Some(expected) = expected {
        append = append.expected(expected);
    }
    if let Some((filter, after)) = wanted.unless {
        append = append.unless(filter, after);
    }
    if let Some(key) = key {
        append = append.idempotency_key(key);
    }
    Ok(append)
}

fn answer(topic: &str, receipt: AppendReceipt) -> Response {
    let body = format!(
        r#"{{"first":{},"last":{},"version":{},"duplicate":{}}}"#,
        receipt.first, receipt.last, receipt.version, receipt.duplicate
    );
    let status = if receipt.duplicate {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    let first = receipt.first.to_string();
    let link = Link::to(["topics", topic, "events", &first]).into_string();
    for (name, value) in [
        (header::ETAG, format!("\"{}\"", receipt.version)),
        (header::LOCATION, link),
    ] {
        // Digits and percent-encoded text are always a header's value.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}
