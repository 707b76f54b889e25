//! The shipment of an order.

use annals::cqrs::Aggregate;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shipment {
    pub(crate) bookings: u32,
    pub(crate) cancellations: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ShipmentEvent {
    ShipmentBooked,
    ShipmentCancelled,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ShipmentCommand {
    Book,
    Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shipment was given up")]
pub(crate) struct GivenUp;

impl Aggregate for Shipment {
    type Event = ShipmentEvent;
    type Command = ShipmentCommand;
    type Error = GivenUp;

    fn decide(&self, command: &ShipmentCommand) -> Result<Vec<ShipmentEvent>, GivenUp> {
        match command {
            ShipmentCommand::Book if self.cancellations > 0 => Err(GivenUp),
            ShipmentCommand::Book => Ok(vec![ShipmentEvent::ShipmentBooked]),
            // Also where nothing is booked yet: what is still on its way must not be.
            ShipmentCommand::Cancel => Ok(vec![ShipmentEvent::ShipmentCancelled]),
        }
    }

    fn apply(&mut self, event: &ShipmentEvent) {
        match event {
            ShipmentEvent::ShipmentBooked => self.bookings += 1,
            ShipmentEvent::ShipmentCancelled => self.cancellations += 1,
        }
    }
}
