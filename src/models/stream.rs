//! The state of one stream.

use super::Version;

/// What a topic knows of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// The version of the stream's last event; [`Version::NONE`] where it has none.
    pub version: Version,
    /// Whether the stream was deleted and not restored since.
    pub deleted: bool,
}

impl StreamState {
    /// A stream with these properties.
    #[must_use]
    pub const fn new(version: Version, deleted: bool) -> Self {
        Self { version, deleted }
    }

    /// Whether the stream has events, deleted or not.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.version > Version::NONE
    }
}
