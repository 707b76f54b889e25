//! Deletion. A stream that is deleted softly has metadata that hides the events that it has by then
//! (`$tb`), and goes on counting when it is appended to; one that is deleted for good takes nothing more.
//!
//! EventStoreDB writes a `$tb` beyond all numbers, and replaces it when the stream is appended to. Here it
//! is the number of the next event from the beginning, recorded on condition that no event has come in
//! between: an append at the same moment is either deleted with the others, or shown.

use std::collections::BTreeMap;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    answer::{Answer, Refusal, plain},
    asked::{Asked, Expected},
    metadata::StreamMetadata,
    names::{ALL, METADATA_TYPE, metadata_stream, recorded_stream, recorded_type},
    stream::topic_of,
};
use crate::{
    Append, Error, EventFilter, NewEvent, Position, StreamState, Version,
    server::{
        access::{Action, Caller},
        state::App,
    },
};

/// How often a deletion is tried while others append.
const TRIES: usize = 32;

/// `DELETE /streams/{stream}`
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path(stream): Path<String>,
) -> Answer {
    asked.check()?;
    let (expected, hard) = (asked.expected()?, asked.hard_delete()?);
    if stream == ALL {
        return Err(Refusal::bad_request("The stream of all events stays"));
    }
    let topic = topic_of(&app, &asked, &stream).await?;
    caller.may(Action::Append, &topic)?;
    let stream = recorded_stream(&stream);
    if hard {
        delete_for_good(&app, &topic, stream, expected).await?;
    } else {
        hide(&app, &topic, stream, expected).await?;
    }
    Ok(plain(StatusCode::NO_CONTENT, "Stream deleted"))
}

async fn delete_for_good(
    app: &App,
    topic: &str,
    stream: &str,
    expected: Expected,
) -> Result<(), Refusal> {
    let state = existing(app, topic, stream).await?;
    check(state, expected)?;
    app.store.delete_stream(topic, stream).await?;
    Ok(())
}

/// Deletes a stream softly.
async fn hide(app: &App, topic: &str, stream: &str, expected: Expected) -> Result<(), Refusal> {
    for _ in 0..TRIES {
        let looked_to = looked_to(app, topic).await?;
        let state = existing(app, topic, stream).await?;
        check(state, expected)?;
        let (metadata, newest) = StreamMetadata::load(&app.store, topic, stream).await?;
        if metadata.truncate_before >= state.version.get() {
            return Ok(());
        }
        let before = newest.map(|event| event.payload).unwrap_or_default();
        let data = with_truncation(&before, state.version.get())?;
        let event = NewEvent::json_text(recorded_type(METADATA_TYPE), data);
        let described = metadata_stream(stream);
        let either = EventFilter::all().streams([stream, described.as_str()]);
        let append = Append::new([event])
            .stream(described.as_str())
            .unless(either, looked_to);
        match app.store.append_events(topic, append).await {
            Ok(_) => return Ok(()),
            Err(Error::ConditionFailed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(busy())
}

fn busy() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Server Is Too Busy")
}

async fn looked_to(app: &App, topic: &str) -> Result<Position, Refusal> {
    match app.store.get_latest_version(topic).await {
        Ok(position) => Ok(position),
        // What was never written to cannot be deleted.
        Err(Error::TopicNotFound { .. }) => Err(Refusal::wrong_version(Version::NONE)),
        Err(error) => Err(error.into()),
    }
}

/// The state of a stream that there is.
async fn existing(app: &App, topic: &str, stream: &str) -> Result<StreamState, Refusal> {
    match app.store.get_stream(topic, stream).await {
        Ok(state) if state.deleted => Err(Refusal::deleted_to_writers()),
        Ok(state) if state.exists() => Ok(state),
        Ok(_) | Err(Error::TopicNotFound { .. }) => Err(Refusal::wrong_version(Version::NONE)),
        Err(error) => Err(error.into()),
    }
}

fn check(state: StreamState, expected: Expected) -> Result<(), Refusal> {
    if super::append::version(expected).admits(state) {
        return Ok(());
    }
    Err(Refusal::wrong_version(state.version))
}

/// Metadata as it was, with another `$tb`; the other members are kept as they were written.
fn with_truncation(metadata: &[u8], number: u64) -> Result<Vec<u8>, Refusal> {
    let mut members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(metadata).unwrap_or_default();
    let to_json = |error| Error::Serialization {
        what: "metadata to JSON".to_owned(),
        source: Box::new(error),
    };
    let number = to_raw_value(&number).map_err(to_json)?;
    members.insert("$tb".to_owned(), number);
    Ok(serde_json::to_vec(&members).map_err(to_json)?)
}
