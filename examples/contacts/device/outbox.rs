//! What was made on a device, and what has become of it.

use std::collections::BTreeMap;

use annals::{
    NewEvent, RecordedEvent,
    cqrs::{Metadata, Schema},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{book::Wish, event::Entity};

/// A wish that was carried out here. Its id is that of the event by which the server hears of it, however
/// often that is decided anew: so the server records it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) entity: Entity,
    pub(crate) wish: Wish,
    /// By the clock of the device, which decides nothing.
    pub(crate) at: String,
}

/// An event of the outbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Noted {
    Made(Made),
    /// The server has it.
    Settled {
        of: Uuid,
    },
    /// It cannot stand beside what others have done.
    Dropped {
        of: Uuid,
        reason: String,
    },
}

impl Noted {
    pub(super) fn event(&self, id: Uuid) -> annals::Result<NewEvent> {
        Ok(Schema::new().encode(self, &Metadata::new())?.id(id))
    }
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) made: BTreeMap<Uuid, Made>,
    /// Of these, those that are not settled and not dropped, in the order in which they were made.
    pub(super) pending: Vec<Uuid>,
    pub(super) dropped: BTreeMap<Uuid, String>,
}

impl Outbox {
    pub(super) fn read(&mut self, recorded: &RecordedEvent) -> annals::Result<()> {
        if let Some(noted) = Schema::new().decode(recorded)? {
            self.apply(recorded.id, noted);
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, id: Uuid, noted: Noted) {
        match noted {
            Noted::Made(made) => {
                self.made.insert(id, made);
                self.pending.push(id);
            }
            Noted::Settled { of } => {
                self.pending.retain(|pending| *pending != of);
                // A push that was believed to be lost has come through after all.
                self.dropped.remove(&of);
            }
            Noted::Dropped { of, reason } => {
                self.pending.retain(|pending| *pending != of);
                self.dropped.insert(of, reason);
            }
        }
    }

    /// Whether this was made here, and the server was not known to have it.
    pub(super) fn is_unsettled(&self, id: Uuid) -> bool {
        self.pending.contains(&id) || self.dropped.contains_key(&id)
    }
}
