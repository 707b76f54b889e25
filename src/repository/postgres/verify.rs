//! Reads and checks everything that is stored for a topic.

use std::sync::Arc;

use super::{
    codec::bigint,
    reader::scan,
    rows::bigint_at,
    shared::{Args, Shared},
    topic::Core,
};
use crate::{
    models::{Error, Position, Result},
    repository::Verified,
};

/// Reads and checks every event up to the head at which it began: the checksum of each, that no
/// position is missing, that each version follows the one before, and that the tags can be found.
pub(super) async fn verify(shared: &Arc<Shared>, core: &Arc<Core>) -> Result<Verified> {
    let failed = |failure: super::errors::Failure| failure.error(&shared.name, Some(&core.topic));
    let asked = Args::new().with(None::<&str>);
    let rows = shared
        .fetch(Arc::clone(&core.sql.state), asked)
        .await
        .map_err(failed)?;
    let head = match rows.first() {
        Some(row) => bigint_at(row, 1).map_err(|error| failed(error.into()))?,
        None => 0,
    };
    let mut verified = Verified {
        parts: 2,
        ..Verified::default()
    };
    let disorder: Arc<str> = disorder_sql(core).into();
    let mut after = 0;
    while after < head {
        let events = scan(shared, core, after, head).await?;
        let Some(last) = events.last().map(|event| event.position.get()) else {
            break;
        };
        verified.events += events.len() as u64;
        verified.bytes += events
            .iter()
            .map(|event| (event.payload.len() + event.metadata.len()) as u64)
            .sum::<u64>();
        let bounds = Args::new().with(bigint(after)).with(bigint(last));
        let found = shared
            .fetch(Arc::clone(&disorder), bounds)
            .await
            .map_err(failed)?;
        if let Some(row) = found.first() {
            let position = bigint_at(row, 0).map_err(|error| failed(error.into()))?;
            return Err(Error::Corruption {
                place: format!("{}, position {}", core.names.place(), Position::new(position)),
                reason: "its version does not follow the one before, its time is earlier, or its tags are not those in the table of tags"
                    .to_owned(),
            });
        }
        after = last;
    }
    Ok(verified)
}

/// Finds the first event of a span that does not fit to what is around it.
fn disorder_sql(core: &Core) -> String {
    let (events, tags) = (&core.names.events, &core.names.tags);
    format!(
        "SELECT e.position FROM {events} e WHERE e.position > $1 AND e.position <= $2 AND NOT (\
         (e.version = 1 OR EXISTS (SELECT FROM {events} b WHERE b.stream = e.stream \
         AND b.version = e.version - 1 AND b.position < e.position)) \
         AND NOT EXISTS (SELECT FROM {events} b WHERE b.position = e.position - 1 AND b.recorded_at > e.recorded_at) \
         AND NOT EXISTS (SELECT FROM unnest(e.tags) u(tag) WHERE NOT EXISTS (\
         SELECT FROM {tags} t WHERE t.tag = u.tag AND t.position = e.position))) \
         ORDER BY e.position LIMIT 1"
    )
}
