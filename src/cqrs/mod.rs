//! What is built on an event store: aggregates, snapshots, decisions, projections and sagas.
//!
//! A thin layer over the public API of the store, usable on every adapter. Each part can be used without
//! the others.
//!
//! - [`Schema`]: events as values of an enum, and what became of those that were written before.
//! - [`Sagas`]: work in steps over several services, which no crash leaves half done.

mod metadata;
mod saga;
mod schema;
pub mod testing;

pub use metadata::{Envelope, Metadata};
pub use saga::{
    Next, Retry, Saga, SagaClient, SagaCounts, SagaData, SagaEvent, SagaOptions, SagaOutcome,
    SagaState, Sagas, Signalled, Step, StepContext, StepError,
};
pub use schema::{Schema, Unknown};
