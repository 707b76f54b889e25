//! The conformance suite: every promise of a repository as cases that any adapter can be put
//! through.
//!
//! Describe how a fresh, empty site of your adapter is made (a [`Fixture`]; most adapters need no
//! more than a [`FactoryFixture`]), and run every one of [`cases`] against it, each in a
//! multi-threaded tokio runtime of its own. A case that panics has failed, and one that does not
//! end within a minute has failed too. There is no case that an adapter may skip.
//!
//! ```
//! # use std::sync::Arc;
//! # use annals::{repository::memory::MemoryFactory, testing::{FactoryFixture, cases}};
//! let fixture = Arc::new(FactoryFixture::in_memory("memory", || {
//!     Arc::new(MemoryFactory::default())
//! }));
//! let case = cases().into_iter().next().expect("there are cases");
//! println!("{}::{}::{}", "memory", case.promise.slug(), case.name);
//! tokio::runtime::Runtime::new()?.block_on((case.run)(fixture));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The suite knows the trait [`EventRepository`](crate::repository::EventRepository) and nothing
//! of any adapter. What needs a dying machine, a failing disk or a slow network is not in it.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a case fails by panicking, as every test does"
)]

mod atomic;
mod bounded;
mod case;
mod clock;
mod conditions;
mod conflicting;
mod contained;
mod contended;
mod delivered;
mod draft;
mod durable;
mod elsewhere;
mod exact;
mod factory_fixture;
mod fixture;
mod guarded;
mod idempotent;
mod importing;
mod live;
mod named;
mod oracle;
mod ordered;
mod random;
mod read_your_writes;
mod reads;
mod retried;
mod scene;
mod sealing;
mod shared;
mod stored;
mod stream_deletion;
mod subscribed;
mod subscribers;
mod unknown;
mod wish;

pub use case::{Case, Promise, cases};
pub use clock::TestClock;
pub use delivered::{Comparison, Delivered};
pub use elsewhere::{Answer, Job, Task};
pub use factory_fixture::FactoryFixture;
pub use fixture::{Fixture, Processes, Site};
pub use oracle::{check_log, expected_events, first_match};
