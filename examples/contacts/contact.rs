//! A contact, as its events tell it.

use annals::cqrs::Aggregate;

use super::{
    event::{ContactDetails, ContactPatch, Event},
    refusal::Refusal,
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contact {
    /// None before it is created.
    pub(crate) details: Option<ContactDetails>,
    pub(crate) deleted: bool,
    /// How many events it has.
    pub(crate) version: u64,
}

/// What a contact is told, and at which version it is believed to be.
#[derive(Clone, Debug)]
pub(crate) struct ContactCommand {
    pub(crate) expected: Option<u64>,
    pub(crate) action: ContactAction,
}

#[derive(Clone, Debug)]
pub(crate) enum ContactAction {
    Create(ContactDetails),
    Change(ContactPatch),
    /// With the number of transactions that it has and that are not deleted.
    Delete {
        open: u64,
    },
    Restore,
}

/// How a contact is, for those who belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    #[default]
    Missing,
    Active,
    Deleted,
}

impl Contact {
    pub(crate) const fn standing(&self) -> Standing {
        match (&self.details, self.deleted) {
            (None, _) => Standing::Missing,
            (Some(_), false) => Standing::Active,
            (Some(_), true) => Standing::Deleted,
        }
    }
}

impl Aggregate for Contact {
    type Event = Event;
    type Command = ContactCommand;
    type Error = Refusal;

    fn decide(&self, command: &ContactCommand) -> Result<Vec<Event>, Refusal> {
        let now = match (&self.details, &command.action) {
            (None, ContactAction::Create(details)) => {
                details.check()?;
                return Ok(vec![Event::ContactCreated(details.clone())]);
            }
            (Some(_), ContactAction::Create(_)) => return Err(Refusal::Exists),
            (None, _) => return Err(Refusal::NotFound),
            (Some(now), _) => now,
        };
        expect(command.expected, self.version)?;
        match &command.action {
            ContactAction::Restore if self.deleted => Ok(vec![Event::ContactRestored {}]),
            ContactAction::Restore => Err(Refusal::NotDeleted),
            _ if self.deleted => Err(Refusal::Deleted),
            ContactAction::Delete { open: 0 } => Ok(vec![Event::ContactDeleted {}]),
            ContactAction::Delete { open } => Err(Refusal::HasTransactions { open: *open }),
            ContactAction::Change(patch) => {
                let mut then = now.clone();
                then.patch(patch);
                then.check()?;
                let patch = patch.clone().leaving_out(now);
                let changes = patch != ContactPatch::default();
                Ok(changes
                    .then_some(Event::ContactChanged(patch))
                    .into_iter()
                    .collect())
            }
            // Done above.
            ContactAction::Create(_) => Err(Refusal::Exists),
        }
    }

    fn apply(&mut self, event: &Event) {
        self.version += 1;
        match (event, &mut self.details) {
            (Event::ContactCreated(details), _) => self.details = Some(details.clone()),
            (Event::ContactChanged(patch), Some(details)) => details.patch(patch),
            (Event::ContactDeleted {}, _) => self.deleted = true,
            (Event::ContactRestored {}, _) => self.deleted = false,
            // No contact has others.
            _ => {}
        }
    }
}

/// Refuses what was decided on another version.
pub(crate) const fn expect(expected: Option<u64>, actual: u64) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != actual => Err(Refusal::Stale { expected, actual }),
        _ => Ok(()),
    }
}
