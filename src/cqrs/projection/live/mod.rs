//! Read models in memory: fed by subscriptions, read without asking anybody.

mod feed;
mod model;
mod rebuild;
mod shared;

use std::fmt;

use serde::de::DeserializeOwned;

pub use self::model::{LiveModel, LiveStatus};
use super::super::Schema;
use crate::RecordedEvent;

/// What is made of events, and read.
///
/// ```
/// # use annals::{RecordedEvent, cqrs::ReadModel};
/// # use serde::Deserialize;
/// # use std::collections::HashMap;
/// #[derive(Deserialize)]
/// enum OrderEvent {
///     OrderPlaced { customer: String, cents: u64 },
/// }
///
/// #[derive(Default)]
/// struct Spent(HashMap<String, u64>);
///
/// impl ReadModel for Spent {
///     type Event = OrderEvent;
///
///     fn apply(&mut self, event: OrderEvent, _: &RecordedEvent) {
///         let OrderEvent::OrderPlaced { customer, cents } = event;
///         *self.0.entry(customer).or_default() += cents;
///     }
/// }
/// ```
pub trait ReadModel: Default + Send + Sync + 'static {
    /// What it is made of; see [`Schema`].
    type Event: DeserializeOwned + Send + 'static;

    /// Takes the next event of a topic. Readers wait meanwhile, so it does nothing else.
    fn apply(&mut self, event: Self::Event, recorded: &RecordedEvent);
}

/// What a [`LiveModel`] is fed with: topics, and how their events are read.
///
/// ```
/// # use annals::cqrs::{Live, Schema, Unknown};
/// # #[derive(serde::Deserialize)] enum Event { Placed }
/// let live = Live::topics(["orders", "stock"])
///     .schema(Schema::<Event>::new().unknown(Unknown::Skip));
/// ```
pub struct Live<E> {
    topics: Vec<String>,
    schema: Schema<E>,
}

impl<E> Live<E> {
    /// Fed with the events of these topics: those of each topic in order, and no order between topics.
    #[must_use]
    pub fn topics<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            topics: super::distinct(topics),
            schema: Schema::new(),
        }
    }

    /// Sets how events are read. With [`Unknown::Skip`](super::super::Unknown::Skip) only those that can
    /// be read are asked for.
    #[must_use]
    pub fn schema(mut self, schema: Schema<E>) -> Self {
        self.schema = schema;
        self
    }
}

impl<E> Clone for Live<E> {
    fn clone(&self) -> Self {
        Self {
            topics: self.topics.clone(),
            schema: self.schema.clone(),
        }
    }
}

impl<E> fmt::Debug for Live<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("topics", &self.topics)
            .field("schema", &self.schema)
            .finish()
    }
}
