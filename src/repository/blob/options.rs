//! The options of a blob repository that are not the object store's own.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use crate::models::{Error, Result};

/// How a repository works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// What nobody needs any more is kept for this long, for those who do not know that yet.
    pub(super) grace: Duration,
    /// How long is tried to find out what came of a request.
    pub(super) outcome_timeout: Duration,
    /// How long reads, and what may be repeated, are tried.
    pub(super) retry_timeout: Duration,
    /// No request takes longer.
    pub(super) request_timeout: Duration,
    pub(super) connect_timeout: Duration,
    /// The log is merged into a segment when it has so many slots.
    pub(super) compact_slots: u64,
    /// Or when they have so many bytes.
    pub(super) compact_bytes: u64,
}

impl Settings {
    /// Those of a store over a network, and others where it is nearer.
    pub(super) const fn new(grace: Duration) -> Self {
        Self {
            grace,
            outcome_timeout: Duration::from_secs(20),
            retry_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            compact_slots: 256,
            compact_bytes: 8 << 20,
        }
    }

    /// The names of these options.
    pub(super) const KNOWN: [&str; 7] = [
        "grace_ms",
        "outcome_timeout_ms",
        "retry_timeout_ms",
        "request_timeout_ms",
        "connect_timeout_ms",
        "compact_slots",
        "compact_bytes",
    ];

    /// Sets an option; `false` where there is none of this name.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<bool> {
        match key {
            "grace_ms" => self.grace = millis(key, value, 1_000..=604_800_000)?,
            "outcome_timeout_ms" => self.outcome_timeout = millis(key, value, 0..=600_000)?,
            "retry_timeout_ms" => self.retry_timeout = millis(key, value, 0..=600_000)?,
            "request_timeout_ms" => self.request_timeout = millis(key, value, 100..=600_000)?,
            "connect_timeout_ms" => self.connect_timeout = millis(key, value, 100..=600_000)?,
            "compact_slots" => self.compact_slots = number(key, value, 2..=4096)?,
            "compact_bytes" => self.compact_bytes = number(key, value, 4096..=64 << 20)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    key: &str,
    value: &str,
    allowed: RangeInclusive<T>,
) -> Result<T> {
    value
        .parse()
        .ok()
        .filter(|number| allowed.contains(number))
        .ok_or_else(|| {
            let (least, most) = allowed.into_inner();
            invalid(key, format!("allowed are {least} to {most}"))
        })
}

fn millis(key: &str, value: &str, allowed: RangeInclusive<u64>) -> Result<Duration> {
    number(key, value, allowed).map(Duration::from_millis)
}

pub(super) fn invalid(key: &str, reason: impl Into<String>) -> Error {
    Error::InvalidConfig {
        key: format!("option `{key}`"),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_known_and_has_limits() {
        let mut settings = Settings::new(Duration::from_secs(9));
        for key in Settings::KNOWN {
            let error = settings.set(key, "-1").unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("allowed"), "{error}");
        }
        assert!(settings.set("grace_ms", "4000").unwrap());
        assert_eq!(settings.grace, Duration::from_secs(4));
        assert!(!settings.set("grace", "4000").unwrap());
    }
}
