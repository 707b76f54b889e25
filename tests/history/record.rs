//! What clients write down: what they asked, what they were answered, and when.

use annals::RecordedEvent;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The end of a call that never returned.
pub(crate) const NEVER: u64 = u64::MAX;

/// One call of one client.
///
/// Times are nanoseconds of one clock that never goes back and that all clients share. `begin` is
/// read before the call is made, and `end` after it has returned. A topic that was deleted and
/// created anew is another one, and needs another name here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) process: u32,
    pub(crate) client: u32,
    /// Which call of the client it is.
    pub(crate) op: u64,
    pub(crate) topic: String,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) call: Call,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    Append(AppendCall),
    Change(ChangeCall),
    Read(ReadCall),
    /// Asked for the topic's last position; `None` where that failed.
    Head(Option<u64>),
    State(StateCall),
    Subscription(SubscriptionCall),
    Move(MoveAnswer),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppendCall {
    pub(crate) stream: String,
    pub(crate) expected: Expected,
    pub(crate) unless: Option<Unless>,
    pub(crate) events: Vec<Event>,
    /// The idempotency key that the ids of the events are made from.
    pub(crate) key: Option<String>,
    pub(crate) answer: AppendAnswer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expected {
    Any,
    NoStream,
    StreamExists,
    Exact(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unless {
    pub(crate) filter: Filter,
    pub(crate) after: u64,
}

/// An event as a client gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) stream: String,
    pub(crate) event_type: String,
    #[serde(with = "super::lines::hex")]
    pub(crate) payload: Vec<u8>,
    pub(crate) content_type: String,
    #[serde(with = "super::lines::hex")]
    pub(crate) metadata: Vec<u8>,
    pub(crate) tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AppendAnswer {
    Recorded(Receipt),
    Duplicate(Receipt),
    Refused(Refusal),
    /// It may have been recorded, or may be yet: the store said so, the call was dropped, or the
    /// process died.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) version: u64,
}

/// Why nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    WrongVersion {
        stream: String,
        expected: Expected,
        actual: u64,
    },
    ConditionFailed {
        position: u64,
    },
    StreamDeleted {
        stream: String,
    },
    IdConflict {
        position: u64,
    },
    Sealed,
    /// Any other error with which nothing was written.
    Other(String),
}

/// A stream that was deleted or restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeCall {
    pub(crate) stream: String,
    pub(crate) change: Change,
    pub(crate) answer: ChangeAnswer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Delete,
    Restore,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeAnswer {
    Done { version: u64 },
    NotFound,
    Refused(String),
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadCall {
    pub(crate) ask: Ask,
    pub(crate) seen: Vec<Seen>,
    /// The position up to which the read said that it has looked.
    pub(crate) looked_to: Option<u64>,
    pub(crate) answer: ReadAnswer,
}

/// What a read asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) stream: Option<String>,
    pub(crate) filter: Filter,
    pub(crate) after: u64,
    pub(crate) up_to: u64,
    pub(crate) after_version: u64,
    pub(crate) up_to_version: u64,
    pub(crate) backward: bool,
    pub(crate) limit: Option<u64>,
    pub(crate) include_deleted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReadAnswer {
    /// It came to its end.
    Ended,
    /// It was dropped, or ended with an error that tells nothing of the topic.
    Broken(String),
    StreamDeleted,
}

/// An event that was read or delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) position: u64,
    pub(crate) id: Uuid,
    /// Of all the rest: [`digest`].
    pub(crate) digest: u64,
}

/// Asked for the state of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateCall {
    pub(crate) stream: String,
    /// `None` where that failed.
    pub(crate) answer: Option<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) version: u64,
    pub(crate) deleted: bool,
}

/// One life of a subscription, from the call of `subscribe` until it was dropped or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriptionCall {
    pub(crate) start: Start,
    pub(crate) stream: Option<String>,
    pub(crate) filter: Filter,
    /// When `subscribe` had returned.
    pub(crate) started: u64,
    pub(crate) delivered: Vec<Delivery>,
    /// The position of the subscription in the end.
    pub(crate) position: u64,
    /// Whether it was left running until it should have delivered everything.
    pub(crate) to_the_end: bool,
    /// The error with which it ended, or did not begin.
    pub(crate) failed: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    After(u64),
    Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// When it was taken.
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) seen: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MoveAnswer {
    Moved,
    /// Nothing was moved, and the topic is open where it was.
    Refused,
    Unknown,
}

/// A filter: any of its items, all criteria of an item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Filter(pub(crate) Vec<Item>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Item {
    pub(crate) types: Vec<String>,
    pub(crate) streams: Vec<String>,
    pub(crate) stream_prefix: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) since: Option<i64>,
    pub(crate) until: Option<i64>,
}

impl Filter {
    pub(crate) fn all() -> Self {
        Self(vec![Item::default()])
    }

    pub(crate) fn tag(tag: &str) -> Self {
        Self(vec![Item {
            tags: vec![tag.to_owned()],
            ..Item::default()
        }])
    }

    pub(crate) fn of_type(event_type: &str) -> Self {
        Self(vec![Item {
            types: vec![event_type.to_owned()],
            ..Item::default()
        }])
    }

    /// Written apart from the law of the models, so that one checks the other.
    pub(crate) fn admits(&self, event: &RecordedEvent) -> bool {
        self.0.iter().any(|item| item.admits(event))
    }
}

impl Item {
    pub(crate) fn admits(&self, event: &RecordedEvent) -> bool {
        let (stream, at) = (event.stream.as_str(), event.recorded_at.as_micros());
        let any = |wanted: &[String], is: &str| wanted.is_empty() || wanted.iter().any(|w| w == is);
        let prefix = self.stream_prefix.as_deref().unwrap_or("");
        any(&self.types, event.event_type.as_str())
            && any(&self.streams, stream)
            && stream.starts_with(prefix)
            && self.tags.iter().all(|tag| event.tags.contains(tag))
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at <= until)
    }
}

impl Ask {
    pub(crate) fn all() -> Self {
        Self {
            stream: None,
            filter: Filter::all(),
            after: 0,
            up_to: u64::MAX,
            after_version: 0,
            up_to_version: u64::MAX,
            backward: false,
            limit: None,
            include_deleted: false,
        }
    }
}

impl Seen {
    pub(crate) fn of(event: &RecordedEvent) -> Self {
        Self {
            position: event.position.get(),
            id: event.id,
            digest: digest(event),
        }
    }
}

impl Event {
    pub(crate) fn is_recorded_as(&self, event: &RecordedEvent) -> bool {
        self.id == event.id
            && self.stream == event.stream.as_str()
            && self.event_type == event.event_type.as_str()
            && self.payload == event.payload
            && self.content_type == event.content_type.as_str()
            && self.metadata == event.metadata
            && event.tags.iter().eq(self.tags.iter().map(String::as_str))
    }
}

/// A digest (FNV-1a) of an event but its position and id. It is the same in every process.
pub(crate) fn digest(event: &RecordedEvent) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(event.stream.as_str().as_bytes());
    add(&event.version.get().to_le_bytes());
    add(event.event_type.as_str().as_bytes());
    add(&event.payload);
    add(event.content_type.as_str().as_bytes());
    add(&event.metadata);
    for tag in event.tags.iter() {
        add(tag.as_bytes());
    }
    add(&event.recorded_at.as_micros().to_le_bytes());
    hash
}

/// The id of the event with this index in an append with this idempotency key.
pub(crate) fn keyed_id(key: &str, index: u64) -> Uuid {
    const KEYS: Uuid = Uuid::from_u128(0x8c4f_1d0e_52b7_5b7e_9a36_616e_6e61_6c73);
    let mut name = key.as_bytes().to_vec();
    name.push(0);
    name.extend_from_slice(&index.to_le_bytes());
    Uuid::new_v5(&KEYS, &name)
}
