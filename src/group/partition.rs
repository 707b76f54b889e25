//! A partition that this member has.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{backlog::Backlog, roster::Roster};
use crate::{Clock, Error, Position, Result, StreamId, consumer::Lease, repository::Checkpoints};

/// A partition that this member has.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) lease: Lease,
    pub(super) backlog: Backlog,
    /// Whether another member is to have it: nothing more is given of it.
    pub(super) leaving: bool,
    /// What was recorded last.
    recorded: (Position, String),
}

/// What is kept with a partition's position.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    tries: BTreeMap<Position, u32>,
    /// What is done beyond the position.
    #[serde(default)]
    done: BTreeSet<Position>,
}

impl Partition {
    /// Takes a partition that nobody has, or one who is not among the members. It begins after a position
    /// where nobody has had it.
    pub(super) async fn take(
        checkpoints: &Arc<dyn Checkpoints>,
        clock: Arc<dyn Clock>,
        (key, after): (String, Position),
        roster: &mut Roster,
    ) -> Result<Option<Self>> {
        let found = checkpoints.load(&key).await?;
        let holder = found.holder.filter(|_| found.origin == roster.origin);
        // One who has come since this member has looked is no one who is gone. Who has a partition
        // has entered the roster before.
        if let Some(holder) = holder
            && holder.owner != roster.me
            && roster.look().await?.contains(&holder.owner)
        {
            return Ok(None);
        }
        let (me, origin) = (roster.me, roster.origin.as_str());
        let checkpoints = Arc::clone(checkpoints);
        let seized = Lease::seize(checkpoints, clock, key.clone(), origin, (me, found));
        let Some(lease) = seized.await? else {
            return Ok(None);
        };
        let record = lease.record().await;
        let note: Note = if record.note.is_empty() {
            Note::default()
        } else {
            serde_json::from_str(&record.note).map_err(|error| Error::Corruption {
                place: format!("the checkpoint of {key}"),
                reason: format!("its note cannot be read: {error}"),
            })?
        };
        let position = record.position.unwrap_or(after);
        Ok(Some(Self {
            lease,
            backlog: Backlog::after(position, note.tries, note.done),
            leaving: false,
            recorded: (position, record.note),
        }))
    }

    /// Records up to where all is done, and what was tried, if that is new.
    pub(super) async fn record(&mut self) -> Result<()> {
        let note = Note {
            tries: self.backlog.tries(),
            done: self.backlog.done_beyond(),
        };
        let note = if note.tries.is_empty() && note.done.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&note).map_err(|error| Error::Serialization {
                what: "the tries of a partition to JSON".to_owned(),
                source: Box::new(error),
            })?
        };
        let state = (self.backlog.done_to(), note);
        if state == self.recorded {
            return Ok(());
        }
        self.lease.commit(state.0, Some(state.1.clone())).await?;
        self.recorded = state;
        Ok(())
    }

    /// Whether it has nothing that this member would still have to do before another one has it.
    pub(super) fn is_left(&self) -> bool {
        self.leaving && !self.backlog.is_out()
    }
}

/// The partition of a stream: the same in every process and version (FNV-1a, 64 bits).
pub(super) fn partition_of(stream: &StreamId, partitions: u32) -> u32 {
    let hash = stream
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    // The lower bits of the last byte would tell too much.
    u32::try_from((hash >> 32 ^ hash) % u64::from(partitions.max(1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_the_same_partition_for_ever_and_are_spread() {
        let of = |stream: &str| partition_of(&StreamId::new(stream).unwrap(), 16);
        assert_eq!([of(""), of("order-1"), of("日本")], [1, 2, 4]);
        let mut counts = [0; 16];
        for number in 0..16_000 {
            counts[of(&format!("order-{number}")) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }
}
