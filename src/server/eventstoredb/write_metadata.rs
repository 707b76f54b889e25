//! Writing a stream's metadata.

use axum::extract::{Path, State};
use bytes::Bytes;
use uuid::Uuid;

use super::{
    answer::{Answer, Refusal},
    append::{created, incoming_id, record, to_incoming},
    asked::Asked,
    body::{event, events},
    media_type::{Sent, sent, unsupported},
    names::{METADATA_TYPE, described_stream, metadata_stream},
};
use crate::{
    NewEvent,
    server::{access::Caller, state::App},
};

/// `POST /streams/{stream}/metadata`
pub(super) async fn write(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path(stream): Path<String>,
    body: Bytes,
) -> Answer {
    check(&asked, &stream)?;
    let written = match sent(&asked)? {
        Sent::Events => events(&body, Some(METADATA_TYPE))?,
        single => match asked.event_id()? {
            Some(id) => vec![metadata_event(body, &single, id)?],
            None => return Ok(to_incoming(&asked, &stream, "metadata/incoming")),
        },
    };
    finish(&app, &caller, &asked, &stream, written).await
}

/// `POST /streams/{stream}/metadata/incoming/{id}`
pub(super) async fn incoming(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path((stream, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    check(&asked, &stream)?;
    let written = metadata_event(body, &sent(&asked)?, incoming_id(&id)?)?;
    finish(&app, &caller, &asked, &stream, vec![written]).await
}

fn check(asked: &Asked, stream: &str) -> Result<(), Refusal> {
    asked.check()?;
    if described_stream(stream).is_some() {
        return Err(Refusal::bad_request(
            "A metadata stream has no metadata of its own",
        ));
    }
    match asked.event_type().as_deref() {
        None | Some(METADATA_TYPE) => Ok(()),
        Some(_) => Err(Refusal::bad_request(
            "Bad Request. You should not include an event type for metadata.",
        )),
    }
}

fn metadata_event(body: Bytes, sent: &Sent, id: Uuid) -> Result<NewEvent, Refusal> {
    match sent {
        Sent::Json => event(body, sent, id, METADATA_TYPE),
        _ => Err(unsupported()),
    }
}

async fn finish(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    stream: &str,
    written: Vec<NewEvent>,
) -> Answer {
    let expected = asked.expected()?;
    let described = metadata_stream(stream);
    let first = record(app, caller, asked, &described, &written, expected).await?;
    Ok(created(asked, &described, first))
}
