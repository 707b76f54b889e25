//! Subscriptions: history, then live, each event once and in order.
//!
//! The machine ([`Follower`]) reads and waits in turn, through one repository at a time. It does so
//! only where it is polled, so a subscriber that sleeps costs what it holds: a page at most, and what
//! its adapter has read ahead. It does not know where its topic is configured; a [`Source`] tells it
//! where the topic is now.

mod backoff;
mod follower;
mod merged;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod topic;

pub(crate) use follower::Follower;
pub use merged::MergedSubscription;
#[cfg(feature = "testing")]
pub(crate) use source::Fixed;
pub use stream::{Signals, Subscription};
pub(crate) use topic::TopicSource;
