//! Which form a client asks for, and in which form it sends.

use axum::http::{StatusCode, header};

use super::{answer::Refusal, asked::Asked};

/// A form in which something is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A feed, or an event as an entry of one.
    Atom(Family),
    /// An event with what is known of it.
    Event(Family),
    /// A feed; of an event, its data alone.
    Json,
    /// An event's data as the bytes that it has.
    Bytes,
    /// Which forms there are.
    Description(Family),
    Text,
}

/// Whose name a media type has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    EventStore,
    Kurrent,
}

/// A form in which events are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// An array of events.
    Events,
    /// The data of one event, which is JSON.
    Json,
    /// The data of one event, which is something else.
    Bytes(String),
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Atom(Family::EventStore) => "application/vnd.eventstore.atom+json",
            Self::Atom(Family::Kurrent) => "application/vnd.kurrent.atom+json",
            Self::Event(Family::EventStore) => "application/vnd.eventstore.event+json",
            Self::Event(Family::Kurrent) => "application/vnd.kurrent.event+json",
            Self::Json => "application/json",
            Self::Bytes => "application/octet-stream",
            Self::Description(Family::EventStore) => "application/vnd.eventstore.streamdesc+json",
            Self::Description(Family::Kurrent) => "application/vnd.kurrent.streamdesc+json",
            Self::Text => "text/plain",
        }
    }

    /// The header's value.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Atom(Family::EventStore) => "application/vnd.eventstore.atom+json; charset=utf-8",
            Self::Atom(Family::Kurrent) => "application/vnd.kurrent.atom+json; charset=utf-8",
            Self::Event(Family::EventStore) => {
                "application/vnd.eventstore.event+json; charset=utf-8"
            }
            Self::Event(Family::Kurrent) => "application/vnd.kurrent.event+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::Bytes => "application/octet-stream",
            Self::Description(Family::EventStore) => {
                "application/vnd.eventstore.streamdesc+json; charset=utf-8"
            }
            Self::Description(Family::Kurrent) => {
                "application/vnd.kurrent.streamdesc+json; charset=utf-8"
            }
            Self::Text => "text/plain; charset=utf-8",
        }
    }
}

/// The form of a description, where none is asked for.
pub(super) const DESCRIPTION: Form = Form::Description(Family::EventStore);

/// The forms of a feed, that for anything first.
pub(super) const FEED: &[Form] = &[
    Form::Atom(Family::EventStore),
    Form::Atom(Family::Kurrent),
    Form::Json,
];

/// The forms of an event.
pub(super) const EVENT: &[Form] = &[
    Form::Atom(Family::EventStore),
    Form::Atom(Family::Kurrent),
    Form::Event(Family::EventStore),
    Form::Event(Family::Kurrent),
    Form::Json,
    Form::Bytes,
];

/// The forms of what is only said.
pub(super) const SAID: &[Form] = &[Form::Json, Form::Text];

/// The form, of those that there are, that a client likes best.
pub(super) fn accepted(asked: &Asked, forms: &[Form]) -> Result<Form, Refusal> {
    if let Some(format) = asked.query("format") {
        let json = forms.iter().find(|form| **form == Form::Json);
        let wanted = json.filter(|_| format.eq_ignore_ascii_case("json"));
        return wanted.copied().ok_or_else(not_acceptable);
    }
    let Some(accept) = asked.plain_header(header::ACCEPT) else {
        return forms.first().copied().ok_or_else(not_acceptable);
    };
    let wanted = by_preference(accept);
    let mut found = wanted.iter().filter_map(|range| {
        let fits = |form: &&Form| match *range {
            "*/*" => true,
            "application/*" => form.media_type().starts_with("application/"),
            range => form.media_type().eq_ignore_ascii_case(range),
        };
        forms.iter().find(fits)
    });
    found.next().copied().ok_or_else(not_acceptable)
}

/// Whether anything is taken: then a stream is answered with the forms that it has.
pub(super) fn takes_anything(asked: &Asked) -> bool {
    if asked.query("format").is_some() {
        return false;
    }
    let accept = asked.plain_header(header::ACCEPT).unwrap_or("*/*");
    by_preference(accept)
        .first()
        .is_none_or(|first| *first == "*/*")
}

/// The description of a stream, where it is asked for.
pub(super) fn describes(asked: &Asked) -> Option<Form> {
    let accept = asked.plain_header(header::ACCEPT)?;
    let first = *by_preference(accept).first()?;
    [Family::EventStore, Family::Kurrent]
        .map(Form::Description)
        .into_iter()
        .find(|form| form.media_type().eq_ignore_ascii_case(first))
}

/// The form of a body.
pub(super) fn sent(asked: &Asked) -> Result<Sent, Refusal> {
    let whole = asked.plain_header(header::CONTENT_TYPE).unwrap_or("");
    let media_type = whole.split(';').next().unwrap_or("").trim();
    match media_type.to_ascii_lowercase().as_str() {
        "application/vnd.eventstore.events+json"
        | "application/vnd.eventstore.event+json"
        | "application/vnd.kurrent.events+json"
        | "application/vnd.kurrent.event+json" => Ok(Sent::Events),
        "application/json" => Ok(Sent::Json),
        "application/octet-stream" | "application/xml" | "text/xml" => {
            Ok(Sent::Bytes(media_type.to_ascii_lowercase()))
        }
        _ => Err(unsupported()),
    }
}

/// The body is in a form that is not taken.
pub(super) fn unsupported() -> Refusal {
    Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Invalid or missing Content-Type",
    )
}

pub(super) fn not_acceptable() -> Refusal {
    Refusal::new(
        StatusCode::NOT_ACCEPTABLE,
        "Requested URI is not available in requested format",
    )
}

/// The media ranges of an `Accept`, the best first; those with `q=0` are not wanted.
fn by_preference(accept: &str) -> Vec<&str> {
    let mut ranges: Vec<(u16, &str)> = Vec::new();
    for part in accept.split(',') {
        let mut pieces = part.split(';').map(str::trim);
        let range = pieces.next().unwrap_or("");
        let quality = pieces
            .find_map(|piece| piece.strip_prefix("q="))
            .and_then(|quality| quality.parse::<f32>().ok())
            .map_or(1000, |quality| (quality.clamp(0.0, 1.0) * 1000.0) as u16);
        if !range.is_empty() && quality > 0 {
            ranges.push((quality, range));
        }
    }
    ranges.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    ranges.into_iter().map(|(_, range)| range).collect()
}
