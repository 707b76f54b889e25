//! What is said about events beside their payload: what they belong to, and what caused them.

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Error, NewEvent, RecordedEvent, Result};

/// Names that KurrentDB and its kin use too.
const CORRELATION: &str = "$correlationId";
const CAUSATION: &str = "$causationId";
/// The version in which an event is written, where it is not 1.
pub(super) const SCHEMA_VERSION: &str = "$schemaVersion";

/// What is said about events beside their payload: a JSON object in their metadata.
///
/// The **correlation id** is the same for all that follows from one request; the **causation id** is
/// that of the event or the command that led to this one. They stand there as `$correlationId` and
/// `$causationId`.
///
/// ```
/// # use annals::cqrs::Metadata;
/// let metadata = Metadata::new()
///     .correlation_id("request-77")
///     .with("user", &"eve")?;
/// assert_eq!(metadata.get_correlation_id(), Some("request-77"));
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// That of what an event causes: the event's id is the causation id, and the correlation id goes on;
    /// where it has none, its id is that too.
    #[must_use]
    pub fn following(event: &RecordedEvent) -> Self {
        let found = Self::of(event);
        let correlation = match found.get_correlation_id() {
            Some(id) => id.to_owned(),
            None => event.id.to_string(),
        };
        Self::new()
            .correlation_id(correlation)
            .causation_id(event.id.to_string())
    }

    /// That of an event; nothing where its metadata is not a JSON object.
    #[must_use]
    pub fn of(event: &RecordedEvent) -> Self {
        if event.metadata.is_empty() {
            return Self::new();
        }
        Self(serde_json::from_slice(&event.metadata).unwrap_or_default())
    }

    /// Sets the correlation id.
    #[must_use]
    pub fn correlation_id(self, id: impl Into<String>) -> Self {
        self.text(CORRELATION, id.into())
    }

    /// Sets the causation id.
    #[must_use]
    pub fn causation_id(self, id: impl Into<String>) -> Self {
        self.text(CAUSATION, id.into())
    }

    /// Sets something else.
    ///
    /// # Errors
    /// [`Error::Serialization`] where it cannot be written as JSON.
    pub fn with(mut self, name: impl Into<String>, value: &impl Serialize) -> Result<Self> {
        let name = name.into();
        let value = serde_json::to_value(value).map_err(|error| Error::Serialization {
            what: format!("the metadata {name:?} to JSON"),
            source: Box::new(error),
        })?;
        self.0.insert(name, value);
        Ok(self)
    }

    fn text(mut self, name: &str, value: String) -> Self {
        self.0.insert(name.to_owned(), Value::String(value));
        self
    }

    /// The correlation id.
    #[must_use]
    pub fn get_correlation_id(&self) -> Option<&str> {
        self.get(CORRELATION)?.as_str()
    }

    /// The causation id.
    #[must_use]
    pub fn get_causation_id(&self) -> Option<&str> {
        self.get(CAUSATION)?.as_str()
    }

    /// What is said under a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says it about an event, which is written in a version.
    pub(super) fn describe(&self, event: NewEvent, version: u32) -> Result<NewEvent> {
        // What is said about another event may tell the version of that one.
        let mut all = self.0.clone();
        all.remove(SCHEMA_VERSION);
        if version != 1 {
            all.insert(SCHEMA_VERSION.to_owned(), version.into());
        }
        if all.is_empty() {
            return Ok(event);
        }
        event.metadata(&all)
    }
}

/// A command with what belongs to it: an idempotency key, and what is said about its events.
///
/// ```
/// # use annals::cqrs::Envelope;
/// # struct Pay;
/// let command = Envelope::new(Pay).idempotency_key("request-77");
/// ```
///
/// Where one is expected, a plain command will do.
#[derive(Clone, Debug)]
pub struct Envelope<C> {
    pub(super) command: C,
    pub(super) key: Option<String>,
    pub(super) metadata: Metadata,
}

impl<C> Envelope<C> {
    /// A command by itself.
    #[must_use]
    pub fn new(command: C) -> Self {
        Self {
            command,
            key: None,
            metadata: Metadata::new(),
        }
    }

    /// Makes the same command, sent again with the same key, give the same result and no second event.
    /// A key belongs to one topic and is 1 to 512 bytes.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets what is said about its events.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Makes its events follow an event: see [`Metadata::following`]. The idempotency key is made from
    /// the event's id, unless there is one, so that a handler may send it again. So it is for one command
    /// for each event and topic: a second one needs a key of its own, or is taken for the first.
    #[must_use]
    pub fn following(mut self, event: &RecordedEvent) -> Self {
        self.metadata = Metadata::following(event);
        let key = |id: Uuid| format!("after {id}");
        self.key.get_or_insert_with(|| key(event.id));
        self
    }
}

impl<C> From<C> for Envelope<C> {
    fn from(command: C) -> Self {
        Self::new(command)
    }
}
