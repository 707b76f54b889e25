//! An order system: orders with a state machine, a saga that fulfils them by services which fail at
//! random, and read models. It takes thousands of orders, is killed in the middle and started again, and
//! shows at the end that everything adds up.
//!
//! ```sh
//! cargo run --release --example orders
//! cargo run --release --example orders -- --adapter postgres --connection URL --read-models URL
//! ```

mod chance;
mod check;
mod fulfilment;
mod order;
mod payment;
mod services;
mod shipment;
mod shop;
mod stock;
mod tables;
mod views;

use std::{
    process::{Child, Command, ExitCode},
    time::{Duration, Instant},
};

use annals::cqrs::SagaOutcome;
use clap::Parser;

use self::{chance::Chance, check::Views, shop::Shop};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// How long one order, or one read model, may take before it is said to hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// Takes orders, has them fulfilled, and shows that everything adds up.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Where everything is kept: memory, file, postgres or blob
    #[arg(long, default_value = "file")]
    adapter: String,
    /// Which place of that kind; a temporary directory where it is not given
    #[arg(long, default_value = "")]
    connection: String,
    /// How many orders are taken; those that are there already are not taken again
    #[arg(long, default_value_t = 2000)]
    orders: u64,
    /// How many order at the same time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..))]
    clients: u64,
    /// What is ordered, what fails, and when the process is killed, follows from it
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// How often the process is killed and started again; never where all is in memory
    #[arg(long, default_value_t = 2)]
    kills: u64,
    /// The URL of a PostgreSQL database in which the read models are kept, too; an empty one
    #[arg(long)]
    read_models: Option<String>,
    /// Works until all is done or it is killed
    #[arg(long, hide = true)]
    work: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if arguments.work {
        return match work(&arguments).await {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => failed(&*error),
        };
    }
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => return failed(&error),
    };
    if arguments.connection.is_empty() {
        let path = directory.path().display();
        arguments.connection = match arguments.adapter.as_str() {
            "blob" => format!("file://{path}"),
            _ => path.to_string(),
        };
    }
    match run(&arguments).await {
        Ok(wrong) if wrong.is_empty() => {
            println!("everything adds up");
            ExitCode::SUCCESS
        }
        Ok(wrong) => {
            wrong.iter().take(20).for_each(|one| println!("  {one}"));
            println!("{} things do not add up", wrong.len());
            ExitCode::FAILURE
        }
        Err(error) => failed(&*error),
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    println!("failed: {text}");
    ExitCode::FAILURE
}

/// Works, is killed, works again; and tells what does not add up.
async fn run(arguments: &Arguments) -> Result<Vec<String>> {
    println!(
        "{} orders by {} clients, in the {} repository, seed {}",
        arguments.orders, arguments.clients, arguments.adapter, arguments.seed
    );
    if arguments.adapter != "memory" {
        let chance = Chance::new(arguments.seed);
        for kill in 0..arguments.kills {
            let after = 500 + chance.of(&format!("kill {kill}"), 1500);
            if !work_and_die(arguments, Duration::from_millis(after))? {
                println!("  it was done before it could be killed");
                break;
            }
            println!("  killed after {after} ms, and started again");
        }
    }
    work(arguments).await
}

/// Has another process work until it is killed. Tells whether it was.
fn work_and_die(arguments: &Arguments, after: Duration) -> Result<bool> {
    let read_models = arguments.read_models.iter();
    let mut child: Child = Command::new(std::env::current_exe()?)
        .arg("--work")
        .args(["--adapter", &arguments.adapter])
        .args(["--connection", &arguments.connection])
        .args(["--orders", &arguments.orders.to_string()])
        .args(["--clients", &arguments.clients.to_string()])
        .args(["--seed", &arguments.seed.to_string()])
        .args(read_models.map(|url| format!("--read-models={url}")))
        .spawn()?;
    let killed_at = Instant::now() + after;
    while Instant::now() < killed_at {
        if let Some(status) = child.try_wait()? {
            return if status.success() {
                Ok(false)
            } else {
                Err(format!("the process failed: {status}").into())
            };
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(true)
}

/// Takes all orders, waits until they are fulfilled or undone, and looks whether everything adds up.
async fn work(arguments: &Arguments) -> Result<Vec<String>> {
    let begun = Instant::now();
    let shop = Shop::open(arguments).await?;
    shop.take_orders(arguments).await?;
    let taken = begun.elapsed();
    let mut parked = Vec::new();
    for number in 0..arguments.orders {
        let id = number.to_string();
        let outcome = within(&format!("order {id}"), outcome(&shop, &id)).await?;
        if let SagaOutcome::Parked { reason } = outcome {
            parked.push(format!("order {id} is parked: {reason}"));
        }
    }
    let done = begun.elapsed();
    let (sums, views, mut wrong) = check::check(&shop.store, arguments.orders).await?;
    wrong.extend(parked);
    wrong.extend(within("a read model", compare(&shop, &views)).await?);
    if !arguments.work {
        println!("  all orders taken after {taken:.1?}, all fulfilled or undone after {done:.1?}");
        println!(
            "  {} orders: {} completed ({} units, {} cents), {} cancelled",
            sums.orders, sums.completed, sums.shipped, sums.cents, sums.cancelled
        );
    }
    shop.close().await?;
    Ok(wrong)
}

/// What `work` gives, unless it hangs.
async fn within<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(format!("{what} hangs: it took longer than {PATIENCE:?}").into()),
    }
}

/// What becomes of an order. Its saga may not be started yet.
async fn outcome(shop: &Shop, id: &str) -> Result<SagaOutcome<fulfilment::Fulfilment>> {
    loop {
        match shop.sagas.wait(id).await {
            Err(annals::Error::StreamNotFound { .. }) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// Whether the read models say what the events say.
async fn compare(shop: &Shop, truth: &Views) -> Result<Vec<String>> {
    let views = &shop.views;
    views.orders.caught_up().await?;
    views.history.caught_up().await?;
    views.customers.caught_up().await?;
    views.demand.caught_up().await?;
    let same = [
        (
            "current orders",
            views.orders.read(|view| *view == truth.orders),
        ),
        (
            "order history",
            views.history.read(|view| *view == truth.history),
        ),
        (
            "orders per customer",
            views.customers.read(|view| *view == truth.customers),
        ),
        (
            "demand per product",
            views.demand.read(|view| *view == truth.demand),
        ),
    ];
    let different = same.iter().filter(|(_, same)| !same);
    let mut wrong: Vec<_> = different
        .map(|(view, _)| format!("the read model {view} says something else than the events"))
        .collect();
    if let Some(tables) = &shop.tables {
        wrong.extend(tables.compare(truth).await?);
    }
    Ok(wrong)
}
