//! What one stream alone cannot tell: a contact is deleted only without open transactions, and a
//! transaction is open only with a contact that is not deleted. Both hold also where two come at once.

use annals::{
    EventFilter,
    cqrs::{Aggregate as _, Decision, Emit},
};
use uuid::Uuid;

use super::{
    book::{Wish, transaction_command},
    contact::{Contact, ContactAction, ContactCommand},
    event::{Entity, Event, contact_tag},
    refusal::Refusal,
    transaction::Transaction,
};

/// Deletes a contact.
#[derive(Clone, Debug)]
pub(crate) struct DeleteContact {
    pub(crate) contact: Uuid,
    pub(crate) expected: Option<u64>,
}

/// A contact, and how many open transactions it has.
#[derive(Debug, Default)]
pub(crate) struct WithTransactions {
    pub(crate) contact: Contact,
    open: u64,
}

impl Decision for DeleteContact {
    type Event = Event;
    type State = WithTransactions;
    type Error = Refusal;

    fn filter(&self) -> EventFilter {
        let own = Entity::Contact(self.contact).to_string();
        let transactions = EventFilter::all()
            .types(Event::OPENING_OR_CLOSING)
            .tags([contact_tag(self.contact)]);
        EventFilter::all().streams([own]).or(transactions)
    }

    fn apply(&self, state: &mut WithTransactions, event: &Event) {
        match event {
            Event::TransactionCreated(_) | Event::TransactionRestored { .. } => state.open += 1,
            Event::TransactionDeleted { .. } => state.open = state.open.saturating_sub(1),
            event => state.contact.apply(event),
        }
    }

    fn decide(&self, state: &WithTransactions) -> Result<Vec<Emit<Event>>, Refusal> {
        Ok(emit(Entity::Contact(self.contact), self.events(state)?))
    }
}

impl DeleteContact {
    pub(crate) fn events(&self, state: &WithTransactions) -> Result<Vec<Event>, Refusal> {
        state.contact.decide(&ContactCommand {
            expected: self.expected,
            action: ContactAction::Delete { open: state.open },
        })
    }
}

/// Creates or restores a transaction of a contact.
#[derive(Clone, Debug)]
pub(crate) struct OpenTransaction {
    pub(crate) transaction: Uuid,
    pub(crate) contact: Uuid,
    pub(crate) wish: Wish,
    pub(crate) expected: Option<u64>,
}

/// A transaction, and what of its contact tells whether that is deleted.
#[derive(Debug, Default)]
pub(crate) struct WithContact {
    pub(crate) transaction: Transaction,
    contact: Contact,
}

impl Decision for OpenTransaction {
    type Event = Event;
    type State = WithContact;
    type Error = Refusal;

    fn filter(&self) -> EventFilter {
        let own = Entity::Transaction(self.transaction).to_string();
        let contact = EventFilter::all()
            .types(["ContactCreated", "ContactDeleted", "ContactRestored"])
            .streams([Entity::Contact(self.contact).to_string()]);
        EventFilter::all().streams([own]).or(contact)
    }

    fn apply(&self, state: &mut WithContact, event: &Event) {
        match Wish::of(event).is_of_contact() {
            true => state.contact.apply(event),
            false => state.transaction.apply(event),
        }
    }

    fn decide(&self, state: &WithContact) -> Result<Vec<Emit<Event>>, Refusal> {
        let events = self.events(state)?;
        Ok(emit(Entity::Transaction(self.transaction), events))
    }
}

impl OpenTransaction {
    pub(crate) fn events(&self, state: &WithContact) -> Result<Vec<Event>, Refusal> {
        let command = transaction_command(&self.wish, state.contact.standing(), self.expected);
        let command = command.ok_or(Refusal::NotFound)?;
        state.transaction.decide(&command)
    }
}

fn emit(entity: Entity, events: Vec<Event>) -> Vec<Emit<Event>> {
    let emit = |event: Event| {
        let tags = event.tags();
        let emit = Emit::new(event).stream(entity.to_string());
        tags.into_iter().fold(emit, Emit::tag)
    };
    events.into_iter().map(emit).collect()
}
