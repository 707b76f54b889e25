//! What is built on an event store: aggregates, snapshots, decisions, projections and sagas.
//!
//! A thin layer over the public API of the store, usable on every adapter. Each part can be used without
//! the others.
//!
//! - [`Schema`]: events as values of an enum, and what became of those that were written before.
//! - [`LiveModel`]: a read model in memory that follows topics.

mod metadata;
mod projection;
mod schema;
pub mod testing;

pub use metadata::{Envelope, Metadata};
pub use projection::{
    Cause, Live, LiveModel, LiveStatus, ProjectionState, ReadModel, Rebuild, TopicProgress,
};
pub use schema::{Schema, Unknown};
