//! What is built on an event store: aggregates, snapshots, decisions, projections and sagas.
//!
//! A thin layer over the public API of the store, usable on every adapter. Each part can be used without
//! the others.
//!
//! - [`Aggregates`]: commands to what one stream of events tells, an [`Aggregate`].
//! - [`Snapshots`] of them.
//! - [`Decisions`]: commands that depend on events of any streams, each a [`Decision`].
//! - [`LiveModel`]: a read model in memory that follows topics.
//! - [`Projection`]: a read model anywhere else, with checkpoints.
//! - [`Sagas`]: work in steps over several services, which no crash leaves half done.
//! - [`Schema`]: events as values of an enum, and what became of those that were written before.
//! - [`testing`]: given, when, then.

mod aggregate;
mod decision;
mod error;
mod execution;
mod metadata;
mod projection;
mod saga;
mod schema;
mod snapshot;
pub mod testing;

pub use aggregate::{Aggregate, Aggregates, Executed, Loaded};
pub use decision::{Decided, Decision, Decisions, Emit, ToDecide};
pub use error::CommandError;
pub use metadata::{Envelope, Metadata};
#[cfg(feature = "postgres")]
pub use projection::PostgresProjection;
pub use projection::{
    Cause, Live, LiveModel, LiveStatus, OnFailure, ParkedEvent, Project, Projecting, Projection,
    ProjectionState, ProjectionStatus, ReadModel, Rebuild, TopicProgress,
};
pub use saga::{
    Next, Retry, Saga, SagaClient, SagaCounts, SagaData, SagaEvent, SagaOptions, SagaOutcome,
    SagaState, Sagas, Signalled, Step, StepContext, StepError,
};
pub use schema::{Schema, Unknown};
pub use snapshot::Snapshots;
