//! Contacts and transactions as they are shown, and how they are looked for.

use annals::RecordedEvent;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{ContactDetails, Event, TransactionDetails};

/// A contact or a transaction as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row<D> {
    pub(crate) id: Uuid,
    pub(crate) version: u64,
    pub(crate) deleted: bool,
    pub(crate) created_at: String,
    pub(crate) changed_at: String,
    #[serde(flatten)]
    pub(crate) details: D,
}

/// What a row is of.
pub(crate) trait Details: Clone + Send + Sync + 'static {
    /// What an event begins with.
    fn created(event: &Event) -> Option<Self>;
    fn change(&mut self, event: &Event);
    /// By what they are in order.
    fn sort_key(&self) -> String;
    /// In what is searched, in lower case.
    fn search_text(&self) -> String;
    /// Of a transaction.
    fn contact(&self) -> Option<Uuid>;
    fn cents(&self) -> i64;
}

impl Details for ContactDetails {
    fn created(event: &Event) -> Option<Self> {
        match event {
            Event::ContactCreated(details) => Some(details.clone()),
            _ => None,
        }
    }

    fn change(&mut self, event: &Event) {
        if let Event::ContactChanged(patch) = event {
            self.patch(patch);
        }
    }

    fn sort_key(&self) -> String {
        self.name.to_lowercase()
    }

    fn search_text(&self) -> String {
        let parts = [
            Some(&self.name),
            self.email.as_ref(),
            self.phone.as_ref(),
            self.note.as_ref(),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.join("\n").to_lowercase()
    }

    fn contact(&self) -> Option<Uuid> {
        None
    }

    fn cents(&self) -> i64 {
        0
    }
}

impl Details for TransactionDetails {
    fn created(event: &Event) -> Option<Self> {
        match event {
            Event::TransactionCreated(details) => Some(details.clone()),
            _ => None,
        }
    }

    fn change(&mut self, event: &Event) {
        if let Event::TransactionChanged(patch) = event {
            self.patch(patch);
        }
    }

    fn sort_key(&self) -> String {
        self.date.clone()
    }

    fn search_text(&self) -> String {
        self.description.to_lowercase()
    }

    fn contact(&self) -> Option<Uuid> {
        Some(self.contact)
    }

    fn cents(&self) -> i64 {
        self.cents
    }
}

impl<D: Details> Row<D> {
    /// The row as it is after an event of its own.
    pub(crate) fn after(
        row: Option<Self>,
        id: Uuid,
        event: &Event,
        recorded: &RecordedEvent,
    ) -> Option<Self> {
        let at = recorded.recorded_at.to_string();
        let mut row = match (row, D::created(event)) {
            (Some(row), _) => row,
            (None, Some(details)) => Self {
                id,
                version: 0,
                deleted: false,
                created_at: at.clone(),
                changed_at: String::new(),
                details,
            },
            // No entity begins otherwise.
            (None, None) => return None,
        };
        row.version = recorded.version.get();
        row.changed_at = at;
        match event {
            Event::ContactDeleted {} | Event::TransactionDeleted { .. } => row.deleted = true,
            Event::ContactRestored {} | Event::TransactionRestored { .. } => row.deleted = false,
            event => row.details.change(event),
        }
        Some(row)
    }

    /// What it counts for in the balance of its contact.
    pub(crate) fn counts(&self) -> i64 {
        if self.deleted {
            0
        } else {
            self.details.cents()
        }
    }

    fn place(&self) -> Place {
        (self.details.sort_key(), self.id)
    }

    pub(crate) fn is_found(&self, find: &Find) -> bool {
        (find.deleted || !self.deleted)
            && (find.contact.is_none() || find.contact == self.details.contact())
            && self.details.search_text().contains(&find.text)
    }
}

/// Where a row is among the others.
pub(crate) type Place = (String, Uuid);

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Find {
    /// Transactions of this contact.
    pub(crate) contact: Option<Uuid>,
    /// In lower case; empty for all.
    pub(crate) text: String,
    /// Deleted ones, too.
    pub(crate) deleted: bool,
    pub(crate) after: Option<Place>,
    pub(crate) limit: usize,
}

/// Some of what was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page<R> {
    pub(crate) items: Vec<R>,
    /// `after` of the next page; none where this is the last.
    pub(crate) next: Option<String>,
}

impl<D: Details> Page<Row<D>> {
    /// Of one row more than the limit, if there are as many.
    pub(crate) fn of(mut items: Vec<Row<D>>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more).map(Row::place);
        Self {
            next: last.map(|(key, id)| format!("{id}~{key}")),
            items,
        }
    }
}

/// Where a page begins, as [`Page::next`] told it.
pub(crate) fn read_place(text: &str) -> Option<Place> {
    let (id, key) = text.split_once('~')?;
    Some((key.to_owned(), id.parse().ok()?))
}
