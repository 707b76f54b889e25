//! The options of a topic in files.

use std::time::Duration;

use crate::models::{Error, Options, Result};

/// When what is appended is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncMode {
    /// Before the append returns.
    Always,
    /// At most this long after the append has returned.
    Interval(Duration),
    /// When the operating system likes, when a segment is full, and at close.
    Never,
}

/// The options of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileOptions {
    pub(super) sync: SyncMode,
    pub(super) segment_bytes: u64,
}

const MIN_SEGMENT: u64 = 4 << 10;
const MAX_SEGMENT: u64 = 1 << 30;

impl FileOptions {
    pub(super) const DEFAULT: Self = Self {
        sync: SyncMode::Always,
        segment_bytes: 128 << 20,
    };

    /// Reads options as they stand in a topic's configuration.
    pub(super) fn parse(options: &Options) -> Result<Self> {
        let mut parsed = Self::DEFAULT;
        for (key, value) in options {
            match key.as_str() {
                "sync" => parsed.sync = sync_mode(value)?,
                "segment_bytes" => parsed.segment_bytes = segment_bytes(value)?,
                _ => {
                    return Err(invalid(
                        key,
                        "the file adapter has the options `sync` and `segment_bytes`",
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

fn sync_mode(value: &str) -> Result<SyncMode> {
    match value {
        "always" => return Ok(SyncMode::Always),
        "never" => return Ok(SyncMode::Never),
        _ => {}
    }
    value
        .strip_prefix("interval:")
        .and_then(|millis| millis.parse().ok())
        .filter(|millis| (1..=60_000).contains(millis))
        .map(|millis| SyncMode::Interval(Duration::from_millis(millis)))
        .ok_or_else(|| {
            invalid(
                "sync",
                "allowed are `always`, `never` and `interval:MS` with 1 to 60000 milliseconds",
            )
        })
}

fn segment_bytes(value: &str) -> Result<u64> {
    value
        .parse()
        .ok()
        .filter(|bytes| (MIN_SEGMENT..=MAX_SEGMENT).contains(bytes))
        .ok_or_else(|| invalid("segment_bytes", "allowed are 4096 to 1073741824 bytes"))
}

fn invalid(key: &str, reason: &str) -> Error {
    Error::InvalidConfig {
        key: format!("option `{key}`"),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<FileOptions> {
        FileOptions::parse(&Options::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn options_are_read_or_refused_by_name() {
        assert_eq!(
            parse("sync", "interval:20").unwrap().sync,
            SyncMode::Interval(Duration::from_millis(20))
        );
        assert_eq!(parse("sync", "never").unwrap().sync, SyncMode::Never);
        assert_eq!(parse("segment_bytes", "4096").unwrap().segment_bytes, 4096);
        for (key, value) in [
            ("sync", "interval:0"),
            ("sync", "often"),
            ("segment_bytes", "4095"),
            ("segment_byte", "1"),
        ] {
            let error = parse(key, value).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidConfig { key: named, .. } if named.contains(key)),
                "{error}"
            );
        }
    }
}
