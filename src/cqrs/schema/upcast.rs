//! Changes of what events look like: from each version of a type to the one that is written now, step
//! by step.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde_json::Value;

use crate::BoxError;

/// Changes a payload into that of the next version.
pub(super) type Change = Arc<dyn Fn(Value) -> Result<Value, BoxError> + Send + Sync>;

/// What becomes of one version of a type.
#[derive(Clone)]
pub(super) enum Step {
    /// The next version of the same type.
    Change(Change),
    /// A version of another type.
    Rename(String, u32),
    /// Nobody wants it any more.
    Retire,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(_) => f.write_str("Change"),
            Self::Rename(event_type, version) => write!(f, "Rename({event_type}@{version})"),
            Self::Retire => f.write_str("Retire"),
        }
    }
}

/// What is known of one type: the step from version 1, from version 2 and so on.
type Steps = BTreeMap<u32, Step>;

/// All steps, as they were given and before anybody has looked whether they fit together.
#[derive(Clone, Debug, Default)]
pub(super) struct Upcasts {
    types: BTreeMap<String, Steps>,
    /// The first rule that was broken while they were given.
    broken: Option<String>,
}

/// An event as it is after all steps.
#[derive(Debug)]
pub(super) enum Upcast<'a> {
    /// It is as it is written now.
    Current,
    /// It was changed.
    Changed {
        event_type: &'a str,
        payload: Value,
    },
    Retired,
}

/// Why an event cannot be brought up to date.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is of a version that was written by somebody who knows more.
    Newer {
        known: u32,
    },
    Payload(serde_json::Error),
    Step {
        event_type: String,
        version: u32,
        source: BoxError,
    },
}

impl Upcasts {
    pub(super) fn add(&mut self, event_type: String, version: u32, step: Step) {
        if version == 0 {
            self.broken
                .get_or_insert(format!("{event_type:?}: versions are counted from 1"));
            return;
        }
        let steps = self.types.entry(event_type.clone()).or_default();
        if steps.insert(version, step).is_some() {
            self.broken.get_or_insert(format!(
                "version {version} of {event_type:?} has two steps, and one is allowed"
            ));
        }
    }

    /// The version in which events of a type are written.
    pub(super) fn current(&self, event_type: &str) -> u32 {
        let last = self
            .types
            .get(event_type)
            .and_then(|steps| steps.keys().next_back());
        last.map_or(1, |last| last.saturating_add(1))
    }

    /// The types of which older versions are read.
    pub(super) fn types(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// Whether the steps fit together: no gap, no circle, and each leads to a version that is written
    /// now.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        for (event_type, steps) in &self.types {
            if let Some((expected, found)) = (1..).zip(steps.keys()).find(|(a, b)| a != *b) {
                return Err(format!(
                    "{event_type:?} has a step from version {found}, and none from version {expected}"
                ));
            }
            for version in steps.keys() {
                self.follow(event_type, *version)?;
            }
        }
        Ok(())
    }

    /// Follows the steps from a version to their end.
    fn follow(&self, event_type: &str, version: u32) -> Result<(), String> {
        let mut at = (event_type, version);
        let mut seen = BTreeSet::new();
        while let Some(step) = self.types.get(at.0).and_then(|steps| steps.get(&at.1)) {
            if !seen.insert(at) {
                return Err(format!("{:?} version {} becomes itself again", at.0, at.1));
            }
            at = match step {
                Step::Change(_) => (at.0, at.1.saturating_add(1)),
                Step::Rename(event_type, version) => (event_type.as_str(), *version),
                Step::Retire => return Ok(()),
            };
        }
        let current = self.current(at.0);
        if at.1 == current {
            return Ok(());
        }
        Err(format!(
            "{event_type:?} version {version} becomes {:?} version {}, and {current} is written",
            at.0, at.1
        ))
    }

    /// Brings an event up to date.
    pub(super) fn upcast<'a>(
        &'a self,
        event_type: &'a str,
        version: u32,
        payload: &[u8],
    ) -> Result<Upcast<'a>, Failure> {
        let mut at = (event_type, version);
        let mut value = None;
        while let Some(step) = self.types.get(at.0).and_then(|steps| steps.get(&at.1)) {
            at = match step {
                Step::Change(change) => {
                    let before = match value.take() {
                        Some(value) => value,
                        None => serde_json::from_slice(payload).map_err(Failure::Payload)?,
                    };
                    value = Some(change(before).map_err(|source| Failure::Step {
                        event_type: at.0.to_owned(),
                        version: at.1,
                        source,
                    })?);
                    (at.0, at.1.saturating_add(1))
                }
                Step::Rename(event_type, version) => (event_type.as_str(), *version),
                Step::Retire => return Ok(Upcast::Retired),
            };
        }
        let known = self.current(at.0);
        if at.1 > known {
            return Err(Failure::Newer { known });
        }
        if at.0 == event_type && value.is_none() {
            return Ok(Upcast::Current);
        }
        let payload = match value {
            Some(value) => value,
            None => serde_json::from_slice(payload).map_err(Failure::Payload)?,
        };
        Ok(Upcast::Changed {
            event_type: at.0,
            payload,
        })
    }
}
