//! Which generation of a projection is read, and which is being built: kept beside its checkpoints, so
//! that whoever starts next goes on with the right one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Checkpoint, Error, Result, repository::Checkpoints};

/// Where the generations of a projection are kept.
#[derive(Clone, Debug)]
pub(in super::super) struct Generations {
    checkpoints: Arc<dyn Checkpoints>,
    pub(in super::super) key: String,
}

/// The generations of a projection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Record {
    /// The one that is read; 0 before the first start.
    pub(in super::super) current: u64,
    /// The one that is being built beside it.
    pub(in super::super) building: Option<u64>,
}

impl Record {
    /// Whether a generation is to run.
    pub(super) fn wants(self, generation: u64) -> bool {
        self.current == generation || self.building == Some(generation)
    }
}

impl Generations {
    pub(super) fn new(checkpoints: Arc<dyn Checkpoints>, topic: &str, name: &str) -> Self {
        Self {
            checkpoints,
            key: format!("{topic}/{name}/generations"),
        }
    }

    pub(super) async fn load(&self) -> Result<Record> {
        let found = self.checkpoints.load(&self.key).await?;
        self.read(&found)
    }

    /// Changes what is recorded; tells what is recorded then.
    pub(super) async fn change(
        &self,
        change: impl Fn(Record) -> Record + Send + Sync,
    ) -> Result<Record> {
        loop {
            let found = self.checkpoints.load(&self.key).await?;
            let before = self.read(&found)?;
            let after = change(before);
            if after == before {
                return Ok(after);
            }
            match self.replace(&written(found, after)?).await {
                Err(Error::CheckpointConflict { .. }) => {}
                replaced => return replaced.map(|()| after),
            }
        }
    }

    /// What is to be recorded once a generation is read; none where a later one is.
    pub(super) async fn switched_to(&self, generation: u64) -> Result<Option<Checkpoint>> {
        let found = self.checkpoints.load(&self.key).await?;
        let before = self.read(&found)?;
        let after = Record {
            current: generation,
            building: before.building.filter(|building| *building > generation),
        };
        let late = before.current >= generation;
        if late {
            return Ok(None);
        }
        written(found, after).map(Some)
    }

    pub(in super::super) async fn replace(&self, next: &Checkpoint) -> Result<()> {
        self.checkpoints.replace(&self.key, next).await.map(drop)
    }

    fn read(&self, found: &Checkpoint) -> Result<Record> {
        if found.note.is_empty() {
            return Ok(Record::default());
        }
        serde_json::from_str(&found.note).map_err(|error| Error::Corruption {
            place: format!("the checkpoint {}", self.key),
            reason: format!("its note cannot be read: {error}"),
        })
    }
}

fn written(found: Checkpoint, record: Record) -> Result<Checkpoint> {
    let note = serde_json::to_string(&record).map_err(|error| Error::Serialization {
        what: "the generations of a projection to JSON".to_owned(),
        source: Box::new(error),
    })?;
    Ok(Checkpoint { note, ..found })
}

/// The name of the consumers of a generation.
pub(super) fn consumer(name: &str, generation: u64) -> String {
    if generation == 1 {
        name.to_owned()
    } else {
        format!("{name}@{generation}")
    }
}
