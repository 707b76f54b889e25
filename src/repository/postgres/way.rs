//! The ways to read a topic, and the statement of each. Every one goes along an index.

use super::{names::TopicNames, rows::COLUMNS};
use crate::models::StreamId;

/// What a read goes by.
#[derive(Clone, Debug, Default)]
pub(super) enum Way {
    /// All events of the span.
    #[default]
    Scan,
    /// Nothing can match.
    Nothing,
    /// The events of one stream: those after one version and up to another.
    Stream(StreamId, u64, u64),
    /// Events that have one of these keys.
    Keys(Keys),
}

/// Keys one of which every event that matches has.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    pub(super) types: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) streams: Vec<String>,
}

impl Way {
    /// The statement for the next rows: `$1` and `$2` bound the span, `$3` is the most rows and
    /// `$4` the most bytes.
    pub(super) fn sql(&self, names: &TopicNames, backward: bool) -> String {
        let direction = if backward { "DESC" } else { "ASC" };
        match self {
            Self::Scan | Self::Nothing | Self::Stream(..) => {
                let (page, number) = self.page(names, backward);
                format!("SELECT {COLUMNS} FROM ({page}) e ORDER BY e.{number} {direction}")
            }
            Self::Keys(_) => keys_sql(names, direction),
        }
    }

    /// The statement for the first rows, and behind the columns of each the state of the topic and of
    /// the stream. Where there are no rows, there is one with the state alone.
    pub(super) fn sql_with_state(&self, names: &TopicNames, backward: bool) -> String {
        let (page, _) = self.page(names, backward);
        let state = names.function("state");
        let stream = match self {
            Self::Stream(..) => "$5",
            _ => "NULL",
        };
        format!(
            "SELECT {COLUMNS}, s.sealed, s.head, s.version, s.deleted \
             FROM {state}({stream}) s LEFT JOIN LATERAL ({page}) e ON true"
        )
    }

    /// A page of everything, or of a stream, and by which column it goes.
    ///
    /// Where the page ends is found out first: mostly the sizes of the rows just have to be added up.
    fn page(&self, names: &TopicNames, backward: bool) -> (String, &'static str) {
        let (of_stream, number) = match self {
            Self::Stream(..) => ("e.stream = $5 AND ", "version"),
            _ => ("", "position"),
        };
        let (direction, last, up_to) = if backward {
            ("DESC", "min", ">=")
        } else {
            ("ASC", "max", "<=")
        };
        let events = &names.events;
        let span = format!("FROM {events} e WHERE {of_stream}e.{number} > $1 AND e.{number} <= $2");
        let sizes = format!(
            "SELECT e.{number} AS number, e.size {span} ORDER BY e.{number} {direction} LIMIT $3"
        );
        let end = format!(
            "SELECT CASE WHEN sum(s.size) <= $4 THEN {last}(s.number) ELSE (\
             SELECT {last}(b.number) FROM (\
             SELECT s.number, s.size, sum(s.size) OVER (ORDER BY s.number {direction} ROWS UNBOUNDED PRECEDING) AS bytes \
             FROM ({sizes}) s) b WHERE b.bytes <= $4 OR b.bytes = b.size) END FROM ({sizes}) s"
        );
        let page = format!(
            "SELECT e.* {span} AND e.{number} {up_to} ({end}) ORDER BY e.{number} {direction} LIMIT $3"
        );
        (page, number)
    }
}

/// The statement for the next rows that have one of some keys. Behind the columns of each stands how many
/// rows there were before those that are too many bytes were left out.
fn keys_sql(names: &TopicNames, direction: &str) -> String {
    let (events, tags) = (&names.events, &names.tags);
    let version_at = names.function("version_at");
    let found = format!(
        "SELECT e.* FROM (SELECT p.position FROM (\
         SELECT p.position FROM unnest($5::text[]) k(key) CROSS JOIN LATERAL (\
         SELECT e.position FROM {events} e WHERE e.type = k.key AND e.position > $1 AND e.position <= $2 \
         ORDER BY e.position {direction} LIMIT $3) p \
         UNION \
         SELECT p.position FROM unnest($6::text[]) k(key) CROSS JOIN LATERAL (\
         SELECT t.position FROM {tags} t WHERE t.tag = k.key AND t.position > $1 AND t.position <= $2 \
         ORDER BY t.position {direction} LIMIT $3) p \
         UNION \
         SELECT p.position FROM (SELECT k.key, {version_at}(k.key, $1) AS low, {version_at}(k.key, $2) AS high \
         FROM unnest($7::text[]) k(key) OFFSET 0) k CROSS JOIN LATERAL (\
         SELECT e.position FROM {events} e WHERE e.stream = k.key AND e.version > k.low AND e.version <= k.high \
         ORDER BY e.version {direction} LIMIT $3) p\
         ) p ORDER BY p.position {direction} LIMIT $3) c CROSS JOIN LATERAL (\
         SELECT e.* FROM {events} e WHERE e.position = c.position OFFSET 0) e"
    );
    format!(
        "SELECT {COLUMNS}, e.candidates FROM (\
         SELECT e.*, sum(e.size) OVER (ORDER BY e.position {direction} ROWS UNBOUNDED PRECEDING) AS bytes, \
         count(*) OVER () AS candidates FROM ({found}) e) e \
         WHERE e.bytes <= $4 OR e.bytes = e.size ORDER BY e.position {direction}"
    )
}
