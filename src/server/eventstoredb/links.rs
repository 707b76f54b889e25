//! Link events: an event of the type `$>` whose data is `number@stream` stands for that event.

use super::{
    answer::Refusal,
    entry::Shown,
    names::{recorded_stream, shown_type},
};
use crate::{
    Error, Read, RecordedEvent, Version,
    server::{
        access::{Action, Caller},
        state::App,
    },
};

/// The type of a link event.
const LINK: &str = "$>";

/// Puts the events that links stand for in their place, where there are such events and they may be read.
pub(super) async fn resolve(
    app: &App,
    caller: &Caller,
    mut events: Vec<Shown>,
) -> Result<Vec<Shown>, Refusal> {
    for shown in &mut events {
        if shown_type(shown.event.event_type.as_str()) != LINK {
            continue;
        }
        if let Some((event, stream)) = target(app, caller, &shown.event).await? {
            shown.urls = shown.urls.of_other(&stream);
            shown.link = Some(std::mem::replace(&mut shown.event, event));
        }
    }
    Ok(events)
}

async fn target(
    app: &App,
    caller: &Caller,
    link: &RecordedEvent,
) -> Result<Option<(RecordedEvent, String)>, Refusal> {
    let text = str::from_utf8(&link.payload).unwrap_or("");
    let Some((number, stream)) = text.split_once('@') else {
        return Ok(None);
    };
    let Ok(number) = number.parse::<u64>() else {
        return Ok(None);
    };
    let topic = match app.eventstoredb.to_read(&app.store, stream).await {
        Ok(topic) if caller.is_allowed(Action::Read, &topic) => topic,
        Ok(_) | Err(Error::InvalidStreamId { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let read = Read::stream(recorded_stream(stream))
        .after_version(Version::new(number))
        .limit(1);
    match app.store.get_events(&topic, read).await {
        Ok(mut events) => Ok(events.pop().map(|event| (event, stream.to_owned()))),
        Err(
            Error::StreamDeleted { .. }
            | Error::TopicNotFound { .. }
            | Error::InvalidStreamId { .. },
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
