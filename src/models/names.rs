//! The names of topics and streams, checked once at the edge.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Error, Result, text::Text};

/// The name of a topic: `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`.
///
/// Cheap to clone. A value of this type has passed the rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Checks `name` against the rule.
    ///
    /// # Errors
    /// [`Error::InvalidTopicName`] where it breaks the rule.
    pub fn new(name: &str) -> Result<Self> {
        let starts = name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if starts && rest && name.len() <= Self::MAX_BYTES {
            return Ok(Self(Arc::from(name)));
        }
        Err(Error::InvalidTopicName {
            name: name.chars().take(Self::MAX_BYTES).collect(),
        })
    }

    /// The topic in which topics are configured. The name breaks the rule on purpose: no topic of
    /// a user can have it.
    pub(crate) fn configuration() -> Self {
        Self(Arc::from("$configuration"))
    }

    /// The same name with a counter of its own: for a page of events, each of which has the name,
    /// while others make and drop theirs.
    pub(crate) fn unshared(&self) -> Self {
        Self(Arc::from(&*self.0))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TopicName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        if name == "$configuration" {
            return Ok(Self::configuration());
        }
        Self::new(&name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a stream: up to 512 bytes of text without control characters.
///
/// The empty id is the topic's default stream. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Text);

impl StreamId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Checks `id` against the rule. The error is the rule that it breaks, as text, because an
    /// error names the event that the id belongs to.
    pub(crate) fn check(id: &str) -> Result<(), String> {
        if id.len() > Self::MAX_BYTES {
            return Err(format!(
                "a stream id may have {} bytes, this one has {}",
                Self::MAX_BYTES,
                id.len()
            ));
        }
        if id.chars().any(char::is_control) {
            return Err("a stream id may not contain control characters".to_owned());
        }
        Ok(())
    }

    /// The id `text`.
    ///
    /// # Errors
    /// [`Error::InvalidStreamId`] where it is longer than 512 bytes or contains a control
    /// character.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        Self::check(&text).map_err(|reason| Error::InvalidStreamId { reason })?;
        Ok(Self(text.into()))
    }

    /// An id that has passed the rule before: read from a repository, or checked by the caller.
    pub(crate) const fn trusted(text: Text) -> Self {
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether this is the topic's default stream.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.as_str().is_empty()
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl PartialEq<str> for StreamId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for StreamId {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_name_is_refused_where_it_breaks_the_rule() {
        for good in ["a", "orders", "A.b-c_9", &"x".repeat(128)] {
            assert_eq!(TopicName::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".a",
            "-a",
            "_a",
            "a b",
            "a/b",
            "..",
            "ä",
            "$configuration",
            "a\0",
            &"x".repeat(129),
        ] {
            assert!(
                matches!(TopicName::new(bad), Err(Error::InvalidTopicName { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_stream_id_is_refused_where_it_breaks_the_rule() {
        for good in ["", "order-42", "a/../b", "日本", &"x".repeat(512)] {
            assert_eq!(StreamId::new(good).unwrap(), good);
        }
        for bad in ["\n", "a\0b", "\u{85}", &"x".repeat(513)] {
            assert!(
                matches!(StreamId::new(bad), Err(Error::InvalidStreamId { .. })),
                "{bad:?}"
            );
        }
    }
}
