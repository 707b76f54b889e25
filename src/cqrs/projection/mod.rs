//! Projections: read models that are made of events, and follow them.
//!
//! - [`LiveModel`]: one in memory, made anew whenever the program starts.

mod board;
mod live;
mod pause;
mod pull;
mod rebuild;

use serde::de::DeserializeOwned;

pub use self::{
    board::{Cause, ProjectionState, TopicProgress},
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
