//! How large things may be.

/// How large an append and a bounded read may be.
///
/// The defaults are those of the table below; each may be lowered, and raised up to the maximum.
///
/// | limit | default | maximum |
/// | --- | --- | --- |
/// | `payload_bytes` | 1 MiB | 16 MiB |
/// | `append_bytes` | 16 MiB | 16 MiB |
/// | `append_events` | 10,000 | 10,000 |
/// | `get_events` | 10,000 | none |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest payload of one event, and the largest metadata, in bytes.
    pub payload_bytes: usize,
    /// The most bytes that the events of one append may have together: payloads, metadata, names
    /// and tags.
    pub append_bytes: usize,
    /// The most events of one append.
    pub append_events: usize,
    /// The most events that `get_events` returns where the read has no limit of its own.
    pub get_events: usize,
}

impl Limits {
    /// The most bytes that a payload may ever have.
    pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;
    /// The most bytes that an append may ever have.
    pub const MAX_APPEND_BYTES: usize = 16 << 20;
    /// The most events that an append may ever have.
    pub const MAX_APPEND_EVENTS: usize = 10_000;

    /// These limits, with those above their maximum brought down to it.
    #[must_use]
    pub(crate) fn clamped(self) -> Self {
        Self {
            payload_bytes: self.payload_bytes.min(Self::MAX_PAYLOAD_BYTES),
            append_bytes: self.append_bytes.min(Self::MAX_APPEND_BYTES),
            append_events: self.append_events.min(Self::MAX_APPEND_EVENTS),
            get_events: self.get_events,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: 1 << 20,
            append_bytes: Self::MAX_APPEND_BYTES,
            append_events: Self::MAX_APPEND_EVENTS,
            get_events: 10_000,
        }
    }
}
