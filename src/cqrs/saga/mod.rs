//! Sagas: work in steps over several services, which is carried on after any crash, and undone in reverse
//! order where a step fails.
//!
//! What is to be done next is a pure function (`next`) of the [definition](Saga), the [state](SagaState),
//! which is a fold of events, and the time. The runner only does it, and records what came of it.

mod client;
mod context;
mod definition;
mod event;
mod log;
mod next;
mod perform;
mod runner;
mod state;
mod step;

pub use client::{SagaClient, Signalled};
pub use context::{StepContext, StepError};
pub use definition::{Saga, SagaData};
pub use event::SagaEvent;
pub use next::Next;
pub use runner::{SagaCounts, SagaOptions, Sagas};
pub use state::{SagaOutcome, SagaState};
pub use step::{Retry, Step};
