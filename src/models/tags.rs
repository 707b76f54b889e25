//! The tags of an event.

use std::fmt;

use super::{Error, Result, text::Text};

/// Separates tags in the one text that holds them; no tag can contain it, being a control
/// character.
const SEPARATOR: char = '\u{1f}';

/// The tags of an event, in the order in which they were given: up to 64 of 1 to 256 bytes,
/// without control characters.
///
/// All of them are kept in one text, so that an event that is read shares the page it came in.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Tags(Text);

impl Tags {
    /// The most tags of one event.
    pub const MAX_COUNT: usize = 64;
    /// The longest tag, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// These tags.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`] where they break a rule.
    pub fn new<T: AsRef<str>>(tags: &[T]) -> Result<Self> {
        Self::join(tags).map_err(|reason| Error::InvalidEvent { index: 0, reason })
    }

    /// Joins `tags`, or says which rule is broken.
    pub(crate) fn join<T: AsRef<str>>(tags: &[T]) -> Result<Self, String> {
        if tags.len() > Self::MAX_COUNT {
            return Err(format!(
                "an event may have {} tags, this one has {}",
                Self::MAX_COUNT,
                tags.len()
            ));
        }
        let mut text = String::with_capacity(tags.iter().map(|tag| tag.as_ref().len() + 1).sum());
        for tag in tags {
            Self::check(tag.as_ref())?;
            if !text.is_empty() {
                text.push(SEPARATOR);
            }
            text.push_str(tag.as_ref());
        }
        Ok(Self(text.into()))
    }

    /// The rule that one tag breaks, as text.
    pub(crate) fn check(tag: &str) -> Result<(), String> {
        if tag.is_empty() || tag.len() > Self::MAX_BYTES {
            return Err(format!(
                "a tag has 1 to {} bytes, this one has {}",
                Self::MAX_BYTES,
                tag.len()
            ));
        }
        if tag.chars().any(char::is_control) {
            return Err(format!("the tag {tag:?} contains a control character"));
        }
        Ok(())
    }

    /// The joined form that [`Tags::joined`] gave before.
    pub(crate) const fn trusted(joined: Text) -> Self {
        Self(joined)
    }

    /// The tags as the one text in which repositories keep them.
    pub(crate) fn joined(&self) -> &str {
        self.0.as_str()
    }

    /// The tags, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.joined().split(SEPARATOR).filter(|tag| !tag.is_empty())
    }

    /// Whether `tag` is among them.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.iter().any(|one| one == tag)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.joined().is_empty()
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_their_order_and_are_found_whole() {
        let tags = Tags::join(&["b:2", "a", "b:2"]).unwrap();
        assert_eq!(tags.iter().collect::<Vec<_>>(), ["b:2", "a", "b:2"]);
        assert!(tags.contains("a") && !tags.contains("b") && !tags.contains(""));
        assert_eq!(Tags::join::<&str>(&[]).unwrap().len(), 0);
    }

    #[test]
    fn a_bad_tag_is_refused() {
        for bad in ["", "a\u{1f}b", "\n", &"x".repeat(257)] {
            assert!(Tags::join(&[bad]).is_err(), "{bad:?}");
        }
        assert!(Tags::join(&["x"; 65]).is_err());
        assert!(Tags::join(&["x"; 64]).is_ok());
    }
}
