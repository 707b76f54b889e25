//! Help for tests of what is built on the toolkit: given, when, then, without a store.

mod aggregate;
mod events;
mod recorded;
mod saga;

use serde::{Serialize, de::DeserializeOwned};

pub use aggregate::{AggregateOutcome, GivenAggregate};
pub use events::{DecisionOutcome, GivenEvents};
pub use recorded::recorded;
pub use saga::GivenSaga;

use super::{Metadata, Schema};

/// An event as it is after it was written and read: what a store does not keep is found in a test.
#[track_caller]
#[expect(clippy::panic, reason = "it is a failed assertion")]
fn kept<E: Serialize + DeserializeOwned>(schema: &Schema<E>, event: &E) -> E {
    let kept = schema
        .encode(event, &Metadata::new())
        .and_then(|new| recorded(&new, 1))
        .and_then(|recorded| schema.decode(&recorded));
    match kept {
        Ok(Some(event)) => event,
        Ok(None) => panic!("an event that is written is not read: it is left out"),
        Err(error) => panic!("an event cannot be recorded, or read: {error}"),
    }
}
