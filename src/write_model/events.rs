//! The events of the configuration stream, as they are written.
//!
//! Fields that this version does not know are kept, so that a topic configured by a newer one does
//! not lose them when this one writes.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::models::{
    Error, EventType, NewEvent, Options, Placement, RecordedEvent, Result, StorageId, StoreId,
    Timestamp, TopicName,
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
