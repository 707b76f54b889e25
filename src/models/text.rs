//! Text that is cheap to clone and to pass between threads.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use bytes::Bytes;
use bytestring::ByteString;
use smol_str::SmolStr;

/// The longest text that is kept in place, in bytes.
const SHORT: usize = 23;

/// A text that does not change: a short one in place, a longer one as a slice of the page that it
/// came in.
///
/// Most names are short, and to copy one costs less than to count one more user of a page: a
/// counter that two threads change is what a scan would spend most of its time on.
#[derive(Clone)]
pub(crate) enum Text {
    Short(SmolStr),
    Long(ByteString),
}

impl Text {
    /// The text that `part` of `page` is; none if that is not UTF-8.
    pub(crate) fn of_page(page: &Bytes, part: &[u8]) -> Option<Self> {
        if part.len() <= SHORT {
            return std::str::from_utf8(part)
                .ok()
                .map(|text| Self::Short(SmolStr::new(text)));
        }
        ByteString::try_from(page.slice_ref(part))
            .ok()
            .map(Self::Long)
    }

    pub(crate) const fn of_static(text: &'static str) -> Self {
        Self::Short(SmolStr::new_static(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Short(text) => text,
            Self::Long(text) => text,
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::Short(SmolStr::default())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        if text.len() <= SHORT {
            Self::Short(SmolStr::new(text))
        } else {
            Self::Long(text.into())
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_are_the_same_whichever_way_they_came() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 200] {
            let text = "x".repeat(length);
            let page = Bytes::from(format!("--{text}--"));
            let read = Text::of_page(&page, &page[2..2 + length]).unwrap();
            let given = Text::from(text.clone());
            assert_eq!((read.as_str(), &read), (text.as_str(), &given));
        }
        assert_eq!(Text::of_static("a"), Text::from("a".to_owned()));
    }

    #[test]
    fn what_is_not_text_is_none() {
        for length in [2, 60] {
            let page = Bytes::from(vec![0xff; length]);
            assert!(Text::of_page(&page, &page).is_none());
        }
    }
}
