//! Events at once, in a bounded number.

use std::sync::Arc;

use futures_util::TryStreamExt;

use super::read_events::read_events;
use crate::{
    context::Context,
    models::{Error, Read, RecordedEvent, Result},
};

pub(crate) async fn get_events(
    context: &Arc<Context>,
    topic: &str,
    read: Read,
) -> Result<Vec<RecordedEvent>> {
    let bound = context.limits.get_events as u64;
    if read.has_limit() {
        return read_events(context, topic, read).try_collect().await;
    }
    // One more than the bound tells that there are more.
    let events: Vec<_> = read_events(context, topic, read.limit(bound.saturating_add(1)))
        .try_collect()
        .await?;
    let found = events.len() as u64;
    if found > bound {
        return Err(Error::TooLarge {
            what: "result in events",
            limit: bound,
            actual: found,
        });
    }
    Ok(events)
}
