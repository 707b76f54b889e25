//! What happens to contacts and transactions: the events of the topic, and the streams that they are in.
//!
//! Changes name the fields that they change, and no others: so changes of two devices to different fields
//! of one contact both stand.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// The topic in which all of it is.
pub(crate) const TOPIC: &str = "contacts";

/// An event of the topic; which contact or transaction it is of, is told by its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum Event {
    ContactCreated(ContactDetails),
    ContactChanged(ContactPatch),
    ContactDeleted {},
    ContactRestored {},
    TransactionCreated(TransactionDetails),
    TransactionChanged(TransactionPatch),
    TransactionDeleted { contact: Uuid },
    TransactionRestored { contact: Uuid },
}

impl Event {
    /// An event as it goes over the wire: a type, and what is in it.
    pub(crate) fn read(event_type: &str, data: serde_json::Value) -> serde_json::Result<Self> {
        // So serde writes a variant of an enum.
        serde_json::from_value(serde_json::json!({ event_type: data }))
    }

    /// The types of the events that change whether a contact has open transactions.
    pub(crate) const OPENING_OR_CLOSING: [&'static str; 3] = [
        "TransactionCreated",
        "TransactionDeleted",
        "TransactionRestored",
    ];

    /// Those of which whoever looks for a contact's transactions has to know carry its tag.
    pub(crate) fn tags(&self) -> Vec<String> {
        match self {
            Self::TransactionCreated(TransactionDetails { contact, .. })
            | Self::TransactionDeleted { contact }
            | Self::TransactionRestored { contact } => vec![contact_tag(*contact)],
            _ => Vec::new(),
        }
    }
}

/// The tag on transactions of a contact.
pub(crate) fn contact_tag(contact: Uuid) -> String {
    format!("contact:{contact}")
}

/// A contact or a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Entity {
    Contact(Uuid),
    Transaction(Uuid),
}

impl Entity {
    /// The entity whose stream this is.
    pub(crate) fn of_stream(stream: &str) -> Option<Self> {
        let (kind, id) = stream.split_once('-')?;
        let id: Uuid = id.parse().ok()?;
        let entity = match kind {
            "contact" => Self::Contact(id),
            "transaction" => Self::Transaction(id),
            _ => return None,
        };
        // An id has one way of being written, so that an entity has one stream.
        (entity.to_string() == stream).then_some(entity)
    }

    pub(crate) const fn id(self) -> Uuid {
        match self {
            Self::Contact(id) | Self::Transaction(id) => id,
        }
    }

    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Contact(_) => "contact",
            Self::Transaction(_) => "transaction",
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind(), self.id())
    }
}

/// What is known of a contact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactDetails {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) email: Option<String>,
    #[serde(default)]
    pub(crate) phone: Option<String>,
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// Fields of a contact: those that are given; `null` empties one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactPatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub(crate) email: Option<Option<String>>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub(crate) phone: Option<Option<String>>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub(crate) note: Option<Option<String>>,
}

/// A field that is there is given, also where it is `null`.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl ContactPatch {
    /// Without what is so already.
    pub(crate) fn leaving_out(mut self, now: &ContactDetails) -> Self {
        self.name = self.name.filter(|name| *name != now.name);
        self.email = self.email.filter(|email| *email != now.email);
        self.phone = self.phone.filter(|phone| *phone != now.phone);
        self.note = self.note.filter(|note| *note != now.note);
        self
    }
}

impl ContactDetails {
    pub(crate) fn patch(&mut self, patch: &ContactPatch) {
        let ContactPatch {
            name,
            email,
            phone,
            note,
        } = patch.clone();
        self.name = name.unwrap_or_else(|| std::mem::take(&mut self.name));
        self.email = email.unwrap_or_else(|| self.email.take());
        self.phone = phone.unwrap_or_else(|| self.phone.take());
        self.note = note.unwrap_or_else(|| self.note.take());
    }
}

/// What is known of a transaction. Its contact never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransactionDetails {
    pub(crate) contact: Uuid,
    /// What the contact owes by it; below zero where it is paid.
    pub(crate) cents: i64,
    #[serde(default)]
    pub(crate) description: String,
    /// The day, `YYYY-MM-DD`.
    pub(crate) date: String,
}

/// Fields of a transaction: those that are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransactionPatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cents: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) date: Option<String>,
}

impl TransactionPatch {
    /// Without what is so already.
    pub(crate) fn leaving_out(mut self, now: &TransactionDetails) -> Self {
        self.cents = self.cents.filter(|cents| *cents != now.cents);
        self.description = self.description.filter(|text| *text != now.description);
        self.date = self.date.filter(|date| *date != now.date);
        self
    }
}

impl TransactionDetails {
    pub(crate) fn patch(&mut self, patch: &TransactionPatch) {
        let TransactionPatch {
            cents,
            description,
            date,
        } = patch.clone();
        self.cents = cents.unwrap_or(self.cents);
        self.description = description.unwrap_or_else(|| std::mem::take(&mut self.description));
        self.date = date.unwrap_or_else(|| std::mem::take(&mut self.date));
    }
}
