//! What was charged and refunded for an order.

use annals::cqrs::Aggregate;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) charges: u32,
    pub(crate) charged: u64,
    pub(crate) refunds: u32,
    pub(crate) refunded: u64,
    pub(crate) voided: bool,
}

#[expect(clippy::enum_variant_names, reason = "an event is called as its type")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PaymentEvent {
    PaymentCharged {
        cents: u64,
    },
    PaymentRefunded {
        cents: u64,
    },
    /// It was given up before it was charged, and will not be.
    PaymentVoided,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum PaymentCommand {
    Charge { cents: u64 },
    Refund,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payment was given up")]
pub(crate) struct Voided;

impl Aggregate for Payment {
    type Event = PaymentEvent;
    type Command = PaymentCommand;
    type Error = Voided;

    /// It charges as often as it is told to: that nobody is charged twice is up to the idempotency key.
    fn decide(&self, command: &PaymentCommand) -> Result<Vec<PaymentEvent>, Voided> {
        match *command {
            PaymentCommand::Charge { .. } if self.voided => Err(Voided),
            PaymentCommand::Charge { cents } => Ok(vec![PaymentEvent::PaymentCharged { cents }]),
            PaymentCommand::Refund if self.charged > self.refunded => {
                let cents = self.charged - self.refunded;
                Ok(vec![PaymentEvent::PaymentRefunded { cents }])
            }
            // A charge that is still on its way must not arrive afterwards.
            PaymentCommand::Refund => Ok(vec![PaymentEvent::PaymentVoided]),
        }
    }

    fn apply(&mut self, event: &PaymentEvent) {
        match event {
            PaymentEvent::PaymentCharged { cents } => {
                self.charges += 1;
                self.charged += cents;
            }
            PaymentEvent::PaymentRefunded { cents } => {
                self.refunds += 1;
                self.refunded += cents;
                self.voided = true;
            }
            PaymentEvent::PaymentVoided => self.voided = true,
        }
    }
}
