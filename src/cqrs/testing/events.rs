//! Given, when, then for what depends on events of any streams: decisions and projections.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

use super::{kept, recorded};
use crate::{
    NewEvent, RecordedEvent,
    cqrs::{Decision, Emit, Metadata, Projection, ReadModel, Schema},
};

/// A topic in which these events are given, each written and read as it would be in a store.
///
/// The methods panic, as assertions do.
///
/// ```
/// # use annals::{EventFilter, cqrs::{Decision, Emit, testing::GivenEvents}};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// # enum SeatEvent { SeatTaken { seat: u32 } }
/// # struct TakeSeat(u32);
/// # #[derive(Debug, PartialEq, thiserror::Error)]
/// # #[error("the seat is taken")]
/// # struct Taken;
/// # fn taken_seat(seat: u32) -> Emit<SeatEvent> {
/// #     Emit::new(SeatEvent::SeatTaken { seat }).tag(format!("seat:{seat}"))
/// # }
/// # impl Decision for TakeSeat {
/// #     type Event = SeatEvent;
/// #     type State = bool;
/// #     type Error = Taken;
/// #     fn filter(&self) -> EventFilter { EventFilter::all().tags([format!("seat:{}", self.0)]) }
/// #     fn apply(&self, taken: &mut bool, _: &SeatEvent) { *taken = true; }
/// #     fn decide(&self, taken: &bool) -> Result<Vec<Emit<SeatEvent>>, Taken> {
/// #         if *taken { Err(Taken) } else { Ok(vec![taken_seat(self.0)]) }
/// #     }
/// # }
/// GivenEvents::new([taken_seat(7)]).when(&TakeSeat(8)).then(&[taken_seat(8)]);
/// GivenEvents::new([taken_seat(7)]).when(&TakeSeat(7)).then_rejected(&Taken);
/// ```
///
/// The same for read models ([`read_model`](Self::read_model)) and projections
/// ([`project`](Self::project)).
#[derive(Debug)]
pub struct GivenEvents<E> {
    events: Vec<RecordedEvent>,
    schema: Schema<E>,
}

impl<E: Serialize + DeserializeOwned + Send + 'static> GivenEvents<E> {
    /// A topic with these events.
    ///
    /// # Panics
    /// Where one of them cannot be recorded.
    #[must_use]
    #[track_caller]
    pub fn new(events: impl IntoIterator<Item = Emit<E>>) -> Self {
        let schema = Schema::new();
        let record = |(position, emit): (u64, Emit<E>)| {
            let recorded = schema
                .encode(&emit.event, &Metadata::new())
                .and_then(|new| recorded(&placed(new, &emit), position));
            match recorded {
                Ok(recorded) => recorded,
                Err(error) => unrecordable(&error),
            }
        };
        let events = (1..).zip(events).map(record).collect();
        Self { events, schema }
    }

    /// The events as they are recorded.
    #[must_use]
    pub fn recorded(&self) -> &[RecordedEvent] {
        &self.events
    }

    /// The read model that they make.
    ///
    /// # Panics
    /// Where one of them cannot be read.
    #[must_use]
    #[track_caller]
    pub fn read_model<M: ReadModel<Event = E>>(&self) -> M {
        let mut model = M::default();
        for recorded in &self.events {
            if let Some(event) = self.read(recorded) {
                model.apply(event, recorded);
            }
        }
        model
    }

    /// Hands them to a projection, one after the other, as a run of it would that nothing disturbs.
    ///
    /// # Errors
    /// What the projection refuses an event for.
    ///
    /// # Panics
    /// Where one of them cannot be read.
    pub async fn project<P>(&self, projection: &mut P) -> Result<(), P::Error>
    where
        P: Projection<Event = E>,
        E: Sync,
    {
        for recorded in &self.events {
            if let Some(event) = self.read(recorded) {
                projection.handle(event, recorded).await?;
            }
        }
        projection.flush().await
    }

    #[track_caller]
    fn read(&self, recorded: &RecordedEvent) -> Option<E> {
        match self.schema.decode(recorded) {
            Ok(event) => event,
            Err(error) => unrecordable(&error),
        }
    }

    /// Makes a decision on them.
    ///
    /// # Panics
    /// Where an event cannot be recorded, or one that the filter finds cannot be read.
    #[track_caller]
    pub fn when<D: Decision<Event = E>>(&self, decision: &D) -> DecisionOutcome<E, D::Error> {
        let filter = decision.filter();
        let mut state = D::State::default();
        for event in self.events.iter().filter(|event| filter.matches(event)) {
            if let Some(event) = self.read(event) {
                decision.apply(&mut state, &event);
            }
        }
        let again = |emit: Emit<E>| Emit {
            event: kept(&self.schema, &emit.event),
            ..emit
        };
        let decided = decision.decide(&state);
        DecisionOutcome {
            decided: decided.map(|events| events.into_iter().map(again).collect()),
        }
    }
}

fn placed<E>(new: NewEvent, emit: &Emit<E>) -> NewEvent {
    let new = new.tags(emit.tags.iter().cloned());
    match &emit.stream {
        Some(stream) => new.stream(stream.clone()),
        None => new,
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "it is a failed assertion")]
fn unrecordable(error: &crate::Error) -> ! {
    panic!("an event cannot be recorded, or read: {error}")
}

/// What came of a decision.
#[derive(Debug)]
#[must_use]
pub struct DecisionOutcome<E, F> {
    decided: Result<Vec<Emit<E>>, F>,
}

impl<E: PartialEq + Debug, F: Debug> DecisionOutcome<E, F> {
    /// It has led to these events.
    ///
    /// # Panics
    /// Where it has not.
    #[track_caller]
    pub fn then(self, expected: &[Emit<E>]) {
        assert!(self.decided.is_ok(), "it was rejected: {:?}", self.decided);
        let events = self.decided.unwrap_or_default();
        assert_eq!(events, expected, "other events than expected");
    }

    /// It was rejected for this reason.
    ///
    /// # Panics
    /// Where it was not.
    #[track_caller]
    pub fn then_rejected(self, expected: &F)
    where
        F: PartialEq,
    {
        let reason = self.decided.err();
        assert_eq!(
            reason.as_ref(),
            Some(expected),
            "another outcome than expected"
        );
    }
}
