//! What is built on an event store: aggregates, snapshots, decisions, projections and sagas.
//!
//! A thin layer over the public API of the store, usable on every adapter. Each part can be used without
//! the others.
//!
//! - [`Schema`]: events as values of an enum, and what became of those that were written before.
//! - [`LiveModel`]: a read model in memory that follows topics.
//! - [`Projection`]: a read model anywhere else, with checkpoints.

mod metadata;
mod projection;
mod schema;
pub mod testing;

pub use metadata::{Envelope, Metadata};
#[cfg(feature = "postgres")]
pub use projection::PostgresProjection;
pub use projection::{
    Cause, Live, LiveModel, LiveStatus, OnFailure, ParkedEvent, Project, Projecting, Projection,
    ProjectionState, ProjectionStatus, ReadModel, Rebuild, TopicProgress,
};
pub use schema::{Schema, Unknown};
