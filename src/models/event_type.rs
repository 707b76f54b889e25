//! What an event is called, and what its payload is.

use std::fmt;

use super::{Error, Result, text::Text};

/// The reserved type of the event that deletes a stream.
pub const STREAM_DELETED: &str = "$stream-deleted";
/// The reserved type of the event that brings a deleted stream back.
pub const STREAM_RESTORED: &str = "$stream-restored";

/// The type of an event: 1 to 256 bytes of text. Types that begin with `$` are the store's own.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Text);

impl EventType {
    /// The longest type, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// The rule that `text` breaks as the type of a user's event, as text.
    pub(crate) fn check(text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Err("the event type is empty".to_owned());
        }
        if text.starts_with('$') {
            return Err(format!(
                "event types that begin with `$` are reserved for the store, and this one is {text:?}"
            ));
        }
        if text.len() > Self::MAX_BYTES {
            return Err(format!(
                "an event type may have {} bytes, this one has {}",
                Self::MAX_BYTES,
                text.len()
            ));
        }
        if text.chars().any(char::is_control) {
            return Err("an event type may not contain control characters".to_owned());
        }
        Ok(())
    }

    /// The type `text`, which may be one of the store's own: for adapters, which read back what
    /// was recorded.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`] where it breaks the rule.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        Self::check(text.strip_prefix('$').unwrap_or(&text))
            .map_err(|reason| Error::InvalidEvent { index: 0, reason })?;
        Ok(Self(text.into()))
    }

    /// A type that has passed the rule before, or is one of the store's own.
    pub(crate) const fn trusted(text: Text) -> Self {
        Self(text)
    }

    /// The type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the store itself appended the event: its type begins with `$`.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with('$')
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl PartialEq<str> for EventType {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for EventType {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// The media type of a payload: 1 to 256 bytes of text without control characters.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentType(Text);

impl ContentType {
    /// The longest content type, in bytes.
    pub const MAX_BYTES: usize = 256;
    /// `application/json`.
    pub const JSON: Self = Self(Text::of_static("application/json"));

    /// The rule that `text` breaks, as text.
    pub(crate) fn check(text: &str) -> Result<(), String> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(format!(
                "a content type has 1 to {} bytes, this one has {}",
                Self::MAX_BYTES,
                text.len()
            ));
        }
        if text.chars().any(char::is_control) {
            return Err("a content type may not contain control characters".to_owned());
        }
        Ok(())
    }

    /// The content type `text`.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`] where it breaks the rule.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        Self::check(&text).map_err(|reason| Error::InvalidEvent { index: 0, reason })?;
        Ok(Self(text.into()))
    }

    /// A content type that has passed the rule before.
    pub(crate) const fn trusted(text: Text) -> Self {
        Self(text)
    }

    /// The content type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the payload is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.as_str() == "application/json"
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
