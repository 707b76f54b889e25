//! Checks a history: what clients of stores asked and were answered, against the logs that are left
//! in the end.
//!
//! Clients write down [`Entry`]s ([`record`], as JSON lines where there are several processes).
//! When all is over, every topic is read whole, and [`check`] tells what cannot have been. It knows
//! nothing of stores: all it goes by are the answers, the times between which they were given, and
//! the final log. Since a log shows its own order, no search is needed: a check sorts, looks up, and
//! walks each list once.
//!
//! What each rule checks, and which of the invariants I1 to I15 and promises P1 to P12 it is, is
//! said in [`rule`]. Not checked here, because a history does not show it: that configurations of
//! topics are consistent (I10), that damage is named (I12, beyond that what is read is what was
//! written), what fault was there when a call failed (I13). Cancelled calls (I14) and writers that
//! stood still (I15) are histories like any others, with outcomes that are not known.

#![allow(
    dead_code,
    unused_imports,
    clippy::allow_attributes,
    reason = "no test program uses all of it"
)]

pub(crate) mod calls;
pub(crate) mod client;
pub(crate) mod lines;
pub(crate) mod random;
pub(crate) mod record;
pub(crate) mod rule;

mod appends;
mod bounds;
mod check;
mod moves;
mod observed;
mod order;
mod reads;
mod refusals;
mod streams;
mod subscriptions;
mod view;
mod writers;

pub(crate) use check::{Logs, check};
pub(crate) use record::Entry;
pub(crate) use rule::{Rule, Violation};
