//! Help for tests of what is built on the toolkit: given, when, then, without a store.

mod recorded;
mod saga;

pub use recorded::recorded;
pub use saga::GivenSaga;
