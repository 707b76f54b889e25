//! An event as it stands in a feed, and by itself.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    asked::Embed,
    names::{shown_stream, shown_type},
    numbers::number_of,
    pretty::pretty,
    urls::StreamUrls,
};
use crate::RecordedEvent;

/// Who is named as the author of feeds and entries.
pub(super) const AUTHOR: Author = Author { name: "Annals" };

/// An event that is shown, and the link that led to it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) event: RecordedEvent,
    pub(super) link: Option<RecordedEvent>,
    /// The addresses of the event's stream.
    pub(super) urls: StreamUrls,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Author {
    name: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Link {
    pub(super) uri: String,
    pub(super) relation: &'static str,
}

/// An event as an entry of a feed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    rich: Option<Rich<'a>>,
    title: String,
    id: String,
    updated: String,
    author: Author,
    summary: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Document<'a>>,
    links: [Link; 2],
}

/// What an entry has beside what every entry has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rich<'a> {
    event_id: Uuid,
    event_type: Cow<'a, str>,
    event_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta_data: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_meta_data: Option<Cow<'a, str>>,
    stream_id: &'a str,
    is_json: bool,
    is_meta_data: bool,
    is_link_meta_data: bool,
    position_event_number: u64,
    position_stream_id: &'a str,
}

/// An event with what is known of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    event_stream_id: &'a str,
    event_number: u64,
    event_type: Cow<'a, str>,
    event_id: Uuid,
    data: Json<'a>,
    metadata: Json<'a>,
}

/// Bytes in a document: as the JSON that they are, or else as text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Json<'a> {
    Json(&'a RawValue),
    Text(Cow<'a, str>),
}

impl Shown {
    /// What stands in the feed: the link, where one led here.
    fn position(&self) -> &RecordedEvent {
        self.link.as_ref().unwrap_or(&self.event)
    }

    /// The event as an entry.
    pub(super) fn entry(&self, embed: Embed) -> Entry<'_> {
        let event = &self.event;
        let number = number_of(event);
        let url = self.urls.below(number);
        let link = |relation| Link {
            uri: url.clone(),
            relation,
        };
        Entry {
            rich: (embed >= Embed::Rich).then(|| self.rich(embed)),
            title: format!("{number}@{}", shown_stream(event.stream.as_str())),
            updated: event.recorded_at.to_string(),
            author: AUTHOR,
            summary: shown_type(event.event_type.as_str()),
            content: (embed == Embed::Content && is_json(event)).then(|| self.document()),
            links: [link("edit"), link("alternate")],
            id: url,
        }
    }

    /// The event as an entry of its own, which has all of it.
    pub(super) fn whole_entry(&self) -> Entry<'_> {
        self.entry(Embed::Content)
    }

    /// The event by itself.
    pub(super) fn document(&self) -> Document<'_> {
        let event = &self.event;
        Document {
            event_stream_id: shown_stream(event.stream.as_str()),
            event_number: number_of(event),
            event_type: shown_type(event.event_type.as_str()),
            event_id: event.id,
            data: json(&event.payload, is_json(event)),
            metadata: json(&event.metadata, true),
        }
    }

    /// Whether the event's data alone is a JSON document.
    pub(super) fn has_json(&self) -> bool {
        let payload = &self.event.payload;
        is_json(&self.event) && serde_json::from_slice::<&RawValue>(payload).is_ok()
    }

    fn rich(&self, embed: Embed) -> Rich<'_> {
        let (event, position) = (&self.event, self.position());
        let json = is_json(event);
        let with_data = embed >= Embed::Body && json || embed == Embed::TryHarder;
        let with_metadata = embed >= Embed::Body;
        Rich {
            event_id: event.id,
            event_type: shown_type(event.event_type.as_str()),
            event_number: number_of(event),
            data: with_data
                .then(|| shown_text(&event.payload, embed))
                .flatten(),
            meta_data: with_metadata
                .then(|| shown_text(&event.metadata, embed))
                .flatten(),
            link_meta_data: self
                .link
                .as_ref()
                .filter(|_| with_metadata)
                .and_then(|link| shown_text(&link.metadata, embed)),
            stream_id: shown_stream(event.stream.as_str()),
            is_json: json,
            is_meta_data: !event.metadata.is_empty(),
            is_link_meta_data: self
                .link
                .as_ref()
                .is_some_and(|link| !link.metadata.is_empty()),
            position_event_number: number_of(position),
            position_stream_id: shown_stream(position.stream.as_str()),
        }
    }
}

/// Whether the event's data is said to be JSON.
fn is_json(event: &RecordedEvent) -> bool {
    event.content_type.is_json()
}

/// Bytes as text; none where there are none, or where they are no text.
fn shown_text(bytes: &[u8], embed: Embed) -> Option<Cow<'_, str>> {
    let text = str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    if embed >= Embed::Pretty && serde_json::from_str::<&RawValue>(text).is_ok() {
        return Some(pretty(text).into());
    }
    Some(text.into())
}

fn json(bytes: &[u8], is_json: bool) -> Json<'_> {
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) if is_json => Json::Json(raw),
        _ => Json::Text(String::from_utf8_lossy(bytes)),
    }
}
