//! Pages of one stream.

use axum::{
    extract::{Path, State},
    response::IntoResponse as _,
};

use super::{
    all,
    answer::Answer,
    asked::Asked,
    description::describe,
    entry::Shown,
    feed::{Holds, Page, Tag},
    links::resolve,
    media_type::{FEED, accepted, describes, takes_anything},
    names::{ALL, described_stream, metadata_stream},
    numbers::{From, PAGE, count, event_number, number_of, plain_number},
    stream::Stream,
    wait::Waiting,
};
use crate::{
    RecordedEvent,
    server::{access::Caller, state::App},
};

/// `GET /streams/{stream}`
pub(super) async fn head(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path(stream): Path<String>,
) -> Answer {
    asked.check()?;
    if let Some(form) = describes(&asked) {
        return describe(&asked, form, &stream, true);
    }
    if takes_anything(&asked) {
        return describe(&asked, super::media_type::DESCRIPTION, &stream, false);
    }
    if stream == ALL {
        return all::backward(&app, &caller, &asked, "head", PAGE).await;
    }
    backward_page(&app, &caller, &asked, &stream, From::Head, PAGE).await
}

/// `GET /streams/{stream}/{number}/{count}`
pub(super) async fn plain(
    app: State<App>,
    caller: Caller,
    asked: Asked,
    Path((stream, number, count)): Path<(String, String, String)>,
) -> Answer {
    let path = Path((stream, number, "backward".to_owned(), count));
    directed(app, caller, asked, path).await
}

/// `GET /streams/{stream}/{number}/backward/{count}` and `…/forward/{count}`
pub(super) async fn directed(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path((stream, number, direction, events)): Path<(String, String, String, String)>,
) -> Answer {
    asked.check()?;
    let (app, caller, asked) = (&app, &caller, &asked);
    match (direction.as_str(), stream.as_str()) {
        ("backward", ALL) => all::backward(app, caller, asked, &number, count(&events)?).await,
        ("forward", ALL) => all::forward(app, caller, asked, &number, count(&events)?).await,
        ("backward", stream) => {
            let from = event_number(&number)?;
            backward_page(app, caller, asked, stream, from, count(&events)?).await
        }
        ("forward", stream) => {
            let from = plain_number(&number)?;
            forward_page(app, caller, asked, stream, from, count(&events)?).await
        }
        _ => Ok(super::answer::Refusal::not_found().into_response()),
    }
}

/// `GET /streams/{stream}/metadata/{number}/{direction}/{count}`
pub(super) async fn of_metadata(
    app: State<App>,
    caller: Caller,
    asked: Asked,
    Path((stream, number, direction, count)): Path<(String, String, String, String)>,
) -> Answer {
    let path = Path((metadata_stream(&stream), number, direction, count));
    directed(app, caller, asked, path).await
}

async fn backward_page(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    name: &str,
    from: From,
    count: u64,
) -> Answer {
    let form = accepted(asked, FEED)?;
    let stream = Stream::open(app, caller, asked, name).await?;
    let newest = match from {
        From::Head => stream.last,
        From::Number(number) => number.min(stream.last),
    };
    let is_head = newest == stream.last;
    let events = stream.backward(newest, count).await?;
    let highest = events.first().map_or(newest, number_of);
    let lowest = events.last().map_or(0, number_of);
    let mut links = vec![("first", format!("head/backward/{count}"))];
    if lowest > 0 {
        links.push(("last", format!("0/forward/{count}")));
        links.push(("next", format!("{}/backward/{count}", lowest - 1)));
    }
    links.push(("previous", format!("{}/forward/{count}", highest + 1)));
    let holds = if is_head {
        Holds::Seconds(stream.metadata.cache_control)
    } else {
        Holds::Always
    };
    finish(app, caller, stream, events, links, is_head, holds)
        .await?
        .answer(asked, form)
}

async fn forward_page(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    name: &str,
    from: u64,
    count: u64,
) -> Answer {
    let form = accepted(asked, FEED)?;
    let waiting = Waiting::begin(app, caller, asked, name).await?;
    let mut opened = Stream::open(app, caller, asked, name).await;
    let at_end = |stream: &Stream<'_>| from > stream.last;
    if opened.as_ref().map_or(true, at_end) && waiting.for_more().await {
        opened = Stream::open(app, caller, asked, name).await;
    }
    let stream = opened?;
    let events = stream.forward(from, count).await?;
    let highest = events.first().map(number_of);
    let is_head = highest.is_none_or(|highest| highest >= stream.last);
    let mut links = vec![("first", format!("head/backward/{count}"))];
    let lowest = events.last().map_or(from.min(stream.last + 1), number_of);
    if lowest > 0 {
        links.push(("last", format!("0/forward/{count}")));
        links.push(("next", format!("{}/backward/{count}", lowest - 1)));
    }
    if let Some(highest) = highest {
        links.push(("previous", format!("{}/forward/{count}", highest + 1)));
    }
    let holds = if is_head {
        Holds::Seconds(stream.metadata.cache_control)
    } else {
        Holds::Always
    };
    finish(app, caller, stream, events, links, is_head, holds)
        .await?
        .answer(asked, form)
}

async fn finish(
    app: &App,
    caller: &Caller,
    stream: Stream<'_>,
    events: Vec<RecordedEvent>,
    mut links: Vec<(&'static str, String)>,
    is_head: bool,
    holds: Holds,
) -> Result<Page, super::answer::Refusal> {
    if described_stream(&stream.name).is_none() {
        links.push(("metadata", "metadata".to_owned()));
    }
    let tag = Tag {
        last: stream.last,
        metadata: stream.metadata.version,
    };
    let events = events.into_iter().map(|event| Shown {
        event,
        link: None,
        urls: stream.urls.clone(),
    });
    Ok(Page {
        title: format!("Event stream '{}'", stream.name),
        events: resolve(app, caller, events.collect()).await?,
        stream: stream.name,
        urls: stream.urls,
        is_head,
        links,
        tag: Some(tag),
        holds,
    })
}
