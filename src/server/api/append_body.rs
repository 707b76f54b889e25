//! The body of an append: one event, an array of events, an envelope, or events as lines.

use serde::Deserialize;

use super::{body, expectation::Expected, filter::FilterDocument};
use crate::{
    EventFilter, ExpectedVersion, NewEvent, Position, json::NewEventDocument,
    server::problem::Problem,
};

/// What a body asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) events: Vec<NewEvent>,
    pub(super) streams: Streams,
    pub(super) expected: Option<ExpectedVersion>,
    pub(super) unless: Option<(EventFilter, Position)>,
}

/// Which streams the events of a body name.
#[derive(Debug)]
pub(super) enum Streams {
    /// There is no event yet.
    Unknown,
    /// All name none.
    Unnamed,
    /// All name this one.
    One(String),
    Several,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    events: Vec<NewEventDocument<'a>>,
    expected_version: Option<Expected>,
    unless: Option<Unless>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unless {
    filter: FilterDocument,
    after: u64,
}

impl Wanted {
    pub(super) const fn new() -> Self {
        Self {
            events: Vec::new(),
            streams: Streams::Unknown,
            expected: None,
            unless: None,
        }
    }

    /// Adds an event, which names this stream.
    pub(super) fn push(&mut self, event: NewEvent, stream: Option<&str>) {
        self.streams.add(stream);
        self.events.push(event);
    }

    fn push_document(&mut self, document: NewEventDocument<'_>) -> Result<(), Problem> {
        self.streams.add(document.stream.as_deref());
        self.events.push(document.into_event(self.events.len())?);
        Ok(())
    }
}

impl Streams {
    /// The one stream of all events, where there is one: the default stream where they name none.
    pub(super) fn common(&self) -> Option<&str> {
        match self {
            Self::Unknown | Self::Unnamed => Some(""),
            Self::One(stream) => Some(stream),
            Self::Several => None,
        }
    }

    fn add(&mut self, stream: Option<&str>) {
        match (&*self, stream) {
            (Self::Unknown, None) => *self = Self::Unnamed,
            (Self::Unknown, Some(stream)) => *self = Self::One(stream.to_owned()),
            (Self::Unnamed, None | Some("")) | (Self::Several, _) => {}
            (Self::One(known), Some(stream)) if known == stream => {}
            (Self::One(known), None) if known.is_empty() => {}
            _ => *self = Self::Several,
        }
    }
}

/// One event, an array of events, or an envelope.
pub(super) fn of_json(text: &[u8]) -> Result<Wanted, Problem> {
    let mut wanted = Wanted::new();
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        for document in body::parse::<Vec<NewEventDocument<'_>>>(text)? {
            wanted.push_document(document)?;
        }
        return Ok(wanted);
    }
    match serde_json::from_slice::<NewEventDocument<'_>>(text) {
        Ok(document) => wanted.push_document(document)?,
        Err(error) if is_of_envelope(&error) => {
            let envelope = body::parse::<Envelope<'_>>(text)?;
            for document in envelope.events {
                wanted.push_document(document)?;
            }
            wanted.expected = envelope.expected_version.map(|Expected(expected)| expected);
            wanted.unless = envelope
                .unless
                .map(|unless| (unless.filter.0, Position::new(unless.after)));
        }
        // It is said again, with the path.
        Err(_) => wanted.push_document(body::parse(text)?)?,
    }
    Ok(wanted)
}

/// Whether what is wrong with an event is that it is an envelope: seen at its first member.
fn is_of_envelope(error: &serde_json::Error) -> bool {
    let text = error.to_string();
    ["events", "expectedVersion", "unless"]
        .iter()
        .any(|member| text.starts_with(&format!("unknown field `{member}`")))
}

/// One event a line. Empty lines are passed over.
pub(super) fn of_lines(text: &[u8]) -> Result<Wanted, Problem> {
    let mut wanted = Wanted::new();
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1_u64..) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        // Of a line, the line in the body is told and not the one in itself.
        let document = body::parse::<NewEventDocument<'_>>(line)
            .map_err(|problem| problem.with("line", number))?;
        wanted.push_document(document)?;
    }
    Ok(wanted)
}
