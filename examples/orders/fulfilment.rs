//! The saga that fulfils an order: it reserves stock, charges, ships; and undoes all that where one of
//! them fails for good.

use std::{sync::Arc, time::Duration};

use annals::cqrs::{Aggregates, Envelope, Retry, Saga, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

use super::{
    order::{Line, Order, OrderCommand},
    services::{Services, carry_out},
};

pub(crate) const NAME: &str = "fulfilment";

/// What the saga of an order knows. It has the id of the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fulfilment {
    pub(crate) lines: Vec<Line>,
}

/// What the steps call.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) orders: Aggregates<Order>,
    pub(crate) services: Services,
}

impl Office {
    async fn tell(&self, context: &StepContext, command: OrderCommand) -> Result<(), StepError> {
        let key = context.idempotency_key();
        let command = Envelope::new(command).idempotency_key(format!("order {key}"));
        carry_out(&self.orders, context.saga_id(), command).await
    }
}

pub(crate) fn saga(office: Office) -> Saga<Fulfilment> {
    let office = Arc::new(office);
    let quickly = Retry::new(30).pauses(Duration::from_millis(1), Duration::from_millis(50));
    let steps = [
        accept(&office),
        reserve(&office),
        charge(&office),
        ship(&office),
        complete(&office),
    ];
    let saga = Saga::named(NAME);
    steps.into_iter().fold(saga, |saga, step| {
        saga.step(step.retry(quickly).retry_compensation(quickly))
    })
}

/// Undone last: an order of which all else is undone is cancelled.
fn accept(office: &Arc<Office>) -> Step<Fulfilment> {
    let office = Arc::clone(office);
    Step::new("accept", |_, order| async move { Ok(order) }).compensate(move |context, order| {
        let office = Arc::clone(&office);
        async move {
            let reason = "it could not be fulfilled".to_owned();
            office
                .tell(&context, OrderCommand::Cancel { reason })
                .await?;
            Ok(order)
        }
    })
}

fn reserve(office: &Arc<Office>) -> Step<Fulfilment> {
    let (office, undoing) = (Arc::clone(office), Arc::clone(office));
    let action = move |context: StepContext, order: Fulfilment| {
        let office = Arc::clone(&office);
        async move {
            let (key, id) = (context.idempotency_key(), context.saga_id());
            if let Err(error) = office.services.reserve(key, id, &order.lines).await {
                // A step that fails says that nothing of it is done, and some lines may be reserved.
                if !error.is_retry() {
                    let undo = format!("undo {key}");
                    office.services.release(&undo, id, &order.lines).await?;
                }
                return Err(error);
            }
            office.tell(&context, OrderCommand::Reserve).await?;
            Ok(order)
        }
    };
    Step::new("reserve", action).compensate(move |context, order| {
        let office = Arc::clone(&undoing);
        async move {
            let (key, id) = (context.idempotency_key(), context.saga_id());
            office.services.release(key, id, &order.lines).await?;
            Ok(order)
        }
    })
}

fn charge(office: &Arc<Office>) -> Step<Fulfilment> {
    let (office, undoing) = (Arc::clone(office), Arc::clone(office));
    let action = move |context: StepContext, order: Fulfilment| {
        let office = Arc::clone(&office);
        async move {
            let (key, id) = (context.idempotency_key(), context.saga_id());
            office.services.charge(key, id, &order.lines).await?;
            office.tell(&context, OrderCommand::Process).await?;
            Ok(order)
        }
    };
    Step::new("charge", action).compensate(move |context, order| {
        let office = Arc::clone(&undoing);
        async move {
            let (key, id) = (context.idempotency_key(), context.saga_id());
            office.services.refund(key, id).await?;
            Ok(order)
        }
    })
}

fn ship(office: &Arc<Office>) -> Step<Fulfilment> {
    let (office, undoing) = (Arc::clone(office), Arc::clone(office));
    let action = move |context: StepContext, order| {
        let office = Arc::clone(&office);
        async move {
            let (key, id) = (context.idempotency_key(), context.saga_id());
            office.services.book(key, id).await?;
            Ok(order)
        }
    };
    Step::new("ship", action).compensate(move |context, order| {
        let office = Arc::clone(&undoing);
        async move {
            let (key, id) = (context.idempotency_key(), context.saga_id());
            office.services.unbook(key, id).await?;
            Ok(order)
        }
    })
}

/// From here on nothing can fail for good.
fn complete(office: &Arc<Office>) -> Step<Fulfilment> {
    let office = Arc::clone(office);
    Step::new(
        "complete",
        move |context: StepContext, order: Fulfilment| {
            let office = Arc::clone(&office);
            async move {
                let (key, id) = (context.idempotency_key(), context.saga_id());
                office.services.hand_out(key, id, &order.lines).await?;
                office.tell(&context, OrderCommand::Complete).await?;
                Ok(order)
            }
        },
    )
}
