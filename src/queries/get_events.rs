//! Events at once, in a bounded number.

use futures_util::TryStreamExt;

use crate::{
    event_stream::EventStream,
    models::{Error, Limits, Read, RecordedEvent, Result},
};

/// Collects the events that `open` gives, up to the limit of the read, or that of the store.
pub(crate) async fn get_events(
    limits: Limits,
    read: Read,
    open: impl FnOnce(Read) -> EventStream,
) -> Result<Vec<RecordedEvent>> {
    if read.has_limit() {
        return open(read).try_collect().await;
    }
    let bound = limits.get_events as u64;
    // One more than the bound tells that there are more.
    let events: Vec<_> = open(read.limit(bound.saturating_add(1)))
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
