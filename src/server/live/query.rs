//! What a live subscriber asks for: from where on, and which events.

use axum::http::{HeaderMap, Uri};

use crate::{
    EventFilter, Position, StreamId, Subscribe,
    server::{api::query::Query, problem::Problem},
};

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
    pub(super) fn new(
        uri: &Uri,
        headers: &HeaderMap,
        stream: Option<String>,
    ) -> Result<Self, Problem> {
        if let Some(stream) = &stream {
            StreamId::new(stream)?;
        }
        let mut query = Query::of(uri)?;
        let mut after = match query.one("after")?.as_deref() {
            None => Some(Position::START),
            Some("now") => None,
            Some(text) => Some(position("after", text)?),
        };
        let filter = query.filter(stream.is_none())?;
        query.finish()?;
        if let Some(id) = headers.get("last-event-id") {
            match id.to_str().map(str::trim) {
                Ok("") => {}
                Ok(id) => after = Some(position("Last-Event-ID", id)?),
                Err(_) => return Err(Problem::bad_request("`Last-Event-ID` is not text")),
            }
        }
        Ok(Self {
            after,
            stream,
            filter,
        })
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

fn position(name: &str, value: &str) -> Result<Position, Problem> {
    value.parse().map(Position::new).map_err(|_| {
        Problem::bad_request(format!(
            "`{name}` is a position (a number from 0 on), not {value:?}"
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
        let uri = format!("/live?{text}").parse().unwrap();
        LiveQuery::new(&uri, &headers, None)
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
