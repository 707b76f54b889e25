//! Which of all events are shown.

use regex::{Regex, RegexBuilder};

use super::super::{
    answer::Refusal,
    asked::Asked,
    names::{shown_stream, shown_type},
};
use crate::RecordedEvent;

/// The most memory that a regular expression may take.
const MOST_REGEX_BYTES: usize = 1 << 20;

/// Which events are shown.
#[derive(Debug, Default)]
pub(super) struct Filter {
    on: On,
    test: Test,
    without_system_events: bool,
    /// The filter as it was asked for: the links of its pages have it too.
    pub(super) query: String,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug, Default)]
enum On {
    #[default]
    EventType,
    Stream,
}

#[derive(Debug, Default)]
enum Test {
    #[default]
    Everything,
    /// Begins with one of these.
    Prefixes(Vec<String>),
    Matches(Regex),
}

impl Filter {
    /// The filter that a request asks for.
    pub(super) fn of(asked: &Asked) -> Result<Self, Refusal> {
        let data = asked.query("data").filter(|data| !data.is_empty());
        let system = asked.query("exclude-system-events");
        let on = match asked
            .query("context")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None if data.is_none() => On::EventType,
            Some("eventtype") => On::EventType,
            Some("streamid") => On::Stream,
            _ => {
                return Err(Refusal::bad_request(
                    "Context must be either 'eventtype' or 'streamid'",
                ));
            }
        };
        let kind = asked.query("type").map(str::to_ascii_lowercase);
        let test = match (kind.as_deref(), data) {
            (None, None) => Test::Everything,
            (Some("prefix"), Some(data)) => {
                Test::Prefixes(data.split(',').map(str::to_owned).collect())
            }
            (Some("regex"), Some(data)) => Test::Matches(expression(data)?),
            _ => {
                return Err(Refusal::bad_request(
                    "Type must be either 'prefix' or 'regex', and data is what to look for",
                ));
            }
        };
        Ok(Self {
            on,
            test,
            without_system_events: system.is_some_and(|value| !value.eq_ignore_ascii_case("false")),
            query: asked.encoded_query(&["context", "type", "data", "exclude-system-events"]),
        })
    }

    pub(super) fn admits(&self, event: &RecordedEvent) -> bool {
        let event_type = shown_type(event.event_type.as_str());
        if self.without_system_events && event_type.starts_with('$') {
            return false;
        }
        let text = match self.on {
            On::EventType => &*event_type,
            On::Stream => shown_stream(event.stream.as_str()),
        };
        match &self.test {
            Test::Everything => true,
            Test::Prefixes(prefixes) => prefixes.iter().any(|prefix| text.starts_with(prefix)),
            Test::Matches(expression) => expression.is_match(text),
        }
    }
}

fn expression(text: &str) -> Result<Regex, Refusal> {
    let mut builder = RegexBuilder::new(text);
    builder
        .size_limit(MOST_REGEX_BYTES)
        .dfa_size_limit(MOST_REGEX_BYTES);
    builder
        .build()
        .map_err(|_| Refusal::bad_request("The regular expression is malformed, or too large"))
}
