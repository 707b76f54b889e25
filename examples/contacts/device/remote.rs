//! The server, as a device sees it.

use std::time::Duration;

use annals::SyncToken;
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use crate::event::Event;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many events are asked for at once.
const PORTION: usize = 50;

/// Why a sync has not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// It can be tried again later.
    #[error("the server is away: {0}")]
    Offline(String),
    #[error("the server does not know the token")]
    TokenExpired,
    /// The server does what it must not.
    #[error("the server is broken: {0}")]
    Broken(String),
    #[error(transparent)]
    Store(#[from] annals::Error),
}

impl SyncError {
    pub(super) fn broken(event: &Remote, what: &str) -> Self {
        let Remote {
            position,
            stream,
            version,
            ..
        } = event;
        Self::Broken(format!(
            "position {position}, version {version} of {stream}: {what}"
        ))
    }
}

impl From<reqwest::Error> for SyncError {
    fn from(error: reqwest::Error) -> Self {
        Self::Offline(error.to_string())
    }
}

/// An event that the server has recorded.
#[derive(Debug, Deserialize)]
pub(crate) struct Remote {
    pub(crate) position: u64,
    pub(crate) id: Uuid,
    pub(crate) stream: String,
    pub(crate) version: u64,
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    pub(crate) data: Box<RawValue>,
}

impl Remote {
    pub(crate) fn event(&self) -> Result<Event, SyncError> {
        let data = serde_json::from_str(self.data.get());
        let event = data.and_then(|data| Event::read(&self.event_type, data));
        event.map_err(|error| Self::unreadable(self, &error))
    }

    fn unreadable(&self, error: &serde_json::Error) -> SyncError {
        SyncError::broken(self, &format!("it cannot be read: {error}"))
    }
}

/// Some of what the server has recorded.
#[derive(Debug, Deserialize)]
pub(crate) struct Changes {
    pub(crate) events: Vec<Remote>,
    pub(crate) next: SyncToken,
    pub(crate) more: bool,
}

/// What came of an event that was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Accepted { position: u64, version: u64 },
    Duplicate { position: u64, version: u64 },
    Conflict { version: u64 },
    Follows { refused: Uuid },
    Refused { reason: String },
}

impl Outcome {
    /// Where it is recorded.
    pub(crate) const fn place(&self) -> Option<(u64, u64)> {
        match self {
            Self::Accepted { position, version } | Self::Duplicate { position, version } => {
                Some((*position, *version))
            }
            _ => None,
        }
    }

    /// What was recorded stays recorded, and is not recorded again.
    pub(super) fn check_again(&self, again: &Self) -> Result<(), SyncError> {
        let duplicate = matches!(again, Self::Duplicate { .. });
        if self.place().is_some() && (!duplicate || again.place() != self.place()) {
            let what = format!("the same push gave {self:?}, and then {again:?}");
            return Err(SyncError::Broken(what));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

/// The server, as a device sees it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) base: String,
}

impl Server {
    pub(crate) fn at(base: impl Into<String>) -> reqwest::Result<Self> {
        // A connection for each request, so that each meets a fate of its own.
        let client = Client::builder().pool_max_idle_per_host(0).no_proxy();
        Ok(Self {
            client: client.timeout(PATIENCE).build()?,
            base: base.into(),
        })
    }

    pub(crate) async fn changes(&self, since: SyncToken) -> Result<Changes, SyncError> {
        let url = format!("{}/sync/changes", self.base);
        let query = [("since", since.to_string()), ("limit", PORTION.to_string())];
        read(self.client.get(url).query(&query).send().await?).await
    }

    pub(crate) async fn push(&self, body: &Value) -> Result<Vec<Outcome>, SyncError> {
        let url = format!("{}/sync/push", self.base);
        let answer = self.client.post(url).json(body).send().await?;
        Ok(read::<Outcomes>(answer).await?.outcomes)
    }
}

async fn read<T: DeserializeOwned>(answer: Response) -> Result<T, SyncError> {
    let status = answer.status();
    // The answer may be cut off within.
    let text = answer.text().await?;
    if status == StatusCode::GONE {
        return Err(SyncError::TokenExpired);
    }
    if status.is_server_error() {
        return Err(SyncError::Offline(format!("{status}: {text}")));
    }
    if !status.is_success() {
        return Err(SyncError::Broken(format!("{status}: {text}")));
    }
    serde_json::from_str(&text).map_err(|error| {
        SyncError::Broken(format!("an answer that cannot be read, {error}: {text}"))
    })
}
