//! Reads pages of events.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::TryStreamExt;

use super::{
    accept::{Accept, Format},
    cloud_events, lines,
    names::Names,
    query::{Link, Query},
};
use crate::{
    Direction, EventFilter, EventStore, Position, Read, RecordedEvent, Version,
    json::write_event,
    server::{
        access::{Action, Caller},
        problem::Problem,
        state::App,
    },
};

/// How many events a page has unless another limit is given.
pub(super) const USUAL_LIMIT: u64 = 100;
/// The most events of a page.
pub(super) const MOST_EVENTS: u64 = 10_000;
/// A page ends with the event that brings it to this many bytes.
pub(super) const PAGE_BYTES: usize = 8 << 20;

/// What a read's query asks for. Bounds are positions, and versions where a stream is read.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) topic: String,
    pub(super) stream: Option<String>,
    after: Option<u64>,
    up_to: Option<u64>,
    limit: Option<u64>,
    direction: Direction,
    filter: EventFilter,
    include_deleted: bool,
}

/// `GET /topics/T/events`, `GET /topics/T/streams/S/events`.
pub(super) async fn read(
    State(app): State<App>,
    caller: Caller,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Action::Read, &names.topic)?;
    let accept = Accept::of(request.headers())?;
    let format = accept.one_of(&[Format::Json, Format::Lines, Format::CloudEvents])?;
    let most = match format {
        Format::Lines => u64::MAX,
        _ => MOST_EVENTS,
    };
    let wanted = Wanted::of(names, request.uri(), most)?;
    if format == Format::Lines {
        return lines::stream(&app, caller, &wanted).await;
    }
    let page = Page::read(&app.store, &wanted, format).await?;
    app.metrics.read(page.count);
    Ok(page.answer(&wanted, format))
}

impl Wanted {
    fn of(names: Names, uri: &Uri, most: u64) -> Result<Self, Problem> {
        let mut query = Query::of(uri)?;
        let limit = match query.number("limit")? {
            Some(limit) if !(1..=most).contains(&limit) => {
                return Err(Problem::bad_request(format!(
                    "the query parameter `limit` is from 1 to {most}, and not {limit}"
                )));
            }
            limit => limit,
        };
        let direction = match query.one("direction")?.as_deref() {
            None | Some("forward") => Direction::Forward,
            Some("backward") => Direction::Backward,
            Some(other) => {
                return Err(Problem::bad_request(format!(
                    "the query parameter `direction` is `forward` or `backward`, and not {other:?}"
                )));
            }
        };
        let wanted = Self {
            after: query.number("after")?,
            up_to: query.number("upTo")?,
            limit,
            direction,
            filter: query.filter(names.stream.is_none())?,
            include_deleted: query.flag("includeDeleted")?,
            topic: names.topic,
            stream: names.stream,
        };
        query.finish()?;
        Ok(wanted)
    }

    /// The read, without its limit.
    fn unlimited(&self) -> Read {
        let mut read = match &self.stream {
            Some(stream) => Read::stream(stream),
            None => Read::all(),
        };
        read = match (&self.stream, self.after) {
            (_, None) => read,
            (Some(_), Some(after)) => read.after_version(Version::new(after)),
            (None, Some(after)) => read.after(Position::new(after)),
        };
        read = match (&self.stream, self.up_to) {
            (_, None) => read,
            (Some(_), Some(up_to)) => read.up_to_version(Version::new(up_to)),
            (None, Some(up_to)) => read.up_to(Position::new(up_to)),
        };
        if self.direction == Direction::Backward {
            read = read.backward();
        }
        if self.include_deleted {
            read = read.include_deleted();
        }
        read.filter(self.filter.clone())
    }

    /// The read of a stream of lines: without a limit unless one is given.
    pub(super) fn read(&self) -> Read {
        let read = self.unlimited();
        match self.limit {
            Some(limit) => read.limit(limit),
            None => read,
        }
    }

    fn page_limit(&self) -> u64 {
        self.limit.unwrap_or(USUAL_LIMIT)
    }

    /// The place of an event in what is read.
    fn place(&self, event: &RecordedEvent) -> u64 {
        match self.stream {
            Some(_) => event.version.get(),
            None => event.position.get(),
        }
    }

    /// A link to a read of the same events.
    fn link(&self, after: Option<u64>, up_to: Option<u64>, direction: Direction) -> String {
        let mut link = match &self.stream {
            Some(stream) => Link::to(["topics", &self.topic, "streams", stream, "events"]),
            None => Link::to(["topics", &self.topic, "events"]),
        };
        for (name, bound) in [("after", after), ("upTo", up_to), ("limit", self.limit)] {
            if let Some(bound) = bound {
                link = link.with(name, bound);
            }
        }
        if direction == Direction::Backward {
            link = link.with("direction", "backward");
        }
        link = link.with_filter(&self.filter);
        if self.include_deleted {
            link = link.with("includeDeleted", true);
        }
        link.into_string()
    }
}

/// A page, as it is written.
struct Page {
    /// The body, up to its last event.
    body: Vec<u8>,
    looked_to: Position,
    /// The place of the last event.
    last: Option<u64>,
    count: u64,
    more: bool,
}

impl Page {
    async fn read(store: &EventStore, wanted: &Wanted, format: Format) -> Result<Self, Problem> {
        let limit = wanted.page_limit();
        // One more than the limit tells that there are more.
        let read = wanted.unlimited().limit(limit.saturating_add(1));
        let mut reading = store.read_events(&wanted.topic, read);
        let opening: &[u8] = match format {
            Format::CloudEvents => b"[",
            _ => b"{\"events\":[",
        };
        let mut page = Self {
            body: opening.to_vec(),
            looked_to: Position::START,
            last: None,
            count: 0,
            more: false,
        };
        while let Some(event) = reading.try_next().await? {
            if page.count == limit || page.body.len() >= PAGE_BYTES {
                page.more = true;
                break;
            }
            if page.count > 0 {
                page.body.push(b',');
            }
            match format {
                Format::CloudEvents => cloud_events::write(&mut page.body, store, &event),
                _ => write_event(&mut page.body, &event),
            }
            page.looked_to = event.position;
            page.last = Some(wanted.place(&event));
            page.count += 1;
        }
        if !page.more {
            page.looked_to = reading.looked_to();
        }
        page.body.push(b']');
        Ok(page)
    }

    /// Where the read goes on in its direction, where there is more.
    fn next(&self, wanted: &Wanted) -> Option<String> {
        let last = self.last.filter(|_| self.more)?;
        Some(match wanted.direction {
            Direction::Forward => wanted.link(Some(last), wanted.up_to, Direction::Forward),
            Direction::Backward => wanted.link(
                wanted.after,
                Some(last.saturating_sub(1)),
                Direction::Backward,
            ),
        })
    }

    /// What is on the other side of where the read began, in the other direction.
    fn previous(wanted: &Wanted) -> Option<String> {
        match wanted.direction {
            Direction::Forward => {
                let after = wanted.after.filter(|after| *after > 0)?;
                Some(wanted.link(None, Some(after), Direction::Backward))
            }
            Direction::Backward => {
                let up_to = wanted.up_to?;
                Some(wanted.link(Some(up_to), None, Direction::Forward))
            }
        }
    }

    fn answer(mut self, wanted: &Wanted, format: Format) -> Response {
        let own = wanted.link(wanted.after, wanted.up_to, wanted.direction);
        let next = self.next(wanted);
        let previous = Self::previous(wanted);
        let mut headers = HeaderMap::new();
        if let Ok(links) = header_links(next.as_deref(), previous.as_deref()) {
            headers.insert(header::LINK, links);
        }
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if format == Format::CloudEvents {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(Format::CloudEvents.media_type()),
            );
            return (headers, Body::from(self.body)).into_response();
        }
        let links = serde_json::json!({ "self": own, "next": next, "previous": previous });
        let rest = format!(",\"lookedTo\":{},\"links\":{links}}}", self.looked_to);
        self.body.extend_from_slice(rest.as_bytes());
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(Format::Json.media_type()),
        );
        (headers, Body::from(self.body)).into_response()
    }
}

/// The links as a header (RFC 8288), for bodies that have no place for them.
fn header_links(
    next: Option<&str>,
    previous: Option<&str>,
) -> Result<HeaderValue, axum::http::header::InvalidHeaderValue> {
    let links = [("next", next), ("prev", previous)];
    let links: Vec<String> = links
        .iter()
        .filter_map(|(name, link)| Some(format!("<{}>; rel=\"{name}\"", (*link)?)))
        .collect();
    HeaderValue::try_from(links.join(", "))
}
