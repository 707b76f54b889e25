//! What a live subscriber asks for: from where on, and which events.

use axum::http::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::{EventFilter, Position, StreamId, Subscribe, Timestamp, server::problem::Problem};

/// The parameters that are known.
const KNOWN: &str = "after, type, tag, stream, streamPrefix, since, until";

/// What a live subscriber asks for.
#[derive(Clone, Debug)]
pub(super) struct LiveQuery {
    /// After which position it begins; none for "now".
    pub(super) after: Option<Position>,
    pub(super) stream: Option<String>,
    pub(super) filter: EventFilter,
}

impl LiveQuery {
    /// Reads the query, and `Last-Event-ID`, which wins: a client that comes back has the address that
    /// it began with.
    pub(super) fn new(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut found = Self {
            after: Some(Position::START),
            stream: None,
            filter: EventFilter::all(),
        };
        for (name, value) in pairs(query.unwrap_or_default())? {
            found.set(&name, value)?;
        }
        if let Some(id) = headers.get("last-event-id") {
            match id.to_str().map(str::trim) {
                Ok("") => {}
                Ok(id) => found.after = Some(position("Last-Event-ID", id)?),
                Err(_) => return Err(Problem::bad_request("`Last-Event-ID` is not text")),
            }
        }
        Ok(found)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let filter = std::mem::take(&mut self.filter);
        self.filter = match name {
            "after" => {
                self.after = if value == "now" {
                    None
                } else {
                    Some(position(name, &value)?)
                };
                filter
            }
            "type" => filter.types([value]),
            "tag" => filter.tags([value]),
            "stream" => filter.streams([value]),
            "streamPrefix" => filter.stream_prefix(value),
            "since" => filter.recorded_since(moment(name, &value)?),
            "until" => filter.recorded_until(moment(name, &value)?),
            _ => {
                return Err(Problem::bad_request(format!(
                    "the parameter {name:?} is not known here; there are {KNOWN}"
                )));
            }
        };
        Ok(())
    }

    /// Only events of this stream.
    pub(super) fn of_stream(&mut self, stream: &str) -> Result<(), Problem> {
        let stream = StreamId::new(stream)?;
        self.stream = Some(stream.as_str().to_owned());
        Ok(())
    }

    /// Whether all events are asked for.
    pub(super) fn is_all(&self) -> bool {
        self.stream.is_none() && self.filter.is_all()
    }

    /// The same as the store is asked for it, after this position.
    pub(super) fn subscribe(&self, after: Option<Position>) -> Subscribe {
        let from = after.map_or_else(Subscribe::from_now, Subscribe::after);
        let from = from.filter(self.filter.clone());
        match &self.stream {
            Some(stream) => from.stream(stream.clone()),
            None => from,
        }
    }
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Ok((decoded(name)?, decoded(value)?))
    };
    parts.map(pair).collect()
}

fn decoded(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| {
        Problem::bad_request(format!(
            "{text:?} in the query is not UTF-8 once it is decoded"
        ))
    })
}

fn position(name: &str, value: &str) -> Result<Position, Problem> {
    value.parse().map(Position::new).map_err(|_| {
        Problem::bad_request(format!(
            "`{name}` is a position (a number from 0 on), not {value:?}"
        ))
    })
}

fn moment(name: &str, value: &str) -> Result<Timestamp, Problem> {
    value.parse().map_err(|_| {
        Problem::bad_request(format!(
            "`{name}` is a moment such as 2026-11-21T14:20:00Z, not {value:?}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str, last: Option<&str>) -> Result<LiveQuery, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(last) = last {
            headers.insert("last-event-id", last.parse().unwrap());
        }
        LiveQuery::new(Some(text), &headers)
    }

    #[test]
    fn where_a_client_had_come_to_wins_over_where_it_began() {
        assert_eq!(
            query("after=7", None).unwrap().after,
            Some(Position::new(7))
        );
        assert_eq!(query("after=now", None).unwrap().after, None);
        let back = query("after=now", Some("9")).unwrap();
        assert_eq!(back.after, Some(Position::new(9)));
        assert_eq!(query("", Some("")).unwrap().after, Some(Position::START));
        for wrong in [
            "after=-1",
            "after=x",
            "since=yesterday",
            "typ=A",
            "after=%ff",
        ] {
            assert!(query(wrong, None).is_err(), "{wrong}");
        }
        assert!(query("", Some("x")).is_err());
    }

    #[test]
    fn what_is_repeated_adds_up() {
        let found = query("type=A&type=B+C&tag=x%3A1&streamPrefix=order-", None).unwrap();
        let expected = EventFilter::all()
            .types(["A", "B C"])
            .tags(["x:1"])
            .stream_prefix("order-");
        assert_eq!(found.filter, expected);
        assert!(!found.is_all() && query("after=3", None).unwrap().is_all());
    }
}
