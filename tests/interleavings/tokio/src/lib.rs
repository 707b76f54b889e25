//! What Annals uses of tokio, for the executor of shuttle.
//!
//! Channels and locks are those of tokio: each is done in one step, as if under a lock, and around
//! it shuttle may switch to another task. Tasks are shuttle's. Time is not modelled: whoever sleeps
//! may wake at any moment, and a timeout never ends.

pub mod runtime;
mod select;
pub mod sync;
pub mod task;
pub mod time;

#[doc(hidden)]
pub use ::tokio as real;
pub use ::tokio::pin;
pub use task::spawn;

/// Another task may run here, as on another thread.
pub(crate) fn switch() {
    shuttle::thread::sleep(std::time::Duration::ZERO);
}

/// Yes or no, by chance; replayed with the schedule.
#[doc(hidden)]
#[must_use]
pub fn chance() -> bool {
    use shuttle::rand::RngCore;
    shuttle::rand::thread_rng().next_u32().is_multiple_of(2)
}
