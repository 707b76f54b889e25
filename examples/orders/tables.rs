//! The four read models in PostgreSQL, each committed together with how far it has come. They add up what
//! they are given, so that an event that counted twice would be seen.

use annals::{
    EventStore, RecordedEvent,
    cqrs::{PostgresProjection, Project, Projecting},
    repository::postgres::{
        PostgresCheckpoints,
        sqlx::{self, AssertSqlSafe, PgConnection, PgPool, Row, postgres::PgPoolOptions},
    },
};

use super::{
    Arguments, Result,
    check::Views,
    order::{Order, OrderEvent},
    views::{ORDERS, order_id},
};

/// One of the read models.
#[derive(Clone, Copy, Debug)]
enum View {
    Current,
    History,
    Customers,
    Demand,
}

const VIEWS: [(View, &str); 4] = [
    (View::Current, "current orders"),
    (View::History, "order history"),
    (View::Customers, "orders per customer"),
    (View::Demand, "demand per product"),
];

impl View {
    /// The tables; those of a topic that is filled anew are made anew.
    const fn tables(self) -> &'static str {
        match self {
            Self::Current => {
                "CREATE TABLE IF NOT EXISTS shop_current \
                 (id text PRIMARY KEY, customer text NOT NULL, status text NOT NULL)"
            }
            Self::History => {
                "CREATE TABLE IF NOT EXISTS shop_history \
                 (id text NOT NULL, nth bigint NOT NULL, status text NOT NULL)"
            }
            Self::Customers => {
                "CREATE TABLE IF NOT EXISTS shop_customers (customer text PRIMARY KEY, \
                 orders bigint NOT NULL, completed bigint NOT NULL, cancelled bigint NOT NULL, \
                 cents bigint NOT NULL); \
                 CREATE TABLE IF NOT EXISTS shop_customers_open \
                 (id text PRIMARY KEY, customer text NOT NULL, cents bigint NOT NULL)"
            }
            Self::Demand => {
                "CREATE TABLE IF NOT EXISTS shop_demand (product text PRIMARY KEY, \
                 wanted bigint NOT NULL, delivered bigint NOT NULL); \
                 CREATE TABLE IF NOT EXISTS shop_demand_open \
                 (id text NOT NULL, product text NOT NULL, units bigint NOT NULL)"
            }
        }
    }
}

impl PostgresProjection for View {
    type Event = OrderEvent;
    type Error = sqlx::Error;

    async fn prepare(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::raw_sql(self.tables()).execute(connection).await?;
        Ok(())
    }

    async fn handle(
        &mut self,
        event: OrderEvent,
        recorded: &RecordedEvent,
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        let id = order_id(recorded);
        match self {
            Self::Current => current(id, &event, connection).await,
            Self::History => history(id, &event, recorded, connection).await,
            Self::Customers => customers(id, &event, connection).await,
            Self::Demand => demand(id, &event, connection).await,
        }
    }
}

async fn current(id: &str, event: &OrderEvent, connection: &mut PgConnection) -> sqlx::Result<()> {
    let status = format!("{:?}", event.status());
    let query = match event {
        OrderEvent::OrderDrafted { customer, .. } => {
            sqlx::query("INSERT INTO shop_current VALUES ($1, $3, $2)")
                .bind(id)
                .bind(status)
                .bind(customer)
        }
        _ => sqlx::query("UPDATE shop_current SET status = $2 WHERE id = $1")
            .bind(id)
            .bind(status),
    };
    query.execute(connection).await.map(drop)
}

async fn history(
    id: &str,
    event: &OrderEvent,
    recorded: &RecordedEvent,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO shop_history VALUES ($1, $2, $3)")
        .bind(id)
        .bind(recorded.version.get().cast_signed())
        .bind(format!("{:?}", event.status()))
        .execute(connection)
        .await
        .map(drop)
}

async fn customers(
    id: &str,
    event: &OrderEvent,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let sql = match event {
        OrderEvent::OrderDrafted { customer, lines } => {
            let cents = Order::total(lines).cast_signed();
            let sql = "WITH opened AS (INSERT INTO shop_customers_open VALUES ($1, $2, $3)) \
                       INSERT INTO shop_customers VALUES ($2, 1, 0, 0, 0) \
                       ON CONFLICT (customer) DO UPDATE SET orders = shop_customers.orders + 1";
            let query = sqlx::query(sql).bind(id).bind(customer).bind(cents);
            return query.execute(connection).await.map(drop);
        }
        OrderEvent::OrderCompleted => {
            "WITH ended AS (DELETE FROM shop_customers_open WHERE id = $1 RETURNING customer, cents) \
             UPDATE shop_customers SET completed = completed + 1, cents = shop_customers.cents + ended.cents \
             FROM ended WHERE shop_customers.customer = ended.customer"
        }
        OrderEvent::OrderCancelled { .. } => {
            "WITH ended AS (DELETE FROM shop_customers_open WHERE id = $1 RETURNING customer) \
             UPDATE shop_customers SET cancelled = cancelled + 1 \
             FROM ended WHERE shop_customers.customer = ended.customer"
        }
        OrderEvent::OrderReserved | OrderEvent::OrderProcessing => return Ok(()),
    };
    sqlx::query(sql)
        .bind(id)
        .execute(connection)
        .await
        .map(drop)
}

async fn demand(id: &str, event: &OrderEvent, connection: &mut PgConnection) -> sqlx::Result<()> {
    let sql = match event {
        OrderEvent::OrderDrafted { lines, .. } => {
            for line in lines {
                let sql = "WITH opened AS (INSERT INTO shop_demand_open VALUES ($1, $2, $3)) \
                           INSERT INTO shop_demand VALUES ($2, $3, 0) \
                           ON CONFLICT (product) DO UPDATE SET wanted = shop_demand.wanted + $3";
                let query = sqlx::query(sql).bind(id).bind(&line.product);
                let query = query.bind(i64::from(line.units));
                query.execute(&mut *connection).await?;
            }
            return Ok(());
        }
        OrderEvent::OrderCompleted => {
            "WITH ended AS (DELETE FROM shop_demand_open WHERE id = $1 RETURNING product, units) \
             UPDATE shop_demand SET delivered = delivered + ended.units \
             FROM ended WHERE shop_demand.product = ended.product"
        }
        OrderEvent::OrderCancelled { .. } => "DELETE FROM shop_demand_open WHERE id = $1",
        OrderEvent::OrderReserved | OrderEvent::OrderProcessing => return Ok(()),
    };
    sqlx::query(sql)
        .bind(id)
        .execute(connection)
        .await
        .map(drop)
}

/// The read models in a database, which follow the orders.
pub(crate) struct Tables {
    pool: PgPool,
    projections: Vec<Projecting>,
}

impl Tables {
    /// Starts them, if a database is given.
    pub(crate) async fn open(store: &EventStore, arguments: &Arguments) -> Result<Option<Self>> {
        let Some(url) = &arguments.read_models else {
            return Ok(None);
        };
        let pool = PgPoolOptions::new()
            .max_connections(12)
            .connect(url)
            .await?;
        let checkpoints = PostgresCheckpoints::open(pool.clone(), "shop_checkpoints").await?;
        let mut projections = Vec::new();
        for (view, name) in VIEWS {
            let project = Project::named(name)
                .topics([ORDERS])
                .lease(std::time::Duration::from_secs(2))
                .start_in_postgres(store, checkpoints.clone(), move |_| view);
            projections.push(project.await?);
        }
        Ok(Some(Self { pool, projections }))
    }

    /// Whether the tables say what the events say. Returns those that do not.
    pub(crate) async fn compare(&self, truth: &Views) -> Result<Vec<String>> {
        for projection in &self.projections {
            projection.caught_up().await?;
        }
        let orders = truth.orders.0.iter();
        let orders = orders
            .map(|(id, order)| format!("{id} {} {:?}", order.customer, order.status))
            .collect();
        let history = truth.history.0.iter().flat_map(|(id, history)| {
            (1..)
                .zip(history)
                .map(move |(nth, (_, status))| format!("{id} {nth} {status:?}"))
        });
        let customers = truth.customers.customers.iter().map(|(name, one)| {
            let (completed, cancelled) = (one.completed, one.cancelled);
            format!(
                "{name} {} {completed} {cancelled} {}",
                one.orders, one.cents
            )
        });
        let demand = truth.demand.products.iter();
        let demand = demand.map(|(name, one)| format!("{name} {} {}", one.wanted, one.delivered));
        let expected: [Vec<String>; 4] = [
            orders,
            history.collect(),
            customers.collect(),
            demand.collect(),
        ];
        let found = [
            "SELECT concat_ws(' ', id, customer, status) FROM shop_current",
            "SELECT concat_ws(' ', id, nth, status) FROM shop_history",
            "SELECT concat_ws(' ', customer, orders, completed, cancelled, cents) FROM shop_customers",
            "SELECT concat_ws(' ', product, wanted, delivered) FROM shop_demand",
        ];
        let mut wrong = Vec::new();
        for (((_, name), mut expected), sql) in VIEWS.into_iter().zip(expected).zip(found) {
            let rows = sqlx::query(AssertSqlSafe(sql))
                .fetch_all(&self.pool)
                .await?;
            let mut found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            expected.sort_unstable();
            found.sort_unstable();
            if found != expected {
                wrong.push(format!(
                    "the table of {name} says something else than the events"
                ));
            }
        }
        Ok(wrong)
    }

    pub(crate) async fn stop(self) {
        for projection in self.projections {
            projection.stop().await;
        }
        self.pool.close().await;
    }
}
