//! Given, when, then for aggregates.

use std::fmt::Debug;

use super::kept;
use crate::cqrs::{Aggregate, Schema};

/// An aggregate of which these events are given, each written and read as it would be in a store.
///
/// The methods panic, as assertions do.
///
/// ```
/// # use annals::cqrs::{Aggregate, testing::GivenAggregate};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default)]
/// # struct Door { open: bool }
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// # enum DoorEvent { Opened, Closed }
/// # enum DoorCommand { Open, Close }
/// # #[derive(Debug, PartialEq, thiserror::Error)]
/// # #[error("it is so already")]
/// # struct Already;
/// # impl Aggregate for Door {
/// #     type Event = DoorEvent;
/// #     type Command = DoorCommand;
/// #     type Error = Already;
/// #     fn decide(&self, command: &DoorCommand) -> Result<Vec<DoorEvent>, Already> {
/// #         match command {
/// #             DoorCommand::Open if !self.open => Ok(vec![DoorEvent::Opened]),
/// #             DoorCommand::Close if self.open => Ok(vec![DoorEvent::Closed]),
/// #             _ => Err(Already),
/// #         }
/// #     }
/// #     fn apply(&mut self, event: &DoorEvent) { self.open = matches!(event, DoorEvent::Opened); }
/// # }
/// GivenAggregate::<Door>::new()
///     .when(DoorCommand::Open)
///     .then(&[DoorEvent::Opened]);
/// GivenAggregate::<Door>::events([DoorEvent::Opened])
///     .when(DoorCommand::Open)
///     .then_rejected(&Already);
/// ```
#[derive(Debug)]
pub struct GivenAggregate<A: Aggregate> {
    state: A,
    schema: Schema<A::Event>,
}

impl<A: Aggregate> GivenAggregate<A> {
    /// An aggregate to which nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::events([])
    }

    /// An aggregate to which this has happened.
    #[must_use]
    #[track_caller]
    pub fn events(events: impl IntoIterator<Item = A::Event>) -> Self {
        let mut given = Self {
            state: A::default(),
            schema: Schema::new(),
        };
        given.apply(events);
        given
    }

    /// And then this.
    #[must_use]
    #[track_caller]
    pub fn and(mut self, events: impl IntoIterator<Item = A::Event>) -> Self {
        self.apply(events);
        self
    }

    #[track_caller]
    fn apply(&mut self, events: impl IntoIterator<Item = A::Event>) {
        for event in events {
            self.state.apply(&kept(&self.schema, &event));
        }
    }

    /// Gives it a command.
    #[must_use]
    #[track_caller]
    pub fn when(self, command: A::Command) -> AggregateOutcome<A> {
        let Self { mut state, schema } = self;
        let decided = state.decide(&command).map(|events| {
            let events: Vec<_> = events.iter().map(|event| kept(&schema, event)).collect();
            events.iter().for_each(|event| state.apply(event));
            events
        });
        AggregateOutcome { state, decided }
    }

    /// What the events say.
    #[must_use]
    pub const fn state(&self) -> &A {
        &self.state
    }
}

impl<A: Aggregate> Default for GivenAggregate<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// What came of a command.
#[derive(Debug)]
pub struct AggregateOutcome<A: Aggregate> {
    state: A,
    decided: Result<Vec<A::Event>, A::Error>,
}

impl<A: Aggregate> AggregateOutcome<A> {
    /// It has led to these events.
    ///
    /// # Panics
    /// Where it has not.
    #[track_caller]
    pub fn then(self, expected: &[A::Event]) -> Self
    where
        A::Event: PartialEq + Debug,
    {
        let rejected = self.decided.as_ref().err();
        assert!(rejected.is_none(), "it was rejected: {rejected:?}");
        let events = self.decided.as_deref().unwrap_or_default();
        assert_eq!(events, expected, "other events than expected");
        self
    }

    /// It was rejected for this reason.
    ///
    /// # Panics
    /// Where it was not.
    #[track_caller]
    pub fn then_rejected(self, expected: &A::Error) -> Self
    where
        A::Error: PartialEq,
    {
        let reason = self.decided.as_ref().err();
        assert_eq!(reason, Some(expected), "another outcome than expected");
        self
    }

    /// The aggregate is so afterwards.
    ///
    /// # Panics
    /// Where `is_so` says that it is not, or panics.
    #[track_caller]
    pub fn then_state(self, is_so: impl FnOnce(&A) -> bool) -> Self {
        assert!(is_so(&self.state), "the state is another one than expected");
        self
    }

    /// What was decided, to be looked at in another way.
    ///
    /// # Errors
    /// The reason for which it was rejected.
    pub fn decided(self) -> Result<Vec<A::Event>, A::Error> {
        self.decided
    }
}
