//! The nouns of the store: what goes in, what comes out, and what is refused.
//!
//! Nothing here does I/O or waits. Models import nothing of the crate but models.

mod append;
mod checkpoint;
mod clock;
mod error;
mod event;
mod event_type;
mod filter;
mod health;
mod import;
mod limits;
mod moves;
mod names;
mod placement;
mod position;
mod read;
pub(crate) mod secrets;
mod stream;
mod subscribe;
mod sync;
mod tags;
pub(crate) mod text;
mod timestamp;
mod topic;

pub use append::{Append, AppendReceipt, ExpectedVersion};
pub use checkpoint::{Checkpoint, Commit, Holder};
pub use clock::{Clock, SystemClock};
pub use error::{BoxError, Error, Result};
pub use event::{NewEvent, RecordedEvent};
pub use event_type::{ContentType, EventType, STREAM_DELETED, STREAM_RESTORED};
pub use filter::{Candidate, EventFilter, FilterItem};
pub use health::{HealthReport, HealthStatus, RepositoryHealth};
pub use import::ImportReceipt;
pub use limits::Limits;
pub use moves::{FormerStorage, MoveOptions, MovePhase, MoveProgress, TopicMove};
pub use names::{StreamId, TopicName};
pub use placement::{Options, Placement, StorageId, StoreId};
pub use position::{Position, Version};
pub use read::{Direction, Read};
pub use stream::StreamState;
pub use subscribe::{Signal, Subscribe};
pub use sync::{Changes, PushEvent, PushOutcome, SyncToken};
pub use tags::Tags;
pub use timestamp::Timestamp;
pub use topic::{TopicConfig, TopicInfo, TopicStatus};

pub(crate) use append::keyed_ids;
pub(crate) use read::ReadParts;
pub(crate) use subscribe::{Begin, SubscribeParts};
