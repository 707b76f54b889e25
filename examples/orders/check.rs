//! Whether everything adds up: read anew from the events, whatever anybody has been told.

use std::collections::BTreeMap;

use annals::{
    EventStore, Read,
    cqrs::{Aggregate, ReadModel, Schema},
};
use futures_util::TryStreamExt;

use super::{
    order::{Order, OrderEvent, Status},
    payment::Payment,
    services::{PAYMENTS, SHIPMENTS, STOCK},
    shipment::Shipment,
    stock::Stock,
    views::{CurrentOrders, Customer, Demand, ORDERS, OrderHistory, PerCustomer},
};

/// What adds up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) orders: u64,
    pub(crate) completed: u64,
    pub(crate) cancelled: u64,
    pub(crate) shipped: u64,
    pub(crate) cents: u64,
}

/// The four read models as they have to be.
#[derive(Debug, Default)]
pub(crate) struct Views {
    pub(crate) orders: CurrentOrders,
    pub(crate) history: OrderHistory,
    pub(crate) customers: PerCustomer,
    pub(crate) demand: Demand,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Looks whether everything adds up: `expected` orders, each completed or cancelled; no unit lost, nobody
/// charged twice, all undone of what was cancelled. Returns what does not.
pub(crate) async fn check(store: &EventStore, expected: u64) -> Result<(Sums, Views, Vec<String>)> {
    let views = views(store).await?;
    let stock = fold::<Stock>(store, STOCK, "product-").await?;
    let payments = fold::<Payment>(store, PAYMENTS, "payment-").await?;
    let shipments = fold::<Shipment>(store, SHIPMENTS, "shipment-").await?;
    let mut sums = Sums::default();
    let mut wrong = Vec::new();
    let mut shipped: BTreeMap<&str, u64> = BTreeMap::new();
    for (id, order) in &views.orders.0 {
        sums.orders += 1;
        let payment = payments.get(id).cloned().unwrap_or_default();
        let shipment = shipments.get(id).cloned().unwrap_or_default();
        let total = Order::total(&order.lines);
        let adds_up = match order.status {
            Status::Completed => {
                sums.completed += 1;
                sums.cents += total;
                for line in &order.lines {
                    *shipped.entry(&line.product).or_default() += u64::from(line.units);
                }
                (payment.charges, payment.charged, payment.refunds) == (1, total, 0)
                    && (shipment.bookings, shipment.cancellations) == (1, 0)
            }
            Status::Cancelled => {
                sums.cancelled += 1;
                payment.charges <= 1
                    && payment.charged == payment.refunded
                    && shipment.bookings <= shipment.cancellations
            }
            _ => false,
        };
        if !adds_up {
            let status = order.status;
            wrong.push(format!("order {id}: {status:?}, {payment:?}, {shipment:?}"));
        }
    }
    for (product, stock) in &stock {
        let left = shipped.remove(product.as_str()).unwrap_or_default();
        sums.shipped += stock.shipped;
        if !stock.reserved.is_empty()
            || stock.added != stock.free + stock.shipped
            || stock.shipped != left
        {
            wrong.push(format!("product {product}: {left} were sold, {stock:?}"));
        }
    }
    wrong.extend(
        shipped
            .keys()
            .map(|product| format!("no product {product}")),
    );
    if sums.orders != expected {
        wrong.push(format!("{} orders, expected {expected}", sums.orders));
    }
    wrong.extend(totals(&sums, &views));
    Ok((sums, views, wrong))
}

/// What customers and products add up to, where it is something else than what the orders do.
fn totals(sums: &Sums, views: &Views) -> Vec<String> {
    let mut total = Customer::default();
    for one in views.customers.customers.values() {
        total.orders += one.orders;
        total.completed += one.completed;
        total.cancelled += one.cancelled;
        total.cents += one.cents;
    }
    let expected = Customer {
        orders: sums.orders,
        completed: sums.completed,
        cancelled: sums.cancelled,
        cents: sums.cents,
    };
    let mut wrong = Vec::new();
    if total != expected {
        wrong.push(format!("all customers: {total:?}, expected {expected:?}"));
    }
    let products = views.demand.products.values();
    let delivered: u64 = products.map(|one| one.delivered).sum();
    if delivered != sums.shipped {
        let shipped = sums.shipped;
        wrong.push(format!("{delivered} units delivered, {shipped} shipped"));
    }
    wrong
}

/// The state of everything in a topic.
async fn fold<A: Aggregate>(
    store: &EventStore,
    topic: &str,
    category: &str,
) -> Result<BTreeMap<String, A>> {
    let schema = Schema::<A::Event>::new();
    let mut found: BTreeMap<String, A> = BTreeMap::new();
    let mut events = store.read_events(topic, Read::all());
    while let Some(event) = events.try_next().await? {
        let stream = event.stream.as_str();
        let id = stream.strip_prefix(category).unwrap_or(stream);
        if let Some(decoded) = schema.decode(&event)? {
            found.entry(id.to_owned()).or_default().apply(&decoded);
        }
    }
    Ok(found)
}

async fn views(store: &EventStore) -> Result<Views> {
    let schema = Schema::<OrderEvent>::new();
    let mut views = Views::default();
    let mut events = store.read_events(ORDERS, Read::all());
    while let Some(event) = events.try_next().await? {
        let Some(decoded) = schema.decode(&event)? else {
            continue;
        };
        views.orders.apply(decoded.clone(), &event);
        views.history.apply(decoded.clone(), &event);
        views.customers.apply(decoded.clone(), &event);
        views.demand.apply(decoded, &event);
    }
    Ok(views)
}
