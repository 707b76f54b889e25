//! Decisions over events of any streams: what a filter finds is what they depend on.

mod decisions;

pub use decisions::Decisions;

use serde::{Serialize, de::DeserializeOwned};

use super::Envelope;
use crate::{AppendReceipt, EventFilter};

/// A command that depends on events of any streams: those that its filter finds. It is its own dynamic
/// consistency boundary (<https://dcb.events>).
///
/// All functions are pure: no I/O, no clock, no chance. What a decision needs of these is in it.
///
/// ```
/// # use annals::{EventFilter, cqrs::{Decision, Emit}};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// enum SeatEvent { SeatTaken { seat: String, by: String } }
///
/// struct TakeSeat { seat: String, by: String }
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("the seat is taken by {0}")]
/// struct Taken(String);
///
/// impl Decision for TakeSeat {
///     type Event = SeatEvent;
///     type State = Option<String>;
///     type Error = Taken;
///
///     fn filter(&self) -> EventFilter {
///         EventFilter::all().types(["SeatTaken"]).tags([format!("seat:{}", self.seat)])
///     }
///
///     fn apply(&self, taken: &mut Option<String>, event: &SeatEvent) {
///         let SeatEvent::SeatTaken { by, .. } = event;
///         *taken = Some(by.clone());
///     }
///
///     fn decide(&self, taken: &Option<String>) -> Result<Vec<Emit<SeatEvent>>, Taken> {
///         if let Some(by) = taken {
///             return Err(Taken(by.clone()));
///         }
///         let event = SeatEvent::SeatTaken { seat: self.seat.clone(), by: self.by.clone() };
///         Ok(vec![Emit::new(event).stream(format!("booking-{}", self.by)).tag(format!("seat:{}", self.seat))])
///     }
/// }
/// ```
pub trait Decision: Send + Sync {
    /// The events: see [`Schema`](super::Schema).
    type Event: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What the events tell that it depends on.
    type State: Default + Send + Sync;
    /// Why it is no.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The events that it depends on. None of them may be recorded between the look and the append.
    fn filter(&self) -> EventFilter;

    /// Changes the state as an event says that the filter has found.
    fn apply(&self, state: &mut Self::State, event: &Self::Event);

    /// The events that follow; none where nothing is to be done.
    ///
    /// # Errors
    /// Why it is rejected.
    fn decide(&self, state: &Self::State) -> Result<Vec<Emit<Self::Event>>, Self::Error>;
}

/// A decision, by itself or in an [`Envelope`].
pub trait ToDecide {
    /// The decision.
    type Decision: Decision;

    /// The decision with what belongs to it.
    fn into_envelope(self) -> Envelope<Self::Decision>;
}

impl<D: Decision> ToDecide for D {
    type Decision = D;

    fn into_envelope(self) -> Envelope<D> {
        Envelope::new(self)
    }
}

impl<D: Decision> ToDecide for Envelope<D> {
    type Decision = D;

    fn into_envelope(self) -> Self {
        self
    }
}

/// An event that was decided on, with where it is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit<E> {
    pub(super) event: E,
    pub(super) stream: Option<String>,
    pub(super) tags: Vec<String>,
}

impl<E> Emit<E> {
    /// An event in the topic's default stream, without tags.
    #[must_use]
    pub const fn new(event: E) -> Self {
        Self {
            event,
            stream: None,
            tags: Vec::new(),
        }
    }

    /// Records it in this stream.
    #[must_use]
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }

    /// Records it with a tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

/// What came of a decision.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Decided<E> {
    /// The events that it has led to.
    pub events: Vec<E>,
    /// Where they are recorded; none where there are none. It says
    /// [`duplicate`](AppendReceipt::duplicate) where the decision had been carried out before.
    pub receipt: Option<AppendReceipt>,
}
