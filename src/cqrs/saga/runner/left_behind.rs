//! The list of sagas that the checkpoint has left behind: so that one which is parked, or waits for a
//! month, does not have the log read from where it was started at every start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::{
    SagaData,
    log::{Fence, SagaLog},
};
use crate::{Append, EventFilter, NewEvent, Position, Read, Result};

/// The type of the events, in the stream without an id.
const TYPE: &str = "SagasLeftBehind";
/// How many are listed at most: the list is one event.
pub(super) const MOST: usize = 4000;
/// How many events the checkpoint stays behind before a list is made.
pub(super) const BEHIND: u64 = 2000;

#[derive(Debug, Default, Serialize, Deserialize)]
struct LeftBehind {
    sagas: BTreeMap<String, Position>,
}

/// The newest list.
pub(super) async fn read<D: SagaData>(log: &SagaLog<D>) -> Result<BTreeMap<String, Position>> {
    let newest = Read::stream(log.prefix.as_str())
        .filter(EventFilter::all().types([TYPE]))
        .backward()
        .limit(1);
    let events = log.store.get_events(&log.topic, newest).await?;
    match events.first() {
        Some(event) => Ok(event.json::<LeftBehind>()?.sagas),
        None => Ok(BTreeMap::new()),
    }
}

/// Records a list. The checkpoint may move on to where it was made then, and not before.
pub(super) async fn write<D: SagaData>(
    log: &SagaLog<D>,
    fence: &Fence,
    sagas: &BTreeMap<String, Position>,
) -> Result<()> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        sagas: &'a BTreeMap<String, Position>,
    }
    let list = NewEvent::json(TYPE, &Borrowed { sagas })?;
    let append = Append::new([list]).stream(log.prefix.as_str());
    log.persist(fence.guard(append)).await.map(drop)
}
