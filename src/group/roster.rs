//! Who is in a group: a record that each member marks again and again, and of which it takes those who
//! do not any more.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Group;
use crate::{Checkpoint, Error, Result, repository::Checkpoints};

/// How often it is tried to write the record while others do.
const TRIES: usize = 20;

/// Who is in a group, as one member sees it.
#[derive(Debug)]
pub(super) struct Roster {
    checkpoints: Arc<dyn Checkpoints>,
    pub(super) key: String,
    pub(super) origin: String,
    pub(super) me: Uuid,
    partitions: u32,
    lease: Duration,
    /// The mark of each member, and since when it has been seen to be so.
    seen: HashMap<Uuid, (u64, Instant)>,
    /// When this member is to mark the record again.
    due: Instant,
    /// Whether this member has entered since it was asked last: it was not in the group before.
    entered: bool,
    /// Until when this member may take itself to be in the group.
    valid: Instant,
}

/// The record's note.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    partitions: u32,
    members: BTreeMap<Uuid, u64>,
}

impl Roster {
    pub(super) fn new(
        checkpoints: Arc<dyn Checkpoints>,
        key: String,
        origin: String,
        group: &Group,
    ) -> Self {
        let now = Instant::now();
        Self {
            checkpoints,
            key,
            origin,
            me: Uuid::new_v4(),
            partitions: group.partitions,
            lease: group.lease,
            seen: HashMap::new(),
            due: now,
            entered: false,
            valid: now,
        }
    }

    /// Whether this member may give events: others do not take it to be gone.
    pub(super) fn is_valid(&self) -> bool {
        Instant::now() < self.valid
    }

    /// Whether this member has entered since this was asked last.
    pub(super) const fn has_entered(&mut self) -> bool {
        std::mem::replace(&mut self.entered, false)
    }

    /// The members, in an order on which all agree. Marks the record where that is due, and takes those
    /// off who have not done so for the time of a lease.
    pub(super) async fn look(&mut self) -> Result<Vec<Uuid>> {
        for _ in 0..TRIES {
            let asked = Instant::now();
            let (mut record, mut note) = self.load().await?;
            self.watch(&note, asked);
            let before = note.members.len();
            note.members.retain(|id, _| {
                *id == self.me
                    || self
                        .seen
                        .get(id)
                        .is_none_or(|(_, since)| asked.duration_since(*since) <= self.lease)
            });
            let mine = note.members.contains_key(&self.me);
            if mine && before == note.members.len() && asked < self.due {
                return Ok(note.members.into_keys().collect());
            }
            *note.members.entry(self.me).or_default() += 1;
            record.note = text(&note)?;
            match self.checkpoints.replace(&self.key, &record).await {
                Ok(_) => {
                    self.due = asked + self.lease / 3;
                    self.valid = asked + self.lease;
                    self.entered |= !mine;
                    return Ok(note.members.into_keys().collect());
                }
                Err(Error::CheckpointConflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(busy(&self.key))
    }

    /// Takes this member off.
    pub(super) async fn leave(&mut self) -> Result<()> {
        self.valid = Instant::now();
        for _ in 0..TRIES {
            let (mut record, mut note) = self.load().await?;
            if note.members.remove(&self.me).is_none() {
                return Ok(());
            }
            record.note = text(&note)?;
            match self.checkpoints.replace(&self.key, &record).await {
                Err(Error::CheckpointConflict { .. }) => {}
                done => return done.map(drop),
            }
        }
        Err(busy(&self.key))
    }

    async fn load(&self) -> Result<(Checkpoint, Note)> {
        let record = self.checkpoints.load(&self.key).await?;
        if record.origin != self.origin {
            let note = Note {
                partitions: self.partitions,
                ..Note::default()
            };
            let anew = Checkpoint {
                revision: record.revision,
                origin: self.origin.clone(),
                ..Checkpoint::default()
            };
            return Ok((anew, note));
        }
        let note: Note = serde_json::from_str(&record.note).map_err(|error| Error::Corruption {
            place: format!("the roster of {}", self.key),
            reason: format!("it cannot be read: {error}"),
        })?;
        if note.partitions != self.partitions {
            return Err(Error::InvalidConfig {
                key: "partitions".to_owned(),
                reason: format!(
                    "the group {} has {}; another number needs a group of another name",
                    self.key, note.partitions
                ),
            });
        }
        Ok((record, note))
    }

    fn watch(&mut self, note: &Note, now: Instant) {
        self.seen.retain(|id, _| note.members.contains_key(id));
        for (id, mark) in &note.members {
            let seen = self.seen.entry(*id).or_insert((*mark, now));
            if seen.0 != *mark {
                *seen = (*mark, now);
            }
        }
    }
}

fn text(note: &Note) -> Result<String> {
    serde_json::to_string(note).map_err(|error| Error::Serialization {
        what: "a roster to JSON".to_owned(),
        source: Box::new(error),
    })
}

fn busy(key: &str) -> Error {
    Error::RepositoryUnavailable {
        repository: key.to_owned(),
        reason: format!("others wrote the roster {TRIES} times in a row; try again"),
        source: None,
    }
}
