//! The three services that fulfil an order. They do what they are asked to once for each key, and fail at
//! random.

use annals::{
    EventStore,
    cqrs::{Aggregate, Aggregates, CommandError, Envelope, Snapshots, StepError},
};

use super::{
    chance::{Chance, Mishap},
    order::{Line, Order},
    payment::{Payment, PaymentCommand},
    shipment::{Shipment, ShipmentCommand},
    stock::{Stock, StockCommand},
};

/// The topics in which the services keep what they did.
pub(crate) const STOCK: &str = "stock";
pub(crate) const PAYMENTS: &str = "payments";
pub(crate) const SHIPMENTS: &str = "shipments";

#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) stock: Aggregates<Stock>,
    payments: Aggregates<Payment>,
    shipments: Aggregates<Shipment>,
    chance: Chance,
}

impl Services {
    pub(crate) fn new(store: &EventStore, seed: u64) -> Self {
        // Products have long histories that many orders want at once.
        let stock = Aggregates::new(store, STOCK).category("product");
        let stock = stock.snapshots(Snapshots::every(200)).cache(1000);
        Self {
            stock: stock.attempts(1000),
            payments: Aggregates::new(store, PAYMENTS).category("payment"),
            shipments: Aggregates::new(store, SHIPMENTS).category("shipment"),
            chance: Chance::new(seed),
        }
    }

    /// Reserves all lines of an order.
    pub(crate) async fn reserve(
        &self,
        key: &str,
        order: &str,
        lines: &[Line],
    ) -> Result<(), StepError> {
        let reserve = |order, line: &Line| StockCommand::Reserve {
            order,
            units: line.units,
        };
        self.each(key, order, lines.iter(), reserve).await
    }

    /// Releases what is reserved, and has reservations refused that come later. It begins with the last
    /// line: if it does not get through, no order is taken to be reserved of which a line is released.
    pub(crate) async fn release(
        &self,
        key: &str,
        order: &str,
        lines: &[Line],
    ) -> Result<(), StepError> {
        let release = |order, _: &Line| StockCommand::Release { order };
        self.each(key, order, lines.iter().rev(), release).await
    }

    /// The reserved units leave the house.
    pub(crate) async fn hand_out(
        &self,
        key: &str,
        order: &str,
        lines: &[Line],
    ) -> Result<(), StepError> {
        let ship = |order, _: &Line| StockCommand::Ship { order };
        self.each(key, order, lines.iter(), ship).await
    }

    /// Tells the stock of each line something about an order.
    async fn each<'a>(
        &self,
        key: &str,
        order: &str,
        lines: impl Iterator<Item = &'a Line>,
        command: impl Fn(String, &Line) -> StockCommand,
    ) -> Result<(), StepError> {
        for line in lines {
            let command = command(order.to_owned(), line);
            self.call(&self.stock, &line.product, command, key).await?;
        }
        Ok(())
    }

    pub(crate) async fn charge(
        &self,
        key: &str,
        order: &str,
        lines: &[Line],
    ) -> Result<(), StepError> {
        if self.chance.refuses("the bank", order, 15) {
            return Err(StepError::fail("the card was declined"));
        }
        let cents = Order::total(lines);
        let command = PaymentCommand::Charge { cents };
        self.call(&self.payments, order, command, key).await
    }

    pub(crate) async fn refund(&self, key: &str, order: &str) -> Result<(), StepError> {
        self.call(&self.payments, order, PaymentCommand::Refund, key)
            .await
    }

    pub(crate) async fn book(&self, key: &str, order: &str) -> Result<(), StepError> {
        if self.chance.refuses("the carrier", order, 10) {
            return Err(StepError::fail("nobody delivers there"));
        }
        self.call(&self.shipments, order, ShipmentCommand::Book, key)
            .await
    }

    pub(crate) async fn unbook(&self, key: &str, order: &str) -> Result<(), StepError> {
        self.call(&self.shipments, order, ShipmentCommand::Cancel, key)
            .await
    }

    /// Calls a service, whose answer may not come.
    async fn call<A: Aggregate>(
        &self,
        service: &Aggregates<A>,
        id: &str,
        command: A::Command,
        key: &str,
    ) -> Result<(), StepError> {
        let mishap = self.chance.mishap();
        if mishap == Some(Mishap::NotReached) {
            return Err(StepError::retry("the service was not reached"));
        }
        // One step may call a service for several things, each with a key of its own.
        let command = Envelope::new(command).idempotency_key(format!("{key}/{id}"));
        carry_out(service, id, command).await?;
        match mishap {
            Some(_) => Err(StepError::retry("the answer of the service was lost")),
            None => Ok(()),
        }
    }
}

/// What a command's errors mean to a step.
pub(crate) async fn carry_out<A: Aggregate>(
    aggregates: &Aggregates<A>,
    id: &str,
    command: impl Into<Envelope<A::Command>>,
) -> Result<(), StepError> {
    match aggregates.execute(id, command).await {
        Ok(_) => Ok(()),
        Err(CommandError::Rejected(reason)) => Err(StepError::fail(reason)),
        Err(error) => Err(StepError::retry(error)),
    }
}
