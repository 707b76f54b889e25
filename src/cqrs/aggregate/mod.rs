//! Aggregates: what one stream of events says, and which events a command may add to it.

mod aggregates;
mod cache;
mod execute;
mod load;

pub use aggregates::Aggregates;

use serde::{Serialize, de::DeserializeOwned};

use crate::{AppendReceipt, Version};

/// Something with a state of its own, told by the events of one stream.
///
/// Both functions are pure: no I/O, no clock, no chance. What a decision needs of these comes with the
/// command. So a command can be decided again, and events can be applied again.
///
/// ```
/// # use annals::cqrs::Aggregate;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Default)]
/// struct Account { cents: u64 }
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Deposited { cents: u64 }, Withdrawn { cents: u64 } }
///
/// enum AccountCommand { Deposit(u64), Withdraw(u64) }
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("{0} cents are missing")]
/// struct Missing(u64);
///
/// impl Aggregate for Account {
///     type Event = AccountEvent;
///     type Command = AccountCommand;
///     type Error = Missing;
///
///     fn decide(&self, command: &AccountCommand) -> Result<Vec<AccountEvent>, Missing> {
///         match *command {
///             AccountCommand::Deposit(cents) => Ok(vec![AccountEvent::Deposited { cents }]),
///             AccountCommand::Withdraw(cents) if cents > self.cents => Err(Missing(cents - self.cents)),
///             AccountCommand::Withdraw(cents) => Ok(vec![AccountEvent::Withdrawn { cents }]),
///         }
///     }
///
///     fn apply(&mut self, event: &AccountEvent) {
///         match event {
///             AccountEvent::Deposited { cents } => self.cents += cents,
///             AccountEvent::Withdrawn { cents } => self.cents -= cents,
///         }
///     }
/// }
/// ```
pub trait Aggregate: Default + Send + Sync + 'static {
    /// Its events: see [`Schema`](super::Schema).
    type Event: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What it can be told to do.
    type Command: Send + Sync;
    /// Why it does not.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The events that follow from a command; none where nothing is to be done.
    ///
    /// # Errors
    /// Why the command is rejected.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// Changes the state as an event says. It cannot fail: the event has happened.
    fn apply(&mut self, event: &Self::Event);

    /// Tags under which an event is recorded.
    fn tags(_event: &Self::Event) -> Vec<String> {
        Vec::new()
    }
}

/// An aggregate as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<A> {
    /// What its events say.
    pub state: A,
    /// The version of its stream; [`Version::NONE`] where it has no events.
    pub version: Version,
}

/// What came of a command.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Executed<A: Aggregate> {
    /// The aggregate as it is now.
    pub state: A,
    /// The version of its stream now.
    pub version: Version,
    /// The events that the command has led to.
    pub events: Vec<A::Event>,
    /// Where they are recorded; none where there are none. It says
    /// [`duplicate`](AppendReceipt::duplicate) where the command had been carried out before.
    pub receipt: Option<AppendReceipt>,
}
