//! An order, and the states that it goes through: draft, reserved, processing, completed; or cancelled.

use annals::cqrs::Aggregate;
use serde::{Deserialize, Serialize};

/// Some units of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) product: String,
    pub(crate) units: u32,
    pub(crate) cents: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Status {
    #[default]
    None,
    Draft,
    Reserved,
    Processing,
    Completed,
    Cancelled,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) status: Status,
    pub(crate) customer: String,
    pub(crate) lines: Vec<Line>,
}

#[expect(clippy::enum_variant_names, reason = "an event is called as its type")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OrderEvent {
    OrderDrafted { customer: String, lines: Vec<Line> },
    OrderReserved,
    OrderProcessing,
    OrderCompleted,
    OrderCancelled { reason: String },
}

#[derive(Clone, Debug)]
pub(crate) enum OrderCommand {
    Draft { customer: String, lines: Vec<Line> },
    Reserve,
    Process,
    Complete,
    Cancel { reason: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {from:?} cannot become {to:?}")]
pub(crate) struct NotAllowed {
    from: Status,
    to: Status,
}

impl Order {
    pub(crate) fn total(lines: &[Line]) -> u64 {
        lines
            .iter()
            .map(|line| line.cents * u64::from(line.units))
            .sum()
    }
}

impl OrderEvent {
    pub(crate) const fn status(&self) -> Status {
        match self {
            Self::OrderDrafted { .. } => Status::Draft,
            Self::OrderReserved => Status::Reserved,
            Self::OrderProcessing => Status::Processing,
            Self::OrderCompleted => Status::Completed,
            Self::OrderCancelled { .. } => Status::Cancelled,
        }
    }
}

impl Aggregate for Order {
    type Event = OrderEvent;
    type Command = OrderCommand;
    type Error = NotAllowed;

    fn decide(&self, command: &OrderCommand) -> Result<Vec<OrderEvent>, NotAllowed> {
        let event = match command.clone() {
            OrderCommand::Draft { customer, lines } => OrderEvent::OrderDrafted { customer, lines },
            OrderCommand::Reserve => OrderEvent::OrderReserved,
            OrderCommand::Process => OrderEvent::OrderProcessing,
            OrderCommand::Complete => OrderEvent::OrderCompleted,
            OrderCommand::Cancel { reason } => OrderEvent::OrderCancelled { reason },
        };
        let (from, to) = (self.status, event.status());
        if from == to {
            return Ok(Vec::new());
        }
        let allowed = match to {
            Status::None => false,
            Status::Draft => from == Status::None,
            Status::Reserved => from == Status::Draft,
            Status::Processing => from == Status::Reserved,
            Status::Completed => from == Status::Processing,
            Status::Cancelled => (Status::Draft..Status::Completed).contains(&from),
        };
        if allowed {
            Ok(vec![event])
        } else {
            Err(NotAllowed { from, to })
        }
    }

    fn apply(&mut self, event: &OrderEvent) {
        self.status = event.status();
        if let OrderEvent::OrderDrafted { customer, lines } = event {
            self.customer.clone_from(customer);
            self.lines.clone_from(lines);
        }
    }

    fn tags(event: &OrderEvent) -> Vec<String> {
        match event {
            OrderEvent::OrderDrafted { customer, .. } => vec![format!("customer:{customer}")],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use annals::cqrs::testing::GivenAggregate;

    use super::*;

    fn drafted() -> OrderEvent {
        let (customer, lines) = ("eve".to_owned(), Vec::new());
        OrderEvent::OrderDrafted { customer, lines }
    }

    #[test]
    fn an_order_is_not_completed_before_it_is_processed() {
        GivenAggregate::<Order>::events([drafted(), OrderEvent::OrderReserved])
            .when(OrderCommand::Complete)
            .then_rejected(&NotAllowed {
                from: Status::Reserved,
                to: Status::Completed,
            });
    }

    #[test]
    fn an_order_is_cancelled_once() {
        let reason = || "no stock".to_owned();
        let cancel = || OrderCommand::Cancel { reason: reason() };
        let cancelled = OrderEvent::OrderCancelled { reason: reason() };
        GivenAggregate::<Order>::events([drafted()])
            .when(cancel())
            .then(std::slice::from_ref(&cancelled));
        GivenAggregate::<Order>::events([drafted(), cancelled])
            .when(cancel())
            .then(&[]);
    }
}
