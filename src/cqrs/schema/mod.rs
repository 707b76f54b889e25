//! How events are written and read as values of a type: their names, their versions, and what became of
//! those that were written before.

mod decode;
mod encode;
mod upcast;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use self::upcast::{Step, Upcast, Upcasts};
use super::metadata::{Metadata, SCHEMA_VERSION};
use crate::{BoxError, Error, EventFilter, NewEvent, RecordedEvent, Result};

/// What a reader does with events whose type it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// They are an error, [`Error::UnknownEventType`].
    #[default]
    Error,
    /// They are left out.
    Skip,
}

/// How events are written and read as values of `E`.
///
/// `E` is an enum, or a struct, that serde can write and read in its own representation (no
/// `#[serde(tag)]` and no `untagged`). The name of the variant, or of the struct, is the event's type, as
/// `#[serde(rename)]` has it; what is in it is the payload, as JSON. Types that begin with `$` are the
/// store's own (a stream that was deleted, say) and are always left out.
///
/// ```
/// # use annals::cqrs::{Metadata, Schema};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum OrderEvent {
///     OrderPlaced { customer: String, cents: u64 },
///     OrderPaid,
/// }
///
/// let schema = Schema::<OrderEvent>::new()
///     // Amounts were whole units once.
///     .upcast("OrderPlaced", 1, |mut old| {
///         let units = old["total"].as_u64().ok_or("no total")?;
///         old["cents"] = (units * 100).into();
///         Ok(old)
///     })
///     .rename("OrderCreated", 1, "OrderPlaced", 1)
///     .retire("OrderLookedAt", 1);
/// schema.check()?;
/// let event = schema.encode(&OrderEvent::OrderPaid, &Metadata::new())?; // of the type "OrderPaid"
/// # Ok::<(), annals::Error>(())
/// ```
///
/// # Versions
/// An event is written in the version that follows the last step of its type, 1 where there is none; it
/// stands in its metadata as `$schemaVersion`, where it is not 1. Read, it goes through the steps from
/// its version on. An event of a version that is newer than what is known is an error: it was written
/// by a newer program.
pub struct Schema<E> {
    upcasts: Arc<Upcasts>,
    unknown: Unknown,
    checked: Arc<OnceLock<Result<(), String>>>,
    events: PhantomData<fn() -> E>,
}

/// The one part of the metadata that tells how to read an event.
#[derive(Deserialize)]
struct Versioned {
    #[serde(rename = "$schemaVersion", default = "first")]
    version: u32,
}

const fn first() -> u32 {
    1
}

impl<E> Schema<E> {
    /// Every type in its first version.
    #[must_use]
    pub fn new() -> Self {
        Self {
            upcasts: Arc::default(),
            unknown: Unknown::default(),
            checked: Arc::default(),
            events: PhantomData,
        }
    }

    /// Reads version `version` of a type as the next one, with its payload changed.
    #[must_use]
    pub fn upcast(
        self,
        event_type: impl Into<String>,
        version: u32,
        change: impl Fn(Value) -> Result<Value, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.step(event_type, version, Step::Change(Arc::new(change)))
    }

    /// Reads version `version` of a type as version `to_version` of another type.
    #[must_use]
    pub fn rename(
        self,
        event_type: impl Into<String>,
        version: u32,
        to: impl Into<String>,
        to_version: u32,
    ) -> Self {
        self.step(event_type, version, Step::Rename(to.into(), to_version))
    }

    /// Leaves out version `version` of a type.
    #[must_use]
    pub fn retire(self, event_type: impl Into<String>, version: u32) -> Self {
        self.step(event_type, version, Step::Retire)
    }

    /// Sets what is done with events whose type is not known.
    #[must_use]
    pub const fn unknown(mut self, unknown: Unknown) -> Self {
        self.unknown = unknown;
        self
    }

    /// Whether events whose type is not known are left out.
    pub(super) fn skips_unknown(&self) -> bool {
        self.unknown == Unknown::Skip
    }

    fn step(mut self, event_type: impl Into<String>, version: u32, step: Step) -> Self {
        let mut upcasts = Upcasts::clone(&self.upcasts);
        upcasts.add(event_type.into(), version, step);
        self.upcasts = Arc::new(upcasts);
        self.checked = Arc::default();
        self
    }

    fn checked(&self, named: impl FnOnce() -> bool) -> Result<()> {
        let check = || {
            if !named() {
                return Err(
                    "it has to be an enum or a struct in serde's own representation".to_owned(),
                );
            }
            self.upcasts.check()
        };
        let invalid = |reason: &String| Error::InvalidConfig {
            key: format!("schema of {}", std::any::type_name::<E>()),
            reason: reason.clone(),
        };
        self.checked
            .get_or_init(check)
            .as_ref()
            .copied()
            .map_err(invalid)
    }
}

impl<E: Serialize> Schema<E> {
    /// The event as it is appended, with this metadata.
    ///
    /// # Errors
    /// [`Error::Serialization`] where it is not an enum or a struct, or cannot be written as JSON.
    pub fn encode(&self, event: &E, metadata: &Metadata) -> Result<NewEvent> {
        let (event_type, payload) =
            encode::encode(event).map_err(|error| Error::Serialization {
                what: format!("{} to an event", std::any::type_name::<E>()),
                source: Box::new(error),
            })?;
        let version = self.version(event_type);
        metadata.describe(NewEvent::json_text(event_type, payload), version)
    }

    /// The version in which events of a type are written.
    #[must_use]
    pub fn version(&self, event_type: &str) -> u32 {
        self.upcasts.current(event_type)
    }
}

impl<E: DeserializeOwned> Schema<E> {
    /// Whether the steps fit together: versions without a gap, no circle, and each leads to a version
    /// that is written now. It is asked too when events are first read, or recorded by commands.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] says what does not fit.
    pub fn check(&self) -> Result<()> {
        self.checked(|| !decode::names::<E>().is_empty())
    }

    /// The event as a value; none where it is left out.
    ///
    /// # Errors
    /// [`Error::UnknownEventType`], [`Error::Serialization`] where it does not fit or is of a newer
    /// version, and those of [`check`](Self::check).
    pub fn decode(&self, event: &RecordedEvent) -> Result<Option<E>> {
        self.check()?;
        let event_type = event.event_type.as_str();
        if event_type.starts_with('$') {
            return Ok(None);
        }
        let version = version_of(event);
        let upcast = self.upcasts.upcast(event_type, version, &event.payload);
        let decoded = match upcast.map_err(|failure| not_upcast(event, version, failure))? {
            Upcast::Current => decode::decode(event_type, &event.payload),
            Upcast::Retired => return Ok(None),
            Upcast::Changed {
                event_type,
                payload,
            } => {
                let payload = payload.to_string();
                decode_owned(event_type, payload.as_bytes())
            }
        };
        match decoded {
            Ok(decoded) => Ok(Some(decoded)),
            Err(decode::Failure::UnknownType) if self.unknown == Unknown::Skip => Ok(None),
            Err(decode::Failure::UnknownType) => Err(Error::UnknownEventType {
                event_type: event_type.to_owned(),
                topic: event.topic.clone(),
                position: event.position,
            }),
            Err(decode::Failure::Payload(source)) => {
                Err(does_not_fit::<E>(event, Box::new(source)))
            }
        }
    }

    /// The types of all events that can be read: those of `E`, and those that become one.
    #[must_use]
    pub fn event_types(&self) -> Vec<String> {
        let own = decode::names::<E>().into_iter().map(str::to_owned);
        let older = self.upcasts.types().map(str::to_owned);
        let mut types: Vec<_> = own.chain(older).collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    /// All events that can be read.
    #[must_use]
    pub fn filter(&self) -> EventFilter {
        EventFilter::all().types(self.event_types())
    }
}

/// Reads from what does not live as long as the event.
fn decode_owned<E: DeserializeOwned>(
    event_type: &str,
    payload: &[u8],
) -> Result<E, decode::Failure> {
    decode::decode(event_type, payload)
}

fn version_of(event: &RecordedEvent) -> u32 {
    if event.metadata.is_empty() {
        return 1;
    }
    // Metadata that is something else was not written here.
    serde_json::from_slice::<Versioned>(&event.metadata).map_or(1, |found| found.version)
}

fn not_upcast(event: &RecordedEvent, version: u32, failure: upcast::Failure) -> Error {
    let place = format!("event {} of topic {}", event.position, event.topic);
    match failure {
        upcast::Failure::Newer { known } => Error::Serialization {
            what: format!("{place}: it has a newer schema than this program knows"),
            source: format!(
                "{SCHEMA_VERSION} of {} is {version}, and {known} is known",
                event.event_type
            )
            .into(),
        },
        upcast::Failure::Payload(source) => Error::Serialization {
            what: format!("the payload of {place} ({}) from JSON", event.event_type),
            source: Box::new(source),
        },
        upcast::Failure::Step {
            event_type,
            version,
            source,
        } => Error::Serialization {
            what: format!("{place} from version {version} of {event_type}"),
            source,
        },
    }
}

fn does_not_fit<E>(event: &RecordedEvent, source: BoxError) -> Error {
    Error::Serialization {
        what: format!(
            "the payload of event {} ({}) of topic {} to {}",
            event.position,
            event.event_type,
            event.topic,
            std::any::type_name::<E>()
        ),
        source,
    }
}

impl<E> Default for Schema<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Clone for Schema<E> {
    fn clone(&self) -> Self {
        Self {
            upcasts: Arc::clone(&self.upcasts),
            unknown: self.unknown,
            checked: Arc::clone(&self.checked),
            events: PhantomData,
        }
    }
}

impl<E> fmt::Debug for Schema<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("events", &std::any::type_name::<E>())
            .field("upcasts", &self.upcasts)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}
