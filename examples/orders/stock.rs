//! The stock of a product: what is free, what is reserved for an order, what was shipped.

use std::collections::{BTreeMap, BTreeSet};

use annals::cqrs::Aggregate;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stock {
    pub(crate) added: u64,
    pub(crate) free: u64,
    pub(crate) reserved: BTreeMap<String, u32>,
    pub(crate) shipped: u64,
    /// Orders that were given up before anything was reserved for them.
    pub(crate) given_up: BTreeSet<String>,
}

#[expect(clippy::enum_variant_names, reason = "an event is called as its type")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StockEvent {
    StockAdded { units: u32 },
    StockReserved { order: String, units: u32 },
    StockReleased { order: String },
    StockShipped { order: String },
}

#[derive(Clone, Debug)]
pub(crate) enum StockCommand {
    Add { units: u32 },
    Reserve { order: String, units: u32 },
    Release { order: String },
    Ship { order: String },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StockError {
    #[error("{units} units are wanted, and {free} are free")]
    OutOfStock { units: u32, free: u64 },
    #[error("nothing is reserved for order {0}")]
    NotReserved(String),
    #[error("order {0} was given up")]
    GivenUp(String),
}

impl Aggregate for Stock {
    type Event = StockEvent;
    type Command = StockCommand;
    type Error = StockError;

    fn decide(&self, command: &StockCommand) -> Result<Vec<StockEvent>, StockError> {
        match command.clone() {
            StockCommand::Add { units } => Ok(vec![StockEvent::StockAdded { units }]),
            StockCommand::Reserve { order, .. } if self.given_up.contains(&order) => {
                Err(StockError::GivenUp(order))
            }
            StockCommand::Reserve { units, .. } if u64::from(units) > self.free => {
                let free = self.free;
                Err(StockError::OutOfStock { units, free })
            }
            // It is not asked whether it was reserved before: the idempotency key sees to that.
            StockCommand::Reserve { order, units } => {
                Ok(vec![StockEvent::StockReserved { order, units }])
            }
            // Also where nothing is reserved: what is still on its way must not be.
            StockCommand::Release { order } => Ok(vec![StockEvent::StockReleased { order }]),
            StockCommand::Ship { order } if self.reserved.contains_key(&order) => {
                Ok(vec![StockEvent::StockShipped { order }])
            }
            StockCommand::Ship { order } => Err(StockError::NotReserved(order)),
        }
    }

    fn apply(&mut self, event: &StockEvent) {
        match event {
            StockEvent::StockAdded { units } => {
                self.added += u64::from(*units);
                self.free += u64::from(*units);
            }
            StockEvent::StockReserved { order, units } => {
                self.free -= u64::from(*units);
                *self.reserved.entry(order.clone()).or_default() += units;
            }
            StockEvent::StockReleased { order } => match self.reserved.remove(order) {
                Some(units) => self.free += u64::from(units),
                None => drop(self.given_up.insert(order.clone())),
            },
            StockEvent::StockShipped { order } => {
                let units = self.reserved.remove(order).unwrap_or_default();
                self.shipped += u64::from(units);
            }
        }
    }
}
