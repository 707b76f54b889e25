//! Time, which may pass at any moment.

use std::{future::Future, time::Duration};

pub use ::tokio::time::Instant;

/// Never made.
#[derive(Clone, Copy, Debug)]
pub enum Elapsed {}

/// Sleeps, for as long as others like.
pub async fn sleep(_: Duration) {
    crate::task::yield_now().await;
}

/// Sleeps, for as long as others like.
pub async fn sleep_until(_: Instant) {
    crate::task::yield_now().await;
}

/// Waits for it, however long it takes.
pub async fn timeout<F: Future>(_: Duration, future: F) -> Result<F::Output, Elapsed> {
    Ok(future.await)
}
