//! What a request says beside its path and its body: headers of both families, the query, and where
//! the client believes the server to be.

use std::{borrow::Cow, convert::Infallible, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::{
    answer::Refusal,
    urls::{Base, encoded},
};
use crate::server::state::App;

/// The longest that a long poll waits, whatever it asks for.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// A request's headers and query.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    headers: HeaderMap,
    query: Vec<(String, String)>,
    pub(super) base: Base,
}

/// The version that a write expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Any,
    NoStream,
    StreamExists,
    /// The number of the last event.
    Number(u64),
}

/// How much of an event a feed's entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Embed {
    None,
    Content,
    Rich,
    Body,
    Pretty,
    TryHarder,
}

impl Asked {
    /// A parameter of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// These parameters of the query, as a query; nothing where there are none.
    pub(super) fn encoded_query(&self, names: &[&str]) -> String {
        let mut query = String::new();
        for (name, value) in &self.query {
            if names.contains(&name.as_str()) {
                let separator = if query.is_empty() { '?' } else { '&' };
                query.push_str(&format!("{separator}{name}={}", encoded(value)));
            }
        }
        query
    }

    /// A header of HTTP's own.
    pub(super) fn plain_header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the request has credentials: what is answered to it is not for others then.
    pub(super) fn is_authorized(&self) -> bool {
        self.headers.contains_key(header::AUTHORIZATION)
    }

    pub(super) fn embed(&self) -> Embed {
        match self.query("embed").map(str::to_ascii_lowercase).as_deref() {
            Some("content") => Embed::Content,
            Some("rich") => Embed::Rich,
            Some("body") => Embed::Body,
            Some("pretty" | "prettybody") => Embed::Pretty,
            Some("tryharder") => Embed::TryHarder,
            _ => Embed::None,
        }
    }

    /// The id of a single event.
    pub(super) fn event_id(&self) -> Result<Option<Uuid>, Refusal> {
        self.parsed(&["eventid"], "EventId", |text| {
            Uuid::parse_str(text).ok().filter(|id| !id.is_nil())
        })
    }

    /// The type of events whose body has none.
    pub(super) fn event_type(&self) -> Option<String> {
        let bytes = self.family(&["eventtype"])?;
        let text = str::from_utf8(bytes).ok()?;
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    pub(super) fn expected(&self) -> Result<Expected, Refusal> {
        let expected = self.parsed(&["expectedversion"], "ExpectedVersion", |text| {
            match text.trim().parse::<i64>().ok()? {
                -4 => Some(Expected::StreamExists),
                -2 => Some(Expected::Any),
                -1 => Some(Expected::NoStream),
                number => u64::try_from(number).ok().map(Expected::Number),
            }
        })?;
        Ok(expected.unwrap_or(Expected::Any))
    }

    pub(super) fn hard_delete(&self) -> Result<bool, Refusal> {
        let hard = self.parsed(&["harddelete"], "HardDelete", boolean)?;
        Ok(hard.unwrap_or(false))
    }

    /// How long to wait where there is nothing new.
    pub(super) fn long_poll(&self) -> Result<Option<Duration>, Refusal> {
        let seconds = self.parsed(&["longpoll"], "LongPoll", |text| {
            text.trim()
                .parse::<u64>()
                .ok()
                .filter(|seconds| *seconds > 0)
        })?;
        Ok(seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_POLL)))
    }

    /// Refuses what is malformed in headers that change nothing here: every server is a leader, and
    /// links are always resolved.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        self.parsed(
            &["requireleader", "requiremaster"],
            "RequireLeader",
            boolean,
        )?;
        self.parsed(&["resolvelinktos"], "ResolveLinkTos", boolean)?;
        Ok(())
    }

    fn parsed<T>(
        &self,
        names: &[&str],
        shown: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.family(names) else {
            return Ok(None);
        };
        let parsed = str::from_utf8(value).ok().and_then(parse);
        parsed.map(Some).ok_or_else(|| {
            Refusal::bad_request(&format!("Kurrent-{shown} header in wrong format."))
        })
    }

    /// A header of EventStoreDB's own, by its newer name or its older one.
    fn family(&self, names: &[&str]) -> Option<&[u8]> {
        let families = ["kurrent-", "es-"];
        let mut found = families.iter().flat_map(|family| {
            let names = names.iter().map(move |name| format!("{family}{name}"));
            names.filter_map(|name| self.headers.get(name))
        });
        found.next().map(|value| value.as_bytes())
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let spaced: Cow<'_, str> = text.replace('+', " ").into();
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

impl FromRequestParts<App> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Infallible> {
        Ok(Self {
            query: pairs(parts.uri.query().unwrap_or("")),
            base: Base::of(parts),
            headers: parts.headers.clone(),
        })
    }
}
