//! All contacts and transactions at once: what a device has in memory, and decides on while it is offline.

use std::collections::BTreeMap;

use annals::cqrs::Aggregate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    contact::{Contact, ContactAction, ContactCommand, Standing},
    event::{ContactDetails, ContactPatch, Entity, Event, TransactionDetails, TransactionPatch},
    refusal::Refusal,
    transaction::{Transaction, TransactionAction, TransactionCommand},
};

/// What somebody wants to have done with a contact or a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wish {
    CreateContact(ContactDetails),
    ChangeContact(ContactPatch),
    DeleteContact,
    RestoreContact,
    CreateTransaction(TransactionDetails),
    ChangeTransaction(TransactionPatch),
    DeleteTransaction,
    RestoreTransaction,
}

impl Wish {
    /// The wish that an event fulfils.
    pub(crate) fn of(event: &Event) -> Self {
        match event.clone() {
            Event::ContactCreated(details) => Self::CreateContact(details),
            Event::ContactChanged(patch) => Self::ChangeContact(patch),
            Event::ContactDeleted {} => Self::DeleteContact,
            Event::ContactRestored {} => Self::RestoreContact,
            Event::TransactionCreated(details) => Self::CreateTransaction(details),
            Event::TransactionChanged(patch) => Self::ChangeTransaction(patch),
            Event::TransactionDeleted { .. } => Self::DeleteTransaction,
            Event::TransactionRestored { .. } => Self::RestoreTransaction,
        }
    }

    pub(crate) const fn is_of_contact(&self) -> bool {
        matches!(
            self,
            Self::CreateContact(_)
                | Self::ChangeContact(_)
                | Self::DeleteContact
                | Self::RestoreContact
        )
    }
}

/// All contacts and transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) contacts: BTreeMap<Uuid, Contact>,
    pub(crate) transactions: BTreeMap<Uuid, Transaction>,
}

impl Book {
    /// How many events an entity has.
    pub(crate) fn version(&self, entity: Entity) -> u64 {
        match entity {
            Entity::Contact(id) => self.contacts.get(&id).map_or(0, |found| found.version),
            Entity::Transaction(id) => self.transactions.get(&id).map_or(0, |found| found.version),
        }
    }

    pub(crate) fn apply(&mut self, entity: Entity, event: &Event) {
        match entity {
            Entity::Contact(id) => self.contacts.entry(id).or_default().apply(event),
            Entity::Transaction(id) => self.transactions.entry(id).or_default().apply(event),
        }
    }

    /// The event that follows from a wish; none where it is so already.
    pub(crate) fn decide(&self, entity: Entity, wish: &Wish) -> Result<Option<Event>, Refusal> {
        let events = match entity {
            Entity::Contact(id) => {
                let open = self.open_transactions(id);
                let command = contact_command(wish, open, None).ok_or(Refusal::NotFound)?;
                match self.contacts.get(&id) {
                    Some(contact) => contact.decide(&command),
                    None => Contact::default().decide(&command),
                }
            }
            Entity::Transaction(id) => {
                let found = self.transactions.get(&id);
                let contact = contact_of(wish, found);
                let standing = contact.map(|contact| self.standing(contact));
                let command = transaction_command(wish, standing.unwrap_or_default(), None);
                let command = command.ok_or(Refusal::NotFound)?;
                match found {
                    Some(transaction) => transaction.decide(&command),
                    None => Transaction::default().decide(&command),
                }
            }
        };
        Ok(events?.pop())
    }

    pub(crate) fn standing(&self, contact: Uuid) -> Standing {
        let found = self.contacts.get(&contact);
        found.map(Contact::standing).unwrap_or_default()
    }

    pub(crate) fn open_transactions(&self, contact: Uuid) -> u64 {
        let of = |transaction: &&Transaction| {
            let details = transaction.details.as_ref();
            transaction.is_open() && details.is_some_and(|details| details.contact == contact)
        };
        self.transactions.values().filter(of).count() as u64
    }
}

/// A wish as a command to a contact, if it is for one.
pub(crate) fn contact_command(
    wish: &Wish,
    open: u64,
    expected: Option<u64>,
) -> Option<ContactCommand> {
    let action = match wish.clone() {
        Wish::CreateContact(details) => ContactAction::Create(details),
        Wish::ChangeContact(patch) => ContactAction::Change(patch),
        Wish::DeleteContact => ContactAction::Delete { open },
        Wish::RestoreContact => ContactAction::Restore,
        _ => return None,
    };
    Some(ContactCommand { expected, action })
}

/// The contact of a transaction for which this is wished, where that is known.
pub(crate) fn contact_of(wish: &Wish, now: Option<&Transaction>) -> Option<Uuid> {
    match wish {
        Wish::CreateTransaction(details) => Some(details.contact),
        _ => Some(now?.details.as_ref()?.contact),
    }
}

/// A wish as a command to a transaction whose contact is so, if it is for one.
pub(crate) fn transaction_command(
    wish: &Wish,
    contact: Standing,
    expected: Option<u64>,
) -> Option<TransactionCommand> {
    let action = match wish.clone() {
        Wish::CreateTransaction(details) => TransactionAction::Create(details, contact),
        Wish::ChangeTransaction(patch) => TransactionAction::Change(patch),
        Wish::DeleteTransaction => TransactionAction::Delete,
        Wish::RestoreTransaction => TransactionAction::Restore(contact),
        _ => return None,
    };
    Some(TransactionCommand { expected, action })
}
