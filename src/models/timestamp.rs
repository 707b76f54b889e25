//! Moments in time.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// A moment in microseconds since 1970-01-01T00:00:00Z.
///
/// Shown and read as RFC 3339, in UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment this many microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// How long before `later` this moment is; zero where it is not before it.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self(micros(after)),
            Err(before) => Self(micros(before.duration()).saturating_neg()),
        }
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let moment: jiff::Timestamp =
            text.parse()
                .map_err(|error: jiff::Error| Error::Serialization {
                    what: "a timestamp (RFC 3339 is expected)".into(),
                    source: Box::new(error),
                })?;
        Ok(Self(moment.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment:.6}"),
            Err(_) => write!(f, "{} µs since 1970", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_read_as_it_is_shown() {
        let moment: Timestamp = "2010-10-02T07:20:39.266Z".parse().unwrap();
        assert_eq!(moment.to_string(), "2010-10-02T07:20:39.266000Z");
        assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
        assert!(
            Timestamp::from_micros(i64::MAX)
                .to_string()
                .contains("since 1970")
        );
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
