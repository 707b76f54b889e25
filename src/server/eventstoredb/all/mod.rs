//! The stream of all events, `$all`: those of every topic that the caller may read, filtered or not.

mod cursor;
mod filter;
mod merge;
mod position;

use std::time::Duration;

use axum::extract::{Path, State};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use self::{
    cursor::Way,
    filter::Filter,
    merge::{Found, Topics, Wanted},
    position::Place,
};
use super::{
    answer::{Answer, Refusal},
    asked::Asked,
    entry::Shown,
    feed::{Holds, Page, Tag},
    links::resolve,
    media_type::{FEED, accepted},
    names::{ALL, category, shown_stream},
    numbers::{PAGE, count},
    placement::DEFAULT_TOPIC,
};
use crate::{
    Error, MergedSubscription, RecordedEvent, Subscribe,
    server::{access::Caller, state::App},
};

/// How often a long poll looks whether events may be shown that were held back.
const HELD_BACK_LOOK: Duration = Duration::from_millis(250);

/// How often a long poll looks whether there are other topics than those that it follows.
const TOPICS_LOOK: Duration = Duration::from_secs(1);

/// `GET /streams/$all/{position}/backward/{count}`
pub(super) async fn backward(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    from: &str,
    count: u64,
) -> Answer {
    page(
        app,
        caller,
        asked,
        &Filter::default(),
        Way::Backward,
        from,
        count,
    )
    .await
}

/// `GET /streams/$all/{position}/forward/{count}`
pub(super) async fn forward(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    from: &str,
    count: u64,
) -> Answer {
    page(
        app,
        caller,
        asked,
        &Filter::default(),
        Way::Forward,
        from,
        count,
    )
    .await
}

/// `GET /streams/$all/filtered`
pub(super) async fn filtered_head(app: &App, caller: &Caller, asked: &Asked) -> Answer {
    let filter = Filter::of(asked)?;
    page(app, caller, asked, &filter, Way::Backward, "head", PAGE).await
}

/// `GET /streams/$all/filtered/{position}/{direction}/{count}`
pub(super) async fn filtered(
    State(app): State<App>,
    caller: Caller,
    asked: Asked,
    Path((stream, from, direction, events)): Path<(String, String, String, String)>,
) -> Answer {
    asked.check()?;
    let way = match direction.as_str() {
        "forward" => Way::Forward,
        "backward" => Way::Backward,
        _ => return Err(Refusal::not_found()),
    };
    if stream != ALL {
        return Err(Refusal::not_found());
    }
    let filter = Filter::of(&asked)?;
    page(&app, &caller, &asked, &filter, way, &from, count(&events)?).await
}

async fn page(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    filter: &Filter,
    way: Way,
    from: &str,
    count: u64,
) -> Answer {
    let form = accepted(asked, FEED)?;
    let place = match (way, from) {
        (Way::Backward, "head") => Place::END,
        (_, from) => Place::parse(from)
            .ok_or_else(|| Refusal::bad_request(&format!("Invalid position argument: {from}")))?,
    };
    let wanted = Wanted {
        way,
        from: place,
        count,
    };
    let patience = match way {
        Way::Forward => asked.long_poll()?,
        Way::Backward => None,
    };
    let found = match patience {
        Some(patience) => read_patiently(app, caller, wanted, filter, patience).await?,
        None => {
            Topics::read_all(&app.store, caller, wanted, filter)
                .await?
                .1
        }
    };
    shown(app, caller, asked, filter, wanted, found)
        .await?
        .answer(asked, form)
}

/// Reads again once there may be something, where there is nothing.
async fn read_patiently(
    app: &App,
    caller: &Caller,
    wanted: Wanted,
    filter: &Filter,
    patience: Duration,
) -> Result<Found, Refusal> {
    let until = Instant::now() + patience;
    let mut followed = Topics::list(&app.store, caller).await?;
    let mut new = follow(app, &followed).await?;
    let mut stopping = app.stopping.subscribe();
    loop {
        let (topics, found) = Topics::read_all(&app.store, caller, wanted, filter).await?;
        let is_over = *stopping.borrow_and_update() || Instant::now() >= until;
        if !found.events.is_empty() || !found.is_end || is_over {
            return Ok(found);
        }
        if new.is_none() || !topics.are(&followed) {
            new = follow(app, &topics).await?;
            followed = topics;
            if new.is_some() {
                // What was recorded before they were followed.
                continue;
            }
        }
        let soon = until.min(Instant::now() + HELD_BACK_LOOK);
        tokio::select! {
            () = next(new.as_mut()), if !found.holds_back => {}
            changed = are_others(app, caller, &followed), if !found.holds_back => changed?,
            () = tokio::time::sleep_until(soon), if found.holds_back => {}
            () = tokio::time::sleep_until(until) => {}
            _ = stopping.changed() => {}
        }
    }
}

/// Follows topics; none where one of them is deleted by now.
async fn follow(app: &App, topics: &Topics) -> Result<Option<MergedSubscription>, Refusal> {
    let names = topics.topics.iter().map(|topic| topic.name.to_string());
    let new = names.map(|name| (name, Subscribe::from_now()));
    match app.store.subscribe_many(new).await {
        Ok(new) => Ok(Some(new)),
        Err(Error::TopicNotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Waits for an event.
async fn next(new: Option<&mut MergedSubscription>) {
    if let Some(new) = new
        && new.next().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// Waits until a caller's topics are others than they were.
async fn are_others(app: &App, caller: &Caller, before: &Topics) -> Result<(), Refusal> {
    loop {
        tokio::time::sleep(TOPICS_LOOK).await;
        if !Topics::list(&app.store, caller).await?.are(before) {
            return Ok(());
        }
    }
}

async fn shown(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    filter: &Filter,
    wanted: Wanted,
    mut found: Found,
) -> Result<Page, Refusal> {
    let links = links(&found, wanted, &filter.query);
    if wanted.way == Way::Forward {
        found.events.reverse();
    }
    let newest = found
        .events
        .first()
        .map_or(wanted.from, |(place, _)| *place);
    let events = found.events.into_iter().map(|(_, event)| Shown {
        urls: asked
            .base
            .stream(shown_stream(event.stream.as_str()), topic_to_name(&event)),
        link: None,
        event,
    });
    Ok(Page {
        title: "All events".to_owned(),
        events: resolve(app, caller, events.collect()).await?,
        stream: ALL.to_owned(),
        urls: asked.base.stream(ALL, None),
        is_head: match wanted.way {
            Way::Forward => found.is_end,
            Way::Backward => wanted.from >= Place::END,
        },
        links,
        tag: Some(Tag {
            last: u64::try_from(newest.at.as_micros()).unwrap_or(0),
            metadata: newest.position ^ newest.topic << 41,
        }),
        holds: Holds::Seconds(None),
    })
}

/// The topic of an event whose stream's name does not lead there.
fn topic_to_name(event: &RecordedEvent) -> Option<&str> {
    let topic = event.topic.as_str();
    let stream = event.stream.as_str();
    let leads = topic == DEFAULT_TOPIC || category(stream) == Some(topic);
    (!leads).then_some(topic)
}

fn links(found: &Found, wanted: Wanted, query: &str) -> Vec<(&'static str, String)> {
    let count = wanted.count;
    let filtered = if query.is_empty() { "" } else { "filtered/" };
    let link = |place: &dyn std::fmt::Display, direction: &str| {
        format!("{filtered}{place}/{direction}/{count}{query}")
    };
    let mut links = vec![("first", link(&"head", "backward"))];
    let (oldest, newest) = match wanted.way {
        Way::Forward => (Some(wanted.from), found.looked_to.map(Place::next)),
        Way::Backward => (
            found.looked_to.filter(|_| !found.is_end),
            Some(match found.looked_from {
                Some(place) => place.next(),
                None if wanted.from >= Place::END => Place::START,
                None => wanted.from,
            }),
        ),
    };
    if let Some(oldest) = oldest.filter(|oldest| *oldest > Place::START) {
        links.push(("last", link(&Place::START, "forward")));
        links.push(("next", link(&oldest, "backward")));
    }
    if let Some(newest) = newest {
        links.push(("previous", link(&newest, "forward")));
    }
    links.push(("metadata", "metadata".to_owned()));
    links
}
