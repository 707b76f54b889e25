//! Four read models of orders, in memory. They are also the truth with which those in a database are
//! compared.

use std::collections::BTreeMap;

use annals::{RecordedEvent, Timestamp, cqrs::ReadModel};

use super::order::{Line, Order, OrderEvent, Status};

/// The topic in which orders are, and what their streams begin with.
pub(crate) const ORDERS: &str = "orders";
pub(crate) const CATEGORY: &str = "order";

/// The id of the order that an event is of.
pub(crate) fn order_id(recorded: &RecordedEvent) -> &str {
    let stream = recorded.stream.as_str();
    stream.strip_prefix("order-").unwrap_or(stream)
}

/// Every order as it is now.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct CurrentOrders(pub(crate) BTreeMap<String, CurrentOrder>);

#[derive(Debug, Default, PartialEq)]
pub(crate) struct CurrentOrder {
    pub(crate) customer: String,
    pub(crate) status: Status,
    pub(crate) lines: Vec<Line>,
}

impl ReadModel for CurrentOrders {
    type Event = OrderEvent;

    fn apply(&mut self, event: OrderEvent, recorded: &RecordedEvent) {
        let order = self.0.entry(order_id(recorded).to_owned()).or_default();
        order.status = event.status();
        if let OrderEvent::OrderDrafted { customer, lines } = event {
            order.customer = customer;
            order.lines = lines;
        }
    }
}

/// What happened to each order, and when.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct OrderHistory(pub(crate) BTreeMap<String, Vec<(Timestamp, Status)>>);

impl ReadModel for OrderHistory {
    type Event = OrderEvent;

    fn apply(&mut self, event: OrderEvent, recorded: &RecordedEvent) {
        let history = self.0.entry(order_id(recorded).to_owned()).or_default();
        history.push((recorded.recorded_at, event.status()));
    }
}

/// What each customer has ordered and paid.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct PerCustomer {
    pub(crate) customers: BTreeMap<String, Customer>,
    open: BTreeMap<String, (String, u64)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Customer {
    pub(crate) orders: u64,
    pub(crate) completed: u64,
    pub(crate) cancelled: u64,
    pub(crate) cents: u64,
}

impl ReadModel for PerCustomer {
    type Event = OrderEvent;

    fn apply(&mut self, event: OrderEvent, recorded: &RecordedEvent) {
        let id = order_id(recorded);
        match event {
            OrderEvent::OrderDrafted { customer, lines } => {
                self.customers.entry(customer.clone()).or_default().orders += 1;
                let order = (customer, Order::total(&lines));
                self.open.insert(id.to_owned(), order);
            }
            OrderEvent::OrderCompleted => {
                let Some((customer, cents)) = self.open.remove(id) else {
                    return;
                };
                let customer = self.customers.entry(customer).or_default();
                customer.completed += 1;
                customer.cents += cents;
            }
            OrderEvent::OrderCancelled { .. } => {
                if let Some((customer, _)) = self.open.remove(id) {
                    self.customers.entry(customer).or_default().cancelled += 1;
                }
            }
            OrderEvent::OrderReserved | OrderEvent::OrderProcessing => {}
        }
    }
}

/// How many units of each product were wanted, and how many were delivered.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Demand {
    pub(crate) products: BTreeMap<String, Product>,
    open: BTreeMap<String, Vec<Line>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) wanted: u64,
    pub(crate) delivered: u64,
}

impl ReadModel for Demand {
    type Event = OrderEvent;

    fn apply(&mut self, event: OrderEvent, recorded: &RecordedEvent) {
        let id = order_id(recorded);
        match event {
            OrderEvent::OrderDrafted { lines, .. } => {
                for line in &lines {
                    let product = self.products.entry(line.product.clone()).or_default();
                    product.wanted += u64::from(line.units);
                }
                self.open.insert(id.to_owned(), lines);
            }
            OrderEvent::OrderCompleted => {
                for line in self.open.remove(id).unwrap_or_default() {
                    let product = self.products.entry(line.product).or_default();
                    product.delivered += u64::from(line.units);
                }
            }
            OrderEvent::OrderCancelled { .. } => drop(self.open.remove(id)),
            OrderEvent::OrderReserved | OrderEvent::OrderProcessing => {}
        }
    }
}
