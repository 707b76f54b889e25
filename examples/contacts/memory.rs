//! The read model in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use annals::{RecordedEvent, cqrs::ReadModel};
use uuid::Uuid;

use super::{
    event::{ContactDetails, Entity, Event, TransactionDetails},
    rows::{Details, Find, Page, Place, Row},
};

/// All contacts and transactions, and what contacts owe.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) contacts: Shelf<ContactDetails>,
    pub(crate) transactions: Shelf<TransactionDetails>,
    pub(crate) balances: BTreeMap<Uuid, i64>,
}

impl ReadModel for Lists {
    type Event = Event;

    fn apply(&mut self, event: Event, recorded: &RecordedEvent) {
        match Entity::of_stream(recorded.stream.as_str()) {
            Some(Entity::Contact(id)) => drop(self.contacts.take(id, &event, recorded)),
            Some(Entity::Transaction(id)) => {
                if let Some((contact, change)) = self.transactions.take(id, &event, recorded) {
                    *self.balances.entry(contact).or_default() += change;
                }
            }
            None => {}
        }
    }
}

/// Rows, in order.
#[derive(Debug)]
pub(crate) struct Shelf<D> {
    rows: BTreeMap<Uuid, Row<D>>,
    order: BTreeSet<Place>,
}

impl<D> Default for Shelf<D> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<D: Details> Shelf<D> {
    pub(crate) fn get(&self, id: Uuid) -> Option<Row<D>> {
        self.rows.get(&id).cloned()
    }

    pub(crate) fn find(&self, find: &Find) -> Page<Row<D>> {
        let after = match &find.after {
            Some(place) => Bound::Excluded(place.clone()),
            None => Bound::Unbounded,
        };
        let rows = self.order.range((after, Bound::Unbounded));
        let rows = rows.filter_map(|(_, id)| self.rows.get(id));
        let found = rows.filter(|row| row.is_found(find)).take(find.limit + 1);
        Page::of(found.cloned().collect(), find.limit)
    }

    /// Takes an event, and tells by how much whose balance has changed.
    fn take(&mut self, id: Uuid, event: &Event, recorded: &RecordedEvent) -> Option<(Uuid, i64)> {
        let before = self.rows.remove(&id);
        let mut counted = 0;
        if let Some(before) = &before {
            self.order.remove(&(before.details.sort_key(), id));
            counted = before.counts();
        }
        let row = Row::after(before, id, event, recorded)?;
        let change = row.counts() - counted;
        let contact = row.details.contact();
        self.order.insert((row.details.sort_key(), id));
        self.rows.insert(id, row);
        contact.map(|contact| (contact, change))
    }
}
