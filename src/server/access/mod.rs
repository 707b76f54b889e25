//! Who may do what.
//!
//! Without an access file everybody may do everything. With one, callers show a token or a password, and may
//! do what the file allows them, by patterns of topics and by actions; all else is refused.

mod control;
mod credentials;
mod passwords;
mod pattern;
mod rules;

use std::{fmt, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use serde::Deserialize;

pub(super) use self::control::{Access, Recognised};
pub use self::credentials::{NewToken, hash_password, new_token};
use self::{
    control::Control,
    rules::{Credential, Identity},
};
use super::{problem::Problem, state::App};

/// What a caller can be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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

impl Action {
    const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Append => "append to",
            Self::Configure => "configure",
            Self::Admin => "administer",
        }
    }
}

/// Who has sent a request. Every handler asks it before it touches the store.
#[derive(Clone)]
pub(super) struct Caller(Who);

#[derive(Clone)]
enum Who {
    /// There is no access control.
    Everybody,
    Known(Known),
}

/// A caller as the access file had it when the request came.
#[derive(Clone)]
struct Known {
    control: Arc<Control>,
    identity: Arc<Identity>,
    credential: Credential,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.0 {
            Who::Everybody => "everybody",
            Who::Known(known) => &known.identity.name,
        };
        f.debug_tuple("Caller").field(&name).finish()
    }
}

impl Caller {
    /// Answers 403 unless the caller may do this with the topic, or 401 where it has not said who it is.
    pub(super) fn may(&self, action: Action, topic: &str) -> Result<(), Problem> {
        if self.is_allowed(action, topic) {
            return Ok(());
        }
        Err(self.refusal(&format!("may not {} this topic", action.verb())))
    }

    /// Answers 403 unless the caller may do this with all topics, or 401 where it has not said who it is.
    pub(super) fn may_everywhere(&self, action: Action) -> Result<(), Problem> {
        match &self.0 {
            Who::Everybody => Ok(()),
            Who::Known(known) if known.identity.may_everywhere(action) => Ok(()),
            Who::Known(_) => Err(self.refusal(&format!("may not {} all topics", action.verb()))),
        }
    }

    /// Whether the caller may do this with the topic: to leave out of a list what may not be seen.
    pub(super) fn is_allowed(&self, action: Action, topic: &str) -> bool {
        match &self.0 {
            Who::Everybody => true,
            Who::Known(known) => known.identity.may(action, topic),
        }
    }

    /// Whether the caller may do this with the topic by what the access file says now. What goes on for long
    /// asks again, every minute at least, and ends where the answer is no: the caller may be gone, have other
    /// credentials, or be allowed less.
    pub(super) fn still_may(&self, action: Action, topic: &str) -> bool {
        match &self.0 {
            Who::Everybody => true,
            Who::Known(known) => known
                .control
                .current()
                .find(&known.identity.name, &known.credential)
                .is_some_and(|identity| identity.may(action, topic)),
        }
    }

    /// What to call the caller in the log and in what it causes; `None` without access control.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.0 {
            Who::Everybody => None,
            Who::Known(known) => Some(&known.identity.name),
        }
    }

    /// Whether the caller has not said who it is, and those may do nothing.
    pub(super) fn is_nobody(&self) -> bool {
        match &self.0 {
            Who::Everybody => false,
            Who::Known(known) => known.is_anonymous() && known.identity.may_nothing(),
        }
    }

    /// The answer to those who have not said who they are, or not so that it can be believed. It does not
    /// say which.
    pub(super) fn unknown() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "a token or a name with its password is needed",
        )
    }

    fn refusal(&self, what: &str) -> Problem {
        match &self.0 {
            Who::Known(known) if !known.is_anonymous() => {
                let detail = format!("{} {what}", known.identity.name);
                Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
            }
            _ => Self::unknown(),
        }
    }
}

impl Known {
    const fn is_anonymous(&self) -> bool {
        matches!(self.credential, Credential::None)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if !app.access.is_on() {
            return Ok(Self(Who::Everybody));
        }
        // Found out before the request came here.
        let known = parts.extensions.get::<Self>().cloned();
        known.ok_or_else(Self::unknown)
    }
}
