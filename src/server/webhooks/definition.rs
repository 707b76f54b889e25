//! What a webhook is like, as it is given and as it is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Group, Position,
    server::{
        groups::{Place, Span, filter, invalid},
        problem::Problem,
    },
};

/// How often an event is sent before it is parked, unless something else is said.
const TRIES: u32 = 10;
/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a client says of a webhook.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Given {
    pub(super) topic: String,
    pub(super) url: String,
    pub(super) filter: Option<Value>,
    /// `${NAME}`.
    pub(super) secret: Option<String>,
    #[serde(default)]
    pub(super) from: Place,
    pub(super) tries: Option<u32>,
    pub(super) backoff: Option<Pauses>,
    pub(super) timeout: Option<Span>,
}

/// What is kept of a webhook. The secret is the name of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Definition {
    /// What tells it from one that has its name later: it has a position of its own.
    pub(super) id: Uuid,
    pub(super) topic: String,
    pub(super) url: String,
    pub(super) filter: Option<Value>,
    pub(super) secret: Option<String>,
    pub(super) from: Place,
    pub(super) tries: u32,
    pub(super) backoff: Pauses,
    pub(super) timeout: Span,
    /// Why it is paused; none where it is not.
    pub(super) paused: Option<String>,
}

/// The first and the longest pause between tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pauses {
    pub(super) first: Span,
    pub(super) longest: Span,
}

impl Definition {
    /// A webhook as it is given, in place of the one that was there.
    pub(super) fn new(given: Given, from: Place, before: Option<&Self>) -> Self {
        Self {
            id: before.map_or_else(Uuid::new_v4, |before| before.id),
            topic: given.topic,
            url: given.url,
            filter: given.filter,
            secret: given.secret,
            from: before.map_or(from, |before| before.from),
            tries: given.tries.unwrap_or(TRIES),
            backoff: given.backoff.unwrap_or(Pauses {
                first: Span(Duration::from_secs(1)),
                longest: Span(Duration::from_secs(300)),
            }),
            timeout: given.timeout.unwrap_or(Span(TIMEOUT)),
            paused: before.and_then(|before| before.paused.clone()),
        }
    }

    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if !(1..=1000).contains(&self.tries) {
            return Err(invalid("`tries` is 1 to 1000"));
        }
        if !(100..=60_000).contains(&self.timeout.0.as_millis()) {
            return Err(invalid("`timeout` is 100ms to 60s"));
        }
        filter(self.filter.as_ref()).map(drop)
    }

    /// Where it has begun.
    pub(super) fn begin(&self) -> Position {
        self.from.position()
    }

    /// The name of the group by which its events are given.
    pub(super) fn group_name(&self, name: &str) -> String {
        format!("webhook:{name}:{}", self.id.simple())
    }

    /// The group by which its events are given: one partition and one event at a time keep the order.
    pub(super) fn group(&self, name: &str) -> Result<Group, Problem> {
        let pauses = self.backoff;
        Ok(Group::named(self.group_name(name))
            .filter(filter(self.filter.as_ref())?)
            .after(self.begin())
            .partitions(1)
            .window(1)
            .tries(self.tries)
            .backoff(pauses.first.0, pauses.longest.0)
            // The sender answers in time by itself; it may have to wait a while before it sends.
            .answer_within(self.timeout.0 * 2 + Duration::from_secs(30)))
    }
}
