//! The events of the configuration stream, as they are written.
//!
//! Fields that this version does not know are kept, so that a topic configured by a newer one does
//! not lose them when this one writes.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::models::{
    Error, EventType, NewEvent, Options, Placement, Position, RecordedEvent, Result, StorageId,
    StoreId, Timestamp, TopicName,
};

/// Fields that this version does not know.
pub(crate) type Extra = Map<String, Value>;

/// One event of the configuration stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ConfigurationEvent {
    /// The store was opened for the first time.
    StoreCreated(StoreCreated),
    TopicCreated(TopicCreated),
    TopicUpdated(TopicUpdated),
    TopicDeleted(TopicNamed),
    TopicRestored(TopicNamed),
    TopicPurged(TopicNamed),
    /// A topic is being moved elsewhere.
    MoveStarted(MoveStarted),
    /// Somebody is at it: who moves it says so now and then, and who takes over says it first.
    MoveRenewed(MoveStep),
    /// All but the last events are there; from here on the old placement is sealed.
    MoveSealing(MoveStep),
    /// The topic is where it was to go.
    MoveCompleted(MoveStep),
    /// The topic stays where it was.
    MoveAborted(MoveAborted),
    /// A storage that the topic has left is not needed any more.
    FormerRemoved(FormerRemoved),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoreCreated {
    pub(crate) store: StoreId,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TopicCreated {
    pub(crate) placement: Placement,
    pub(crate) created_at: Timestamp,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TopicUpdated {
    pub(crate) topic: TopicName,
    pub(crate) storage: StorageId,
    pub(crate) connection: String,
    #[serde(default)]
    pub(crate) options: Options,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MoveStarted {
    pub(crate) topic: TopicName,
    /// Where it is.
    pub(crate) storage: StorageId,
    /// Where it goes.
    pub(crate) target: Placement,
    /// Who moves it.
    pub(crate) mover: Uuid,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MoveStep {
    pub(crate) topic: TopicName,
    pub(crate) storage: StorageId,
    pub(crate) mover: Uuid,
    /// How far the events are copied.
    pub(crate) copied: Position,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MoveAborted {
    pub(crate) topic: TopicName,
    pub(crate) storage: StorageId,
    pub(crate) reason: String,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FormerRemoved {
    pub(crate) topic: TopicName,
    /// Where the topic is.
    pub(crate) storage: StorageId,
    /// Where it was.
    pub(crate) former: StorageId,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

/// An event that says no more than which topic it is about. The storage tells topics apart that
/// had the same name one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TopicNamed {
    pub(crate) topic: TopicName,
    pub(crate) storage: StorageId,
    #[serde(flatten)]
    pub(crate) extra: Extra,
}

impl TopicNamed {
    pub(crate) fn of(placement: &Placement) -> Self {
        Self {
            topic: placement.topic.clone(),
            storage: placement.storage,
            extra: Extra::new(),
        }
    }
}

impl ConfigurationEvent {
    /// The event as it is appended.
    pub(crate) fn to_event(&self) -> Result<NewEvent> {
        match self {
            Self::StoreCreated(event) => NewEvent::json("StoreCreated", event),
            Self::TopicCreated(event) => NewEvent::json("TopicCreated", event),
            Self::TopicUpdated(event) => NewEvent::json("TopicUpdated", event),
            Self::TopicDeleted(event) => NewEvent::json("TopicDeleted", event),
            Self::TopicRestored(event) => NewEvent::json("TopicRestored", event),
            Self::TopicPurged(event) => NewEvent::json("TopicPurged", event),
            Self::MoveStarted(event) => NewEvent::json("MoveStarted", event),
            Self::MoveRenewed(event) => NewEvent::json("MoveRenewed", event),
            Self::MoveSealing(event) => NewEvent::json("MoveSealing", event),
            Self::MoveCompleted(event) => NewEvent::json("MoveCompleted", event),
            Self::MoveAborted(event) => NewEvent::json("MoveAborted", event),
            Self::FormerRemoved(event) => NewEvent::json("FormerRemoved", event),
        }
    }

    /// The event that was recorded.
    ///
    /// # Errors
    /// [`Error::UnknownConfigurationEvent`] for a type that this version does not know, and
    /// [`Error::Corruption`] for a payload that cannot be read.
    pub(crate) fn from_recorded(event: &RecordedEvent) -> Result<Self> {
        Ok(match event.event_type.as_str() {
            "StoreCreated" => Self::StoreCreated(parse(event)?),
            "TopicCreated" => Self::TopicCreated(parse(event)?),
            "TopicUpdated" => Self::TopicUpdated(parse(event)?),
            "TopicDeleted" => Self::TopicDeleted(parse(event)?),
            "TopicRestored" => Self::TopicRestored(parse(event)?),
            "TopicPurged" => Self::TopicPurged(parse(event)?),
            "MoveStarted" => Self::MoveStarted(parse(event)?),
            "MoveRenewed" => Self::MoveRenewed(parse(event)?),
            "MoveSealing" => Self::MoveSealing(parse(event)?),
            "MoveCompleted" => Self::MoveCompleted(parse(event)?),
            "MoveAborted" => Self::MoveAborted(parse(event)?),
            "FormerRemoved" => Self::FormerRemoved(parse(event)?),
            _ => {
                return Err(Error::UnknownConfigurationEvent {
                    event_type: EventType::to_string(&event.event_type),
                    position: event.position,
                });
            }
        })
    }
}

fn parse<T: DeserializeOwned>(event: &RecordedEvent) -> Result<T> {
    serde_json::from_slice(&event.payload).map_err(|error| Error::Corruption {
        place: format!("configuration stream, position {}", event.position),
        reason: format!("the {} event cannot be read: {error}", event.event_type),
    })
}
