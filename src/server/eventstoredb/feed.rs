//! Feeds: pages of events with links to what is before and after, and how long they may be kept.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::{
    answer::{Refusal, plain},
    asked::Asked,
    entry::{AUTHOR, Author, Entry, Link, Shown},
    media_type::Form,
    urls::StreamUrls,
};
use crate::Error;

/// When an empty feed was updated.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A page of events, the newest first.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) title: String,
    /// The stream's name.
    pub(super) stream: String,
    /// The addresses of the stream, which the links begin with.
    pub(super) urls: StreamUrls,
    pub(super) events: Vec<Shown>,
    /// Whether nothing is newer.
    pub(super) is_head: bool,
    /// Where pages begin: `first`, `last`, `next` and `previous`, below the stream.
    pub(super) links: Vec<(&'static str, String)>,
    /// What the page was made of: the same tag, the same page.
    pub(super) tag: Option<Tag>,
    pub(super) holds: Holds,
}

/// What tells a page from later ones of the same address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    /// The number of the stream's last event.
    pub(super) last: u64,
    /// How often the stream's metadata was written.
    pub(super) metadata: u64,
}

/// How long an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// What it shows never changes.
    Always,
    /// There may be more at any moment; the stream's metadata may say for how long nobody minds.
    Seconds(Option<u64>),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Feed<'a> {
    title: String,
    id: String,
    updated: String,
    stream_id: &'a str,
    author: Author,
    head_of_stream: bool,
    self_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    e_tag: Option<&'a str>,
    links: Vec<Link>,
    entries: Vec<Entry<'a>>,
}

impl Tag {
    /// The tag of an answer in this form.
    pub(super) fn text(self, form: Form) -> String {
        let mut hash = Fnv::default();
        hash.write(form.content_type().as_bytes());
        hash.write(&self.metadata.to_le_bytes());
        format!("{};{}", self.last, hash.0)
    }
}

/// FNV-1a: the same in every process, and nobody has to be kept from guessing it.
struct Fnv(u32);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

impl Page {
    /// The page as a feed, or that it is as the client knows it.
    pub(super) fn answer(&self, asked: &Asked, form: Form) -> Result<Response, Refusal> {
        let tag = self.tag.map(|tag| tag.text(form));
        if is_known(asked, tag.as_deref()) {
            return Ok(plain(StatusCode::NOT_MODIFIED, "Not Modified"));
        }
        let embed = asked.embed();
        let itself = self.urls.itself();
        let links = self.links.iter().map(|(relation, below)| Link {
            uri: self.urls.below(below),
            relation,
        });
        let own = Link {
            uri: itself.clone(),
            relation: "self",
        };
        let newest = self.events.first();
        let feed = Feed {
            title: self.title.clone(),
            id: itself.clone(),
            updated: newest.map_or(NEVER.to_owned(), |shown| {
                shown.event.recorded_at.to_string()
            }),
            stream_id: &self.stream,
            author: AUTHOR,
            head_of_stream: self.is_head,
            self_url: itself,
            e_tag: tag.as_deref(),
            links: std::iter::once(own).chain(links).collect(),
            entries: self.events.iter().map(|shown| shown.entry(embed)).collect(),
        };
        document(asked, form, &feed, tag.as_deref(), self.holds)
    }
}

/// Whether the client has what it would be answered.
pub(super) fn is_known(asked: &Asked, tag: Option<&str>) -> bool {
    let known = asked.plain_header(header::IF_NONE_MATCH).unwrap_or("");
    let mut known = known
        .split(',')
        .map(|one| one.trim().trim_start_matches("W/"));
    tag.is_some_and(|tag| known.any(|one| one.trim_matches('"') == tag))
}

/// An answer with a JSON document.
pub(super) fn document(
    asked: &Asked,
    form: Form,
    document: &impl Serialize,
    tag: Option<&str>,
    holds: Holds,
) -> Result<Response, Refusal> {
    let body = serde_json::to_vec(document).map_err(|error| Error::Serialization {
        what: "an answer to JSON".to_owned(),
        source: Box::new(error),
    })?;
    Ok(bytes(asked, form.content_type(), body, tag, holds))
}

/// An answer with any body.
pub(super) fn bytes(
    asked: &Asked,
    content_type: &str,
    body: impl Into<Body>,
    tag: Option<&str>,
    holds: Holds,
) -> Response {
    let whose = if asked.is_authorized() {
        "private"
    } else {
        "public"
    };
    let cache = match holds {
        Holds::Always => format!("max-age=31536000, {whose}"),
        Holds::Seconds(Some(seconds)) => format!("max-age={seconds}, {whose}"),
        Holds::Seconds(None) => "max-age=0, no-cache, must-revalidate".to_owned(),
    };
    let mut response = body.into().into_response();
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    let tag = tag.map(|tag| format!("\"{tag}\""));
    for (name, value) in [
        (header::CONTENT_TYPE, Some(content_type)),
        (header::CACHE_CONTROL, Some(cache.as_str())),
        (header::ETAG, tag.as_deref()),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}
