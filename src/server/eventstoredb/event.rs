//! One event.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::json;

use super::{
    all,
    answer::{Answer, Refusal, plain},
    asked::Asked,
    entry::Shown,
    feed::{Holds, Tag, bytes, document, is_known},
    links::resolve,
    media_type::{EVENT, Form, accepted, not_acceptable},
    metadata::newest_event,
    names::{ALL, described_stream, metadata_stream, recorded_stream},
    numbers::{From, event_number, number_of},
    stream::{Stream, topic_of},
};
use crate::{
    RecordedEvent,
    server::{
        access::{Action, Caller},
        state::App,
    },
};

/// `GET /streams/{stream}/{number}`, the newest with `head`
pub(super) async fn event(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path((stream, number)): Path<(String, String)>,
) -> Answer {
    asked.check()?;
    if stream == ALL {
        return match number.as_str() {
            "filtered" => all::filtered_head(&app, &caller, &asked).await,
            _ => Err(Refusal::not_found()),
        };
    }
    let from = event_number(&number)?;
    let form = accepted(&asked, EVENT)?;
    let stream = Stream::open(&app, &caller, &asked, &stream).await?;
    let (number, holds) = match from {
        From::Head => (stream.last, Holds::Seconds(stream.metadata.cache_control)),
        From::Number(number) => (number, Holds::Always),
    };
    let shown = Shown {
        event: stream.event(number).await?,
        link: None,
        urls: stream.urls,
    };
    let shown = resolve(&app, &caller, vec![shown]).await?.pop();
    let shown = shown.ok_or_else(Refusal::not_found)?;
    answer(&asked, form, &shown, None, holds)
}

/// `GET /streams/{stream}/metadata`
pub(super) async fn metadata(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path(stream): Path<String>,
) -> Answer {
    asked.check()?;
    let form = accepted(&asked, EVENT)?;
    let topic = described(&app, &caller, &asked, &stream).await?;
    match newest_event(&app.store, &topic, recorded_stream(&stream)).await? {
        Some(event) => {
            let tag = Tag {
                last: number_of(&event),
                metadata: 0,
            };
            let tag = tag.text(form);
            if is_known(&asked, Some(&tag)) {
                return Ok(plain(StatusCode::NOT_MODIFIED, "Not Modified"));
            }
            let shown = shown_metadata(&asked, &stream, event);
            answer(&asked, form, &shown, Some(&tag), Holds::Seconds(None))
        }
        None => document(&asked, form, &json!({}), None, Holds::Seconds(None)),
    }
}

/// `GET /streams/{stream}/metadata/{number}`
pub(super) async fn older_metadata(
    app: State<App>,
    caller: Caller,
    asked: Asked,
    Path((stream, number)): Path<(String, String)>,
) -> Answer {
    described(&app, &caller, &asked, &stream).await?;
    let path = Path((metadata_stream(&stream), number));
    event(app, caller, asked, path).await
}

/// The topic of a stream whose metadata is asked for.
async fn described(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    stream: &str,
) -> Result<String, Refusal> {
    if described_stream(stream).is_some() {
        return Err(Refusal::bad_request(
            "A metadata stream has no metadata of its own",
        ));
    }
    let topic = topic_of(app, asked, stream).await?;
    caller.may(Action::Read, &topic)?;
    match app.store.get_stream(&topic, recorded_stream(stream)).await {
        Ok(state) if state.deleted => Err(Refusal::deleted_to_readers()),
        Ok(_) => Ok(topic),
        Err(error) => Err(error.into()),
    }
}

fn shown_metadata(asked: &Asked, stream: &str, event: RecordedEvent) -> Shown {
    Shown {
        event,
        link: None,
        urls: asked
            .base
            .stream(&metadata_stream(stream), asked.query("topic")),
    }
}

fn answer(
    asked: &Asked,
    form: Form,
    shown: &Shown,
    tag: Option<&str>,
    holds: Holds,
) -> Result<Response, Refusal> {
    let data = || shown.event.payload.clone();
    match form {
        Form::Atom(_) => document(asked, form, &shown.whole_entry(), tag, holds),
        Form::Event(_) => document(asked, form, &shown.document(), tag, holds),
        Form::Bytes => Ok(bytes(asked, form.content_type(), data(), tag, holds)),
        Form::Json if shown.has_json() => Ok(bytes(asked, form.content_type(), data(), tag, holds)),
        _ => Err(not_acceptable()),
    }
}
