//! The query of a request. A parameter that nobody asked for is refused: a misspelt one would be lost.

use std::{borrow::Cow, fmt::Write as _, str::FromStr};

use axum::http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{EventFilter, Timestamp, server::problem::Problem};

/// What is encoded in a path's segment or a query's value.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The parameters that have not been asked for yet.
#[derive(Debug)]
pub(in crate::server) struct Query<'a> {
    left: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    known: Vec<&'static str>,
}

impl<'a> Query<'a> {
    pub(in crate::server) fn of(uri: &'a Uri) -> Result<Self, Problem> {
        let text = uri.query().unwrap_or_default();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let left = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        Ok(Self {
            left: left.collect::<Result<_, Problem>>()?,
            known: Vec::new(),
        })
    }

    /// A parameter that is given once, or not at all.
    pub(in crate::server) fn one(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Cow<'a, str>>, Problem> {
        let mut found = self.all(name);
        let first = found.pop();
        if found.is_empty() {
            return Ok(first);
        }
        Err(Problem::bad_request(format!(
            "the query parameter `{name}` is given more than once"
        )))
    }

    /// All values of a parameter that may be repeated.
    pub(in crate::server) fn all(&mut self, name: &'static str) -> Vec<Cow<'a, str>> {
        self.known.push(name);
        let mut found = Vec::new();
        self.left.retain_mut(|(own, value)| {
            let wanted = own == name;
            if wanted {
                found.push(std::mem::take(value));
            }
            !wanted
        });
        found
    }

    /// A parameter that is a number, a moment …
    pub(in crate::server) fn parsed<T: FromStr>(
        &mut self,
        name: &'static str,
        what: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.one(name)? else {
            return Ok(None);
        };
        match value.parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(Problem::bad_request(format!(
                "the query parameter `{name}` is {what}, and not {value:?}"
            ))),
        }
    }

    /// A position, a version or a count.
    pub(in crate::server) fn number(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.parsed(name, "a whole number from 0 on")
    }

    /// A count of 1 up to `most`, or `usual`.
    pub(in crate::server) fn limit(&mut self, usual: u64, most: u64) -> Result<u64, Problem> {
        let limit = self.number("limit")?.unwrap_or(usual);
        if (1..=most).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::bad_request(format!(
            "the query parameter `limit` is from 1 to {most}, and not {limit}"
        )))
    }

    /// Whether something is to be so; `true` or `false`.
    pub(in crate::server) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        Ok(self.parsed(name, "`true` or `false`")?.unwrap_or(false))
    }

    /// What events are: `type`, `tag`, `stream`, `streamPrefix`. Streams only where not one of them is
    /// read.
    pub(in crate::server) fn criteria(&mut self, streams: bool) -> Result<EventFilter, Problem> {
        let mut filter = EventFilter::all()
            .types(self.all("type"))
            .tags(self.all("tag"));
        if streams {
            filter = filter.streams(self.all("stream"));
            if let Some(prefix) = self.one("streamPrefix")? {
                filter = filter.stream_prefix(prefix);
            }
        }
        Ok(filter)
    }

    /// The filter of a read: [`Self::criteria`], `since` and `until`.
    pub(in crate::server) fn filter(&mut self, streams: bool) -> Result<EventFilter, Problem> {
        let mut filter = self.criteria(streams)?;
        let moment = "a moment (RFC 3339)";
        if let Some(since) = self.parsed::<Timestamp>("since", moment)? {
            filter = filter.recorded_since(since);
        }
        if let Some(until) = self.parsed::<Timestamp>("until", moment)? {
            filter = filter.recorded_until(until);
        }
        Ok(filter)
    }

    /// Refuses what was not asked for.
    pub(in crate::server) fn finish(&mut self) -> Result<(), Problem> {
        let Some((unknown, _)) = self.left.first() else {
            return Ok(());
        };
        let known = match self.known.as_slice() {
            [] => "this request takes none".to_owned(),
            known => format!("this request takes `{}`", known.join("`, `")),
        };
        Err(
            Problem::bad_request(format!("unknown query parameter `{unknown}`; {known}"))
                .with("parameter", unknown.as_ref()),
        )
    }
}

/// Refuses a query where there is to be none.
pub(in crate::server) fn none(uri: &Uri) -> Result<(), Problem> {
    if uri.query().is_none() {
        return Ok(());
    }
    Query::of(uri)?.finish()
}

fn decoded(text: &str) -> Result<Cow<'_, str>, Problem> {
    let malformed = |_| Problem::bad_request("the query is not UTF-8, percent-encoded");
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8();
        return Ok(Cow::Owned(decoded.map_err(malformed)?.into_owned()));
    }
    percent_decode_str(text).decode_utf8().map_err(malformed)
}

/// A link within the server: a path, and a query that is built.
#[derive(Clone, Debug)]
pub(in crate::server) struct Link(String);

impl Link {
    /// A path of percent-encoded segments below `/api/v1`.
    pub(in crate::server) fn to<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut path = "/api/v1".to_owned();
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, RESERVED));
        }
        Self(path)
    }

    /// With this parameter.
    #[must_use]
    pub(in crate::server) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let mark = if self.0.contains('?') { '&' } else { '?' };
        let value = value.to_string();
        let value = utf8_percent_encode(&value, RESERVED);
        // Writing to memory has no way to fail.
        write!(self.0, "{mark}{name}={value}").unwrap_or(());
        self
    }

    /// With the parameters that [`Query::filter`] reads.
    #[must_use]
    pub(in crate::server) fn with_filter(mut self, filter: &EventFilter) -> Self {
        for item in filter.items() {
            let lists = [
                ("type", &item.types),
                ("tag", &item.tags),
                ("stream", &item.streams),
            ];
            for (name, values) in lists {
                for value in values {
                    self = self.with(name, value);
                }
            }
            if let Some(prefix) = &item.stream_prefix {
                self = self.with("streamPrefix", prefix);
            }
            for (name, moment) in [("since", item.since), ("until", item.until)] {
                if let Some(moment) = moment {
                    self = self.with(name, moment);
                }
            }
        }
        self
    }

    pub(in crate::server) fn into_string(self) -> String {
        self.0
    }
}
