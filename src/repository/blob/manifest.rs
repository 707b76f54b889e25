//! The manifest of a topic: which segments there are, and where the log goes on behind them.
//!
//! Manifests are numbered and never changed; the one with the greatest number counts. One is a line
//! with a checksum, and JSON.

use std::time::Duration;

use bytes::Bytes;
use crc32c::crc32c;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::segment::builder::Written;
use crate::models::{Position, Timestamp};

const FORMAT: &str = "annals-manifest 1";

/// What is in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Its own number, which is also in its name.
    pub(super) number: u64,
    /// Tells it from another one that is to have its number.
    pub(super) write_id: Uuid,
    /// Times in records are kept as the distance from this one.
    pub(super) base: Timestamp,
    /// How long what is not needed any more is kept, as it was said when the storage was made: all
    /// processes go by it.
    pub(super) grace_ms: u64,
    /// The first slot that is not in the segments.
    pub(super) log_start: u64,
    /// The position before that slot.
    pub(super) before: Position,
    /// The write id of the slot before that one.
    pub(super) previous: Uuid,
    /// When the last event before that slot was recorded.
    pub(super) last_time: Timestamp,
    /// Whether the topic is sealed there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) sealed: bool,
    /// What was decided on before this neither seals nor unseals it any more.
    #[serde(default)]
    pub(super) sealed_since: Position,
    /// Whether the storage is removed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) removed: bool,
    /// The segments, in order, without a gap.
    pub(super) segments: Vec<SegmentEntry>,
    /// What earlier manifests still named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) retired: Vec<Retired>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentEntry {
    /// The last part of its name.
    pub(super) name: String,
    /// The position before its first event.
    pub(super) before: Position,
    /// The position of its last event.
    pub(super) last: Position,
    /// How long the object is.
    pub(super) length: u64,
    /// How long its footer is, without what follows it.
    pub(super) footer_length: u32,
    pub(super) least_id: Uuid,
    pub(super) greatest_id: Uuid,
}

/// What a manifest was the first not to need any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retired {
    /// The number of that manifest.
    pub(super) by: u64,
    /// Where its log begins.
    pub(super) log_start: u64,
    /// Segments that it does not name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) segments: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl SegmentEntry {
    pub(super) fn of(name: String, written: &Written) -> Self {
        Self {
            name,
            before: written.footer.before,
            last: written.footer.last,
            length: written.length,
            footer_length: written.footer_length,
            least_id: written.least_id,
            greatest_id: written.greatest_id,
        }
    }

    pub(super) fn footer_offset(&self) -> u64 {
        self.length
            .saturating_sub(u64::from(self.footer_length) + 12)
    }
}

impl Manifest {
    /// That of a topic without events.
    pub(super) fn first(base: Timestamp, grace: Duration) -> Self {
        Self {
            number: 0,
            write_id: super::keys::random(),
            base,
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            log_start: 0,
            before: Position::START,
            previous: Uuid::nil(),
            last_time: Timestamp::from_micros(i64::MIN),
            sealed: false,
            sealed_since: Position::START,
            removed: false,
            segments: Vec::new(),
            retired: Vec::new(),
        }
    }

    pub(super) const fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }

    pub(super) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let json = serde_json::to_string(self)?;
        let checksum = crc32c(json.as_bytes());
        Ok(format!("{FORMAT} {checksum:08x}\n{json}\n").into())
    }

    /// Reads the manifest of this number.
    pub(super) fn decode(object: &[u8], number: u64) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(object).map_err(|_| "it is not text")?;
        let (line, rest) = text.split_once('\n').ok_or("it is cut off")?;
        let json = rest.strip_suffix('\n').ok_or("it is cut off")?;
        let (format, checksum) = line.rsplit_once(' ').ok_or("it is not a manifest")?;
        if format != FORMAT {
            return Err("it is not a manifest that this version knows");
        }
        if u32::from_str_radix(checksum, 16).ok() != Some(crc32c(json.as_bytes())) {
            return Err("its checksum is wrong");
        }
        let manifest: Self = serde_json::from_str(json).map_err(|_| "it is not well-formed")?;
        if manifest.number != number {
            return Err("it has another number than its name says");
        }
        let mut before = Position::START;
        for segment in &manifest.segments {
            if segment.before != before || segment.last <= before {
                return Err("its segments do not follow one another");
            }
            before = segment.last;
        }
        if before != manifest.before {
            return Err("its log does not follow its segments");
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_every_change_is_found() {
        let mut manifest = Manifest::first(Timestamp::from_micros(5), Duration::from_secs(9));
        manifest.number = 3;
        manifest.segments.push(SegmentEntry {
            name: "s".to_owned(),
            before: Position::START,
            last: Position::new(4),
            length: 100,
            footer_length: 10,
            least_id: Uuid::nil(),
            greatest_id: Uuid::max(),
        });
        manifest.before = Position::new(4);
        let object = manifest.encode().unwrap();
        assert_eq!(Manifest::decode(&object, 3).unwrap(), manifest);
        assert!(Manifest::decode(&object, 4).is_err());
        for at in 0..object.len() {
            let mut changed = object.to_vec();
            changed[at] ^= 1;
            let read = Manifest::decode(&changed, 3);
            // The checksum's own letters may stand for the same number.
            assert!(read.is_err() || read.unwrap() == manifest, "{at}");
            assert!(Manifest::decode(&object[..at], 3).is_err());
        }
    }

    #[test]
    fn segments_have_to_follow_one_another() {
        let mut manifest = Manifest::first(Timestamp::default(), Duration::ZERO);
        manifest.before = Position::new(1);
        let object = manifest.encode().unwrap();
        assert!(Manifest::decode(&object, 0).is_err());
    }
}
