//! Projections: read models that are made of events, and follow them.
//!
//! - [`LiveModel`]: one in memory, made anew whenever the program starts.
//! - [`Projection`]: one anywhere else, at least once, with checkpoints.
//! - `PostgresProjection`: one in PostgreSQL, exactly once.

mod board;
mod handlers;
mod live;
mod pause;
mod pull;
mod rebuild;
#[cfg(feature = "postgres")]
mod tables;

use serde::de::DeserializeOwned;

#[cfg(feature = "postgres")]
pub use self::tables::PostgresProjection;
pub use self::{
    board::{Cause, ProjectionState, TopicProgress},
    handlers::{OnFailure, ParkedEvent, Project, Projecting, Projection, ProjectionStatus},
    live::{Live, LiveModel, LiveStatus, ReadModel},
    rebuild::Rebuild,
};
use super::Schema;
use crate::EventFilter;

/// The events that a reader has to see: those that it can read, where it leaves out others.
fn asked_for<E: DeserializeOwned>(schema: &Schema<E>) -> EventFilter {
    if schema.skips_unknown() {
        schema.filter()
    } else {
        EventFilter::all()
    }
}

/// Topics in their order, each once: instances that take leases in one order do not wait for one
/// another.
fn distinct<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut topics: Vec<String> = topics.into_iter().map(Into::into).collect();
    topics.sort_unstable();
    topics.dedup();
    topics
}
