//! What a client that works offline and its store say to each other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use super::{
    Error, EventFilter, ExpectedVersion, NewEvent, Position, RecordedEvent, StoreId, Version,
};

/// Up to where a client knows a topic. Text for the client to keep, by [`Display`](fmt::Display),
/// [`FromStr`] or serde; what is in it is not its business.
///
/// It is valid for as long as the topic is there, over restarts and moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SyncToken {
    /// The topic: its store, and the position of its creation. None for the beginning of any topic.
    pub(crate) of: Option<(StoreId, Position)>,
    pub(crate) position: Position,
}

impl SyncToken {
    /// Of a client that knows nothing yet.
    pub const START: Self = Self {
        of: None,
        position: Position::START,
    };
}

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            None => f.write_str("start"),
            Some((store, topic)) => write!(f, "1.{store}.{topic}.{}", self.position),
        }
    }
}

impl FromStr for SyncToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "start" {
            return Ok(Self::START);
        }
        let mut parts = text.split('.');
        let mut next = || parts.next().unwrap_or_default();
        let number = |text: &str| text.parse().ok().map(Position::new);
        let store = |text: &str| text.parse().map(StoreId::new);
        let parsed = match (next(), store(next()), number(next()), number(next())) {
            ("1", Ok(store), Some(topic), Some(position)) => Some(Self {
                of: Some((store, topic)),
                position,
            }),
            _ => None,
        };
        parsed
            .filter(|token| token.to_string() == text)
            .ok_or_else(|| Error::TokenExpired {
                reason: "it is not a token that this version has given".to_owned(),
            })
    }
}

impl Serialize for SyncToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SyncToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What was recorded after a [`SyncToken`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Changes {
    /// The events, in order.
    pub events: Vec<RecordedEvent>,
    /// Up to where the client knows the topic with these.
    pub next: SyncToken,
    /// Whether more was recorded already.
    pub more: bool,
}

impl Changes {
    pub(crate) const fn new(events: Vec<RecordedEvent>, next: SyncToken, more: bool) -> Self {
        Self { events, next, more }
    }
}

/// An event that a client has made offline: with an id of its own, the stream, and the version of the
/// stream as the client knew it, its own events before this one included.
#[derive(Clone, Debug)]
pub struct PushEvent {
    pub(crate) event: NewEvent,
    pub(crate) stream: String,
    pub(crate) expected: ExpectedVersion,
    pub(crate) condition: Option<(EventFilter, Position)>,
}

impl PushEvent {
    /// This event, for this stream at this version.
    pub fn new(
        event: NewEvent,
        stream: impl Into<String>,
        expected: impl Into<ExpectedVersion>,
    ) -> Self {
        Self {
            event,
            stream: stream.into(),
            expected: expected.into(),
            condition: None,
        }
    }

    /// Refuses the event if one that matches `filter` is recorded after the position `after`, as
    /// [`Append::unless`](crate::Append::unless) does: for a server that looks at other streams before
    /// it takes what a client has made.
    #[must_use]
    pub fn unless(mut self, filter: EventFilter, after: Position) -> Self {
        self.condition = Some((filter, after));
        self
    }

    /// The event's id.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.event.event_id()
    }
}

/// What came of one [`PushEvent`].
#[derive(Debug)]
#[non_exhaustive]
pub enum PushOutcome {
    /// It is recorded now.
    Accepted {
        /// Where in the topic.
        position: Position,
        /// Where in its stream.
        version: Version,
    },
    /// It was recorded by an earlier push.
    Duplicate {
        /// Where in the topic.
        position: Position,
        /// Where in its stream.
        version: Version,
    },
    /// Others have appended to the stream meanwhile; it was not recorded. The client decides anew, on
    /// what is there.
    Conflict {
        /// The version of the stream now.
        version: Version,
        /// What is there that the client did not expect: the first hundred events after the version
        /// that it knew.
        events: Vec<RecordedEvent>,
    },
    /// It was not recorded because it builds on an event of the same push that was not.
    Follows {
        /// The id of that event.
        refused: Uuid,
    },
    /// It cannot be recorded: it breaks a rule, its id is that of another event, its stream is
    /// deleted, or an event that its [condition](PushEvent::unless) rules out is recorded.
    Refused(Error),
}

impl PushOutcome {
    /// Whether the event is recorded, now or by an earlier push.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        matches!(self, Self::Accepted { .. } | Self::Duplicate { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_text_and_comes_back() {
        let token = SyncToken {
            of: Some((StoreId::generate(), Position::new(7))),
            position: Position::new(u64::MAX),
        };
        for token in [token, SyncToken::START] {
            assert_eq!(token.to_string().parse::<SyncToken>().unwrap(), token);
            let json = serde_json::to_string(&token).unwrap();
            assert_eq!(serde_json::from_str::<SyncToken>(&json).unwrap(), token);
        }
        let text = token.to_string();
        for bad in [
            "",
            "1",
            "begin",
            &text[1..],
            &format!("{text}0"),
            &format!("{text}.1"),
            &text.replace('.', "-"),
        ] {
            let parsed = bad.parse::<SyncToken>();
            assert!(matches!(parsed, Err(Error::TokenExpired { .. })), "{bad}");
        }
    }
}
