//! What was made offline, decided anew on what the server has recorded. These are the rules of conflicts:
//!
//! - A change names the fields that it changes. Those of others stay; a field that two have changed has
//!   the value of the one that comes to the server later. No clock has a say.
//! - Deleted is deleted: a change to what somebody has deleted is given up. Where it was restored
//!   meanwhile, it is made.
//! - A contact that somebody has given a transaction meanwhile is not deleted.
//! - A transaction for a contact that somebody has deleted meanwhile brings the contact back: no amount
//!   is lost.
//! - What is so already is given up in silence.

use serde_json::{Value, json};
use uuid::Uuid;

use super::outbox::{Made, Outbox};
use crate::{
    book::{Book, Wish},
    event::{Entity, Event},
    refusal::Refusal,
};

/// The namespace of the ids of events that bring contacts back.
const BRINGING_BACK: Uuid = Uuid::from_u128(0x51d0_2b8e_7f43_5f0a_9c1d_6261_636b_0000);

/// The id of the event that brings back the contact of a transaction; the same however often it is decided.
pub(crate) fn bringing_back(of: Uuid) -> Uuid {
    Uuid::new_v5(&BRINGING_BACK, of.as_bytes())
}

/// An event that is ready to be pushed.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) id: Uuid,
    /// For which that was made here it is: itself, but for what brings a contact back.
    pub(super) of: Uuid,
    pub(super) entity: Entity,
    pub(super) expected: u64,
    pub(super) event: Event,
    pub(super) at: String,
}

/// What comes of an outbox on a mirror.
#[derive(Debug)]
pub(super) struct Rebased {
    /// The mirror, with all that is ready applied to it.
    pub(super) book: Book,
    pub(super) ready: Vec<Ready>,
    /// What cannot be made any more, and why.
    pub(super) lost: Vec<(Uuid, String)>,
}

pub(super) fn rebase(mirror: &Book, outbox: &Outbox) -> Rebased {
    let mut rebased = Rebased {
        book: mirror.clone(),
        ready: Vec::new(),
        lost: Vec::new(),
    };
    for id in &outbox.pending {
        if let Some(made) = outbox.made.get(id) {
            rebased.add(*id, made);
        }
    }
    rebased
}

impl Rebased {
    fn add(&mut self, id: Uuid, made: &Made) {
        let mut decided = self.book.decide(made.entity, &made.wish);
        if decided == Err(Refusal::ContactDeleted) {
            self.bring_back(id, made);
            decided = self.book.decide(made.entity, &made.wish);
        }
        match decided {
            Ok(Some(event)) => self.ready(id, id, made.entity, event, &made.at),
            Ok(None) => self.lost.push((id, "it is so already".to_owned())),
            Err(refusal) => self.lost.push((id, refusal.kind().to_owned())),
        }
    }

    /// Restores the contact of a transaction.
    fn bring_back(&mut self, id: Uuid, made: &Made) {
        let found = self.book.transactions.get(&made.entity.id());
        let Some(contact) = crate::book::contact_of(&made.wish, found) else {
            return;
        };
        let contact = Entity::Contact(contact);
        if let Ok(Some(event)) = self.book.decide(contact, &Wish::RestoreContact) {
            self.ready(bringing_back(id), id, contact, event, &made.at);
        }
    }

    fn ready(&mut self, id: Uuid, of: Uuid, entity: Entity, event: Event, at: &str) {
        let expected = self.book.version(entity);
        self.book.apply(entity, &event);
        self.ready.push(Ready {
            id,
            of,
            entity,
            expected,
            event,
            at: at.to_owned(),
        });
    }
}

impl Ready {
    /// As it goes over the wire.
    pub(super) fn shown(&self) -> annals::Result<Value> {
        let written = serde_json::to_value(&self.event);
        let written = written.map_err(|source| annals::Error::Serialization {
            what: format!("the event {} to JSON", self.id),
            source: Box::new(source),
        })?;
        // So serde writes a variant of an enum: its name, with what is in it.
        let (event_type, data) = match written {
            Value::Object(one) => one.into_iter().next().unwrap_or_default(),
            other => (String::new(), other),
        };
        Ok(json!({
            "id": self.id,
            "stream": self.entity.to_string(),
            "type": event_type,
            "data": data,
            "expected_version": self.expected,
            "made_at": self.at,
        }))
    }
}
