#![doc = include_str!("../README.md")]
// The library must not panic on any input or any state of disk, server or network. Here and not in
// the manifest, because tests and examples may.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod commands;
mod config;
mod consumer;
mod context;
#[cfg(feature = "cqrs")]
pub mod cqrs;
mod detached;
mod event_store;
mod event_stream;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod gate;
mod group;
#[cfg(any(feature = "server", feature = "cli"))]
pub mod json;
mod models;
mod move_topic;
mod open;
mod parking;
mod queries;
mod registry;
pub mod repository;
#[cfg(feature = "server")]
pub mod server;
mod stream_change;
mod subscription;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod topic_state;
mod write_model;

pub use config::{ConfigurationStream, EventStoreConfig};
pub use consumer::{Consume, Consumer, TopicCheckpoints};
pub use event_store::EventStore;
pub use event_stream::EventStream;
pub use group::{Delivery, Group, Member};
pub use models::{
    Append, AppendReceipt, BoxError, Candidate, Changes, Checkpoint, Clock, Commit, ContentType,
    Direction, Error, EventFilter, EventType, ExpectedVersion, FilterItem, FormerStorage,
    HealthReport, HealthStatus, Holder, ImportReceipt, Limits, MoveOptions, MovePhase,
    MoveProgress, NewEvent, Options, Placement, Position, PushEvent, PushOutcome, Read,
    RecordedEvent, RepositoryHealth, Result, STREAM_DELETED, STREAM_RESTORED, Signal, StorageId,
    StoreId, StreamId, StreamState, Subscribe, SyncToken, SystemClock, Tags, Timestamp,
    TopicConfig, TopicInfo, TopicMove, TopicName, TopicStatus, Version,
};
pub use subscription::{MergedSubscription, Signals, Subscription};
