//! The steps of a saga, in order, and under which name.

use serde::{Serialize, de::DeserializeOwned};

use super::{SagaState, Step, state::Phase, step::Kind};
use crate::{Error, Result};

/// What a saga knows: recorded with each step, and given to the next.
pub trait SagaData: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

impl<D: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> SagaData for D {}

/// The definition of a saga: steps that are done one after the other, and undone in reverse order where
/// one of them fails.
///
/// ```
/// use std::time::Duration;
/// use annals::cqrs::{Retry, Saga, Step, StepContext, StepError};
/// # use serde::{Deserialize, Serialize};
/// # async fn reserve(_: &str, _: &str) -> Result<u64, StepError> { Ok(1) }
/// # async fn release(_: &str) -> Result<(), StepError> { Ok(()) }
/// # async fn ship(_: &str) -> Result<(), StepError> { Ok(()) }
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Order { article: String, reservation: Option<u64>, paid: bool }
///
/// let fulfilment = Saga::<Order>::named("fulfilment")
///     .step(
///         Step::new("reserve stock", |context: StepContext, mut order: Order| async move {
///             order.reservation = Some(reserve(context.idempotency_key(), &order.article).await?);
///             Ok(order)
///         })
///         .compensate(|context, order| async move {
///             // Whether it was reserved or not: the service knows it by the key.
///             release(context.undoes().unwrap_or_default()).await?;
///             Ok(order)
///         })
///         .timeout(Duration::from_secs(5)),
///     )
///     .step(Step::await_signal("payment confirmed", Duration::from_secs(86_400), |mut order: Order, paid| {
///         order.paid = paid;
///         if paid { Ok(order) } else { Err(StepError::fail("not paid")) }
///     }))
///     .step(Step::wait("cooling off", |_| Duration::from_secs(3600)))
///     .step(
///         Step::new("ship", |context, order| async move {
///             ship(context.idempotency_key()).await?;
///             Ok(order)
///         })
///         .retry(Retry::new(20)),
///     );
/// fulfilment.check()?;
/// # Ok::<(), annals::Error>(())
/// ```
///
/// # Changing it
/// Sagas that are under way go on with the definition as it is now: steps may be added after those that
/// they have begun, and what steps do may change. Where the names of the steps that a saga has done, or
/// has begun, are not those of the definition, or a compensation is gone, the saga is parked and says so;
/// give a definition that is meant to differ a new name.
#[derive(Debug)]
pub struct Saga<D> {
    pub(super) name: String,
    pub(super) steps: Vec<Step<D>>,
}

impl<D> Saga<D> {
    /// A saga without steps yet. Its name is 1 to 100 bytes of text without control characters and
    /// without `-`, which stands between it and the id of a saga in the name of a stream.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            steps: Vec::new(),
        }
    }

    /// Adds a step after the others.
    #[must_use]
    pub fn step(mut self, step: Step<D>) -> Self {
        self.steps.push(step);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can be used: it has a name that keeps the rule, and steps, whose names differ.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] says what is wrong.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        let twice = self.steps.iter().enumerate().find(|(index, step)| {
            let before = self.steps.iter().take(*index);
            before.into_iter().any(|other| other.name == step.name)
        });
        let reason = match twice {
            Some((_, step)) => format!("two steps are called {:?}", step.name),
            None if self.steps.is_empty() => "it has no steps".to_owned(),
            None => return Ok(()),
        };
        Err(Error::InvalidConfig {
            key: format!("saga {:?}", self.name),
            reason,
        })
    }

    /// Whether what a saga has done is what the definition begins with.
    pub(super) fn fits(&self, state: &SagaState<D>) -> Result<(), String> {
        for (nth, done) in state.done.iter().enumerate() {
            let step = self.called(nth, &done.step)?;
            if done.undo && step.compensation.is_none() {
                return Err(format!(
                    "the definition has no compensation of {:?}, and had one when it was done",
                    done.step
                ));
            }
        }
        let Some(current) = &state.current else {
            return Ok(());
        };
        if state.phase != Phase::Forward {
            return Ok(());
        }
        let step = self.called(state.done.len(), current)?;
        if state.due.is_some() == matches!(step.kind, Kind::Act(_)) {
            return Err(format!(
                "the definition has {current:?} as another kind of step than it was begun as"
            ));
        }
        Ok(())
    }

    fn called(&self, nth: usize, name: &str) -> Result<&Step<D>, String> {
        let found = self.steps.get(nth);
        match found {
            Some(step) if step.name == name => Ok(step),
            Some(step) => Err(format!(
                "step {} was {name:?} and is {:?} in the definition",
                nth + 1,
                step.name
            )),
            None => Err(format!(
                "step {} was {name:?} and the definition has none",
                nth + 1
            )),
        }
    }
}

/// Checks the name of a saga.
pub(super) fn check_name(name: &str) -> Result<()> {
    let control = |c: char| c == '-' || c.is_control();
    if name.is_empty() || name.len() > 100 || name.chars().any(control) {
        return Err(Error::InvalidConfig {
            key: format!("saga {name:?}"),
            reason: "a saga's name has 1 to 100 bytes, no `-` and no control characters".to_owned(),
        });
    }
    Ok(())
}
