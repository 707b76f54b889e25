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
        let (events, tags) = (&names.events, &names.tags);
        let found = match self {
            Self::Scan | Self::Nothing => format!(
                "SELECT e.* FROM {events} e WHERE e.position > $1 AND e.position <= $2 \
                 ORDER BY e.position {direction} LIMIT $3"
            ),
            Self::Stream(..) => format!(
                "SELECT e.* FROM {events} e WHERE e.stream = $5 AND e.version > $1 AND e.version <= $2 \
                 ORDER BY e.version {direction} LIMIT $3"
            ),
            Self::Keys(_) => {
                let version_at = names.function("version_at");
                format!(
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
                )
            }
        };
        format!(
            "SELECT {COLUMNS}, e.candidates FROM (\
             SELECT e.*, sum(e.size) OVER (ORDER BY e.position {direction}) AS bytes, count(*) OVER () AS candidates \
             FROM ({found}) e) e \
             WHERE e.bytes <= $4 OR e.bytes = e.size ORDER BY e.position {direction}"
        )
    }
}
