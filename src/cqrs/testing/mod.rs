//! Help for tests of what is built on the toolkit: given, when, then, without a store.

mod recorded;

pub use recorded::recorded;
