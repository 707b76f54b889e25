//! A transaction of a contact, as its events tell it.

use annals::cqrs::Aggregate;

use super::{
    contact::{Standing, expect},
    event::{Event, TransactionDetails, TransactionPatch},
    refusal::Refusal,
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// None before it is created.
    pub(crate) details: Option<TransactionDetails>,
    pub(crate) deleted: bool,
    /// How many events it has.
    pub(crate) version: u64,
}

/// What a transaction is told, and at which version it is believed to be.
#[derive(Clone, Debug)]
pub(crate) struct TransactionCommand {
    pub(crate) expected: Option<u64>,
    pub(crate) action: TransactionAction,
}

#[derive(Clone, Debug)]
pub(crate) enum TransactionAction {
    /// With how its contact is.
    Create(TransactionDetails, Standing),
    Change(TransactionPatch),
    Delete,
    /// With how its contact is.
    Restore(Standing),
}

/// An open transaction has a contact that is not deleted.
const fn admit(contact: Standing) -> Result<(), Refusal> {
    match contact {
        Standing::Active => Ok(()),
        Standing::Deleted => Err(Refusal::ContactDeleted),
        Standing::Missing => Err(Refusal::NoContact),
    }
}

impl Transaction {
    pub(crate) const fn is_open(&self) -> bool {
        self.details.is_some() && !self.deleted
    }
}

impl Aggregate for Transaction {
    type Event = Event;
    type Command = TransactionCommand;
    type Error = Refusal;

    fn decide(&self, command: &TransactionCommand) -> Result<Vec<Event>, Refusal> {
        let now = match (&self.details, &command.action) {
            (None, TransactionAction::Create(details, contact)) => {
                details.check()?;
                admit(*contact)?;
                return Ok(vec![Event::TransactionCreated(details.clone())]);
            }
            (Some(_), TransactionAction::Create(..)) => return Err(Refusal::Exists),
            (None, _) => return Err(Refusal::NotFound),
            (Some(now), _) => now,
        };
        expect(command.expected, self.version)?;
        let contact = now.contact;
        match &command.action {
            TransactionAction::Restore(_) if !self.deleted => Err(Refusal::NotDeleted),
            TransactionAction::Restore(standing) => {
                admit(*standing)?;
                Ok(vec![Event::TransactionRestored { contact }])
            }
            _ if self.deleted => Err(Refusal::Deleted),
            TransactionAction::Delete => Ok(vec![Event::TransactionDeleted { contact }]),
            TransactionAction::Change(patch) => {
                let mut then = now.clone();
                then.patch(patch);
                then.check()?;
                let patch = patch.clone().leaving_out(now);
                let changes = patch != TransactionPatch::default();
                Ok(changes
                    .then_some(Event::TransactionChanged(patch))
                    .into_iter()
                    .collect())
            }
            // Done above.
            TransactionAction::Create(..) => Err(Refusal::Exists),
        }
    }

    fn apply(&mut self, event: &Event) {
        self.version += 1;
        match (event, &mut self.details) {
            (Event::TransactionCreated(details), _) => self.details = Some(details.clone()),
            (Event::TransactionChanged(patch), Some(details)) => details.patch(patch),
            (Event::TransactionDeleted { .. }, _) => self.deleted = true,
            (Event::TransactionRestored { .. }, _) => self.deleted = false,
            // No transaction has others.
            _ => {}
        }
    }

    fn tags(event: &Event) -> Vec<String> {
        event.tags()
    }
}
