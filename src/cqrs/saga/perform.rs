//! Calls a step, for no longer than it may take, and survives what it does.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use super::{StepContext, StepError, next::panicked, step::Action};

/// Calls it once.
pub(super) async fn perform<D>(
    action: &Action<D>,
    context: StepContext,
    data: D,
    timeout: Duration,
) -> Result<D, StepError> {
    // Within the future, so that a panic before the first await is caught too.
    let acting = AssertUnwindSafe(async { action(context, data).await }).catch_unwind();
    match tokio::time::timeout(timeout, acting).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(StepError::retry(panicked(&*panic))),
        Err(_) => Err(StepError::retry(format!("it took longer than {timeout:?}"))),
    }
}
