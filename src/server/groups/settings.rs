//! What groups and webhooks are like, kept as events beside their topics.
//!
//! They are in the topic `TOPIC.consumers`, where checkpoints are kept too: both are lost, or both are
//! kept. Each has a stream of its own, and the newest event counts.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Newest, Span};
use crate::{
    Append, Error, EventFilter, EventStore, ExpectedVersion, Group, NewEvent, Position,
    TopicCheckpoints, Version,
    server::{api::filter::FilterDocument, problem::Problem},
};

/// The type of an event that says what a group is like.
pub(in crate::server) const GROUP_CONFIGURED: &str = "GroupConfigured";
/// The type of an event that says what a webhook is like.
pub(in crate::server) const WEBHOOK_CONFIGURED: &str = "WebhookConfigured";
/// The type of an event that says that a group, or a webhook, is not wanted any more.
pub(in crate::server) const FORGOTTEN: &str = "Forgotten";

/// Where a group begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) enum Place {
    #[default]
    Start,
    Now,
    After(u64),
}

/// What a client says of a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::server) struct GroupSettings {
    /// As it was given: an object of criteria, or an array of them.
    pub(in crate::server) filter: Option<Value>,
    pub(in crate::server) from: Place,
    pub(in crate::server) partitions: u32,
    pub(in crate::server) window: usize,
    pub(in crate::server) tries: u32,
    pub(in crate::server) backoff: Backoff,
    pub(in crate::server) answer_within: Span,
}

/// The pauses between tries.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Backoff {
    pub(in crate::server) first: Span,
    pub(in crate::server) longest: Span,
}

/// Something that is kept, with the version that it has.
#[derive(Clone, Debug)]
pub(in crate::server) struct Stored<T> {
    pub(in crate::server) value: T,
    pub(in crate::server) version: Version,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            filter: None,
            from: Place::Start,
            partitions: 16,
            window: 256,
            tries: 5,
            backoff: Backoff {
                first: Span(std::time::Duration::from_secs(1)),
                longest: Span(std::time::Duration::from_secs(60)),
            },
            answer_within: Span(std::time::Duration::from_secs(30)),
        }
    }
}

impl GroupSettings {
    /// The group, as the store has it.
    pub(in crate::server) fn group(&self, name: &str) -> Result<Group, Problem> {
        Ok(Group::named(name)
            .filter(filter(self.filter.as_ref())?)
            .after(self.from.position())
            .partitions(self.partitions)
            .window(self.window)
            .tries(self.tries)
            .backoff(self.backoff.first.0, self.backoff.longest.0)
            .answer_within(self.answer_within.0))
    }

    /// Refuses what makes no sense.
    pub(in crate::server) fn check(&self) -> Result<(), Problem> {
        let within = self.answer_within.0.as_millis();
        for (name, fits, allowed) in [
            (
                "partitions",
                (1..=1024).contains(&self.partitions),
                "1 to 1024",
            ),
            ("window", (1..=10_000).contains(&self.window), "1 to 10000"),
            ("tries", (1..=1000).contains(&self.tries), "1 to 1000"),
            (
                "answerWithin",
                (100..=86_400_000).contains(&within),
                "100ms to 24h",
            ),
        ] {
            if !fits {
                return Err(invalid(format!("`{name}` is {allowed}")));
            }
        }
        filter(self.filter.as_ref()).map(drop)
    }
}

impl Place {
    /// The position, once it is resolved.
    pub(in crate::server) const fn position(self) -> Position {
        match self {
            Self::After(position) => Position::new(position),
            Self::Start | Self::Now => Position::START,
        }
    }
}

/// A filter as it was given.
pub(in crate::server) fn filter(given: Option<&Value>) -> Result<EventFilter, Problem> {
    match given {
        None => Ok(EventFilter::all()),
        Some(filter) => match FilterDocument::deserialize(filter) {
            Ok(FilterDocument(filter)) => Ok(filter),
            Err(error) => Err(invalid(format!("`filter`: {error}"))),
        },
    }
}

/// 422.
pub(in crate::server) fn invalid(detail: impl Into<String>) -> Problem {
    let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "invalid-config", detail)
}

/// The topic in which what belongs to a topic is kept.
pub(in crate::server) fn topic_beside(topic: &str) -> String {
    format!("{topic}.consumers")
}

/// The stream in which settings are kept. No topic's name has a colon, so no checkpoint is kept there.
fn stream(kind: &str, name: &str) -> String {
    format!("settings:{kind}:{name}")
}

/// The settings of one kind that are kept beside a topic, by name.
pub(in crate::server) async fn settings_of<T: DeserializeOwned>(
    newest: &Newest,
    store: &EventStore,
    topic: &str,
    kind: &str,
) -> crate::Result<Vec<(String, Stored<T>)>> {
    let looked = newest.look(store, &topic_beside(topic)).await?;
    let prefix = stream(kind, "");
    let mut found = Vec::new();
    for (stream, entry) in &looked.streams {
        let Some(name) = stream.strip_prefix(&prefix) else {
            continue;
        };
        if &*entry.event_type == FORGOTTEN {
            continue;
        }
        let value = serde_json::from_slice(&entry.payload).map_err(|error| Error::Corruption {
            place: format!("the settings of {kind} {name:?} of topic {topic:?}"),
            reason: format!("they cannot be read: {error}"),
        })?;
        let version = entry.version;
        found.push((name.to_owned(), Stored { value, version }));
    }
    Ok(found)
}

/// Keeps settings. What was kept before has to be of the version that was looked at.
pub(in crate::server) async fn keep<T: Serialize + Sync>(
    store: &EventStore,
    (topic, kind, name): (&str, &str, &str),
    (event_type, value): (&'static str, &T),
    before: Version,
) -> crate::Result<Version> {
    drop(TopicCheckpoints::beside(store, topic).await?);
    let append = Append::new([NewEvent::json(event_type, value)?])
        .stream(stream(kind, name))
        .expected(ExpectedVersion::exact(before.get()));
    let receipt = store.append_events(&topic_beside(topic), append).await?;
    Ok(receipt.version)
}

/// The version of settings, forgotten ones included.
pub(in crate::server) async fn version(
    store: &EventStore,
    topic: &str,
    kind: &str,
    name: &str,
) -> crate::Result<Version> {
    match store
        .get_stream(&topic_beside(topic), &stream(kind, name))
        .await
    {
        Ok(state) => Ok(state.version),
        Err(Error::TopicNotFound { .. }) => Ok(Version::NONE),
        Err(error) => Err(error),
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Start => to.serialize_str("start"),
            Self::Now => to.serialize_str("now"),
            Self::After(position) => to.serialize_u64(*position),
        }
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::String(text) if text == "start" => Ok(Self::Start),
            Value::String(text) if text == "now" => Ok(Self::Now),
            Value::Number(number) if number.is_u64() => {
                Ok(Self::After(number.as_u64().unwrap_or_default()))
            }
            other => Err(serde::de::Error::custom(format!(
                "`from` is \"start\", \"now\" or a position, and not {other}"
            ))),
        }
    }
}
