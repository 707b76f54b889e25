//! Events: before they are appended, and as they are recorded.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    ContentType, Error, EventType, Position, Result, StreamId, Tags, Timestamp, TopicName, Version,
};

/// An event that is to be appended.
///
/// It gets its id (a UUIDv7, unless one is given) when it is made, so that appending the same
/// value twice records it once.
///
/// ```
/// # use annals::NewEvent;
/// # use serde_json::json;
/// let event = NewEvent::json("OrderPlaced", &json!({ "total": 42 }))?
///     .tag("customer:7")
///     .metadata(&json!({ "user": "eve" }))?;
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub(crate) id: Uuid,
    pub(crate) id_given: bool,
    pub(crate) event_type: String,
    pub(crate) stream: Option<String>,
    pub(crate) payload: Bytes,
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: Bytes,
    pub(crate) tags: Vec<String>,
}

impl NewEvent {
    /// An event of this type with `payload` as JSON.
    ///
    /// # Errors
    /// [`Error::Serialization`] where `payload` cannot be written as JSON.
    pub fn json(
        event_type: impl Into<String>,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Self> {
        let payload = to_json("the payload", payload)?;
        Ok(Self::raw(event_type.into(), None, payload))
    }

    /// An event of this type with a payload that is JSON text already. The bytes are kept as they
    /// are, and are not checked.
    pub fn json_text(event_type: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self::raw(event_type.into(), None, payload.into())
    }

    /// An event of this type with any bytes as its payload.
    pub fn binary(
        event_type: impl Into<String>,
        content_type: impl Into<String>,
        payload: impl Into<Bytes>,
    ) -> Self {
        Self::raw(event_type.into(), Some(content_type.into()), payload.into())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that makes event ids"
    )]
    fn raw(event_type: String, content_type: Option<String>, payload: Bytes) -> Self {
        Self {
            id: Uuid::now_v7(),
            id_given: false,
            event_type,
            stream: None,
            payload,
            content_type,
            metadata: Bytes::new(),
            tags: Vec::new(),
        }
    }

    /// Gives the event an id of the caller's. An id names one event of a topic for ever.
    #[must_use]
    pub const fn id(mut self, id: Uuid) -> Self {
        self.id = id;
        self.id_given = true;
        self
    }

    /// Puts the event into a stream of its own, other than that of its append.
    ///
    /// So one atomic append can write to several streams. The append's expected version speaks of
    /// the append's stream only; guard the others with [`Append::unless`](crate::Append::unless).
    #[must_use]
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds tags.
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Sets the metadata, as JSON.
    ///
    /// # Errors
    /// [`Error::Serialization`] where `metadata` cannot be written as JSON.
    pub fn metadata(mut self, metadata: &(impl Serialize + ?Sized)) -> Result<Self> {
        self.metadata = to_json("the metadata", metadata)?;
        Ok(self)
    }

    /// Sets the metadata to these bytes, which are kept as they are.
    #[must_use]
    pub fn metadata_bytes(mut self, metadata: impl Into<Bytes>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// The event's id.
    #[must_use]
    pub const fn event_id(&self) -> Uuid {
        self.id
    }
}

fn to_json(what: &str, value: &(impl Serialize + ?Sized)) -> Result<Bytes> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| Error::Serialization {
            what: format!("{what} to JSON"),
            source: Box::new(error),
        })
}

/// An event as it is recorded: exactly what was appended, and where.
///
/// Text and bytes are slices of the page that the event came in: keeping one event keeps its page
/// (up to 1 MiB, or the size of its append). Copy out what is kept for long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedEvent {
    /// The topic.
    pub topic: TopicName,
    /// The place in the topic.
    pub position: Position,
    /// The stream.
    pub stream: StreamId,
    /// The place in the stream.
    pub version: Version,
    /// The id, unique in the topic.
    pub id: Uuid,
    /// The type.
    pub event_type: EventType,
    /// The payload, byte for byte as it was appended.
    pub payload: Bytes,
    /// The media type of the payload.
    pub content_type: ContentType,
    /// The metadata, byte for byte as it was appended; empty where there is none.
    pub metadata: Bytes,
    /// The tags.
    pub tags: Tags,
    /// When the event was recorded; never earlier than that of the event before it.
    pub recorded_at: Timestamp,
}

impl RecordedEvent {
    /// The payload as a value.
    ///
    /// # Errors
    /// [`Error::Serialization`] where the payload is not JSON of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.parse("payload", &self.payload)
    }

    /// The metadata as a value.
    ///
    /// # Errors
    /// [`Error::Serialization`] where the metadata is not JSON of that shape.
    pub fn metadata_json<T: DeserializeOwned>(&self) -> Result<T> {
        self.parse("metadata", &self.metadata)
    }

    fn parse<T: DeserializeOwned>(&self, what: &str, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|error| Error::Serialization {
            what: format!(
                "the {what} of event {} ({}) of topic {} to {}",
                self.position,
                self.event_type,
                self.topic,
                std::any::type_name::<T>()
            ),
            source: Box::new(error),
        })
    }
}
