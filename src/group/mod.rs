//! Consumer groups: members that share a topic, partitioned by stream, with the order kept within each
//! stream.
//!
//! Built on what every user has: the store, and a [`Checkpoints`](crate::repository::Checkpoints). Each
//! partition has a checkpoint of its own, fenced as a consumer's is; who has which partition follows
//! from who is there, which the members tell one another in one more record, the roster.

mod backlog;
mod delivery;
mod join;
mod partition;
mod roster;
mod worker;

pub use delivery::Delivery;
pub use join::{Group, Member};
