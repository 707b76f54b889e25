//! The shop: opens the store, takes orders, and has them fulfilled.

use std::{sync::Arc, time::Duration};

use annals::{
    ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig, TopicConfig,
    cqrs::{Aggregates, Envelope, Live, LiveModel, Metadata, SagaOptions, Sagas, Schema},
};

use super::{
    Arguments, Result,
    chance::Chance,
    fulfilment::{self, Fulfilment, Office},
    order::{Line, Order, OrderCommand, OrderEvent},
    services::{PAYMENTS, SHIPMENTS, STOCK, Services},
    stock::StockCommand,
    tables::Tables,
    views::{CATEGORY, CurrentOrders, Demand, ORDERS, OrderHistory, PerCustomer, order_id},
};

const SAGAS: &str = "fulfilments";
const PRODUCTS: u64 = 40;
/// Units of each product, for each thousand orders: some run out.
const UNITS: u64 = 85;

/// A shop that is open.
pub(crate) struct Shop {
    pub(crate) store: EventStore,
    pub(crate) orders: Aggregates<Order>,
    pub(crate) sagas: Sagas<Fulfilment>,
    pub(crate) views: LiveViews,
    pub(crate) tables: Option<Tables>,
}

/// The four read models in memory.
pub(crate) struct LiveViews {
    pub(crate) orders: LiveModel<CurrentOrders>,
    pub(crate) history: LiveModel<OrderHistory>,
    pub(crate) customers: LiveModel<PerCustomer>,
    pub(crate) demand: LiveModel<Demand>,
}

pub(crate) async fn open_store(arguments: &Arguments) -> Result<EventStore> {
    let stream = ConfigurationStream::new(&arguments.adapter, &arguments.connection);
    Ok(EventStore::open(EventStoreConfig::new(stream).allow_plain_secrets()).await?)
}

impl Shop {
    pub(crate) async fn open(arguments: &Arguments) -> Result<Self> {
        let store = open_store(arguments).await?;
        for topic in [ORDERS, STOCK, PAYMENTS, SHIPMENTS, SAGAS] {
            let config = TopicConfig::new(topic, &arguments.adapter, &arguments.connection);
            match store.create_topic(config).await {
                Ok(_) | Err(Error::TopicAlreadyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let services = Services::new(&store, arguments.seed);
        stock_up(&services, arguments.orders).await?;
        let orders = Aggregates::new(&store, ORDERS).category(CATEGORY);
        let office = Office {
            orders: orders.clone(),
            services,
        };
        let options = SagaOptions::new()
            .concurrency(64)
            .lease(Duration::from_secs(2));
        let sagas = Sagas::open(&store, SAGAS, fulfilment::saga(office), options)?;
        // A saga for each order that is drafted.
        let drafted = EventFilter::all().types(["OrderDrafted"]);
        sagas.start_on(ORDERS, drafted, |event| match Schema::new().decode(event) {
            Ok(Some(OrderEvent::OrderDrafted { lines, .. })) => {
                Some((order_id(event).to_owned(), Fulfilment { lines }))
            }
            _ => None,
        });
        let live = || Live::topics([ORDERS]);
        let views = LiveViews {
            orders: LiveModel::open(&store, live()).await?,
            history: LiveModel::open(&store, live()).await?,
            customers: LiveModel::open(&store, live()).await?,
            demand: LiveModel::open(&store, live()).await?,
        };
        let tables = Tables::open(&store, arguments).await?;
        Ok(Self {
            store,
            tables,
            orders,
            sagas,
            views,
        })
    }

    /// Takes all orders: those that it has already are recognised by their keys.
    pub(crate) async fn take_orders(&self, arguments: &Arguments) -> Result<()> {
        let chance = Arc::new(Chance::new(arguments.seed));
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..arguments.clients {
            let (orders, chance) = (self.orders.clone(), Arc::clone(&chance));
            let (count, step) = (arguments.orders, arguments.clients);
            clients.spawn(async move {
                for number in (client..count).step_by(step as usize) {
                    let (id, draft) = draft(&chance, number);
                    let key = format!("request {number}");
                    let said = Metadata::new().correlation_id(&key);
                    let draft = Envelope::new(draft).idempotency_key(key).metadata(said);
                    orders.execute(&id, draft).await?;
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
        while let Some(done) = clients.join_next().await {
            done??;
        }
        Ok(())
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.sagas.close().await?;
        if let Some(tables) = self.tables {
            tables.stop().await;
        }
        self.store.close().await?;
        Ok(())
    }
}

async fn stock_up(services: &Services, orders: u64) -> Result<()> {
    let units = u32::try_from(UNITS * orders / 1000)
        .unwrap_or(u32::MAX)
        .max(1);
    for product in 0..PRODUCTS {
        let add = Envelope::new(StockCommand::Add { units });
        let add = add.idempotency_key(format!("first delivery of {product}"));
        let id = format!("p{product}");
        services.stock.execute(&id, add).await?;
    }
    Ok(())
}

/// An order that follows from the seed and its number: one to three products, some units of each.
fn draft(chance: &Chance, number: u64) -> (String, OrderCommand) {
    let of = |what: &str, limit| chance.of(&format!("{what} of order {number}"), limit);
    let first = of("first product", PRODUCTS);
    let line = |nth: u64| Line {
        product: format!("p{}", (first + nth * 7) % PRODUCTS),
        units: 1 + of(&format!("units {nth}"), 3) as u32,
        cents: 100 + of(&format!("price {nth}"), 5000),
    };
    let lines = (0..1 + of("lines", 3)).map(line).collect();
    let customer = format!("c{}", of("customer", 200));
    (number.to_string(), OrderCommand::Draft { customer, lines })
}
