//! Consumers: subscriptions that have a name, keep how far they have come, and of which one instance
//! goes on at a time.
//!
//! Built on what every user has: the store, and a [`Checkpoints`](crate::repository::Checkpoints).

mod consume;
mod lease;
mod stream;
mod topic;

pub use consume::Consume;
pub(crate) use consume::key;
pub(crate) use lease::Lease;
pub use stream::Consumer;
pub use topic::TopicCheckpoints;
