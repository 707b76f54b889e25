//! Kills the process that runs sagas, again and again: none is left hanging, nobody is charged twice, and
//! no stock is lost.
//!
//! The process is this test binary, started anew with a directory. Orders stand in a topic there, of which
//! sagas are made; the services are streams of another topic, one for each key, which note what was done
//! and undone. A third of the sagas fails at its last step, by their number; others lose answers, wait, or
//! are asked to.
//!
//! `ANNALS_SAGAS` sets how many sagas (1000), `ANNALS_KILLS` how many kills (5), `ANNALS_SEED` the seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use annals::{
    Append, ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig, ExpectedVersion,
    NewEvent, Read, RecordedEvent, TopicCheckpoints, TopicConfig,
    cqrs::{Retry, Saga, SagaOptions, Sagas, Step, StepContext, StepError},
    repository::Checkpoints,
};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

const DIRECTORY: &str = "ANNALS_TEST_SAGAS_DIRECTORY";
/// What is in stock at first, beyond one of each order.
const SPARE: u64 = 7;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

async fn open_store(directory: &str) -> EventStore {
    let config = EventStoreConfig::new(ConfigurationStream::file(directory));
    EventStore::open(config).await.unwrap()
}

/// The service: what has a key is done once, and what was undone before it came is refused.
async fn serve(store: &EventStore, context: &StepContext) -> Result<(), StepError> {
    let undoes = context.undoes();
    let stream = undoes.unwrap_or(context.idempotency_key());
    let event = if undoes.is_some() { "Undone" } else { "Done" };
    loop {
        let found = store.get_events("services", Read::stream(stream)).await;
        let found = found.map_err(StepError::retry)?;
        if found.iter().any(|one| one.event_type == event) {
            return Ok(());
        }
        if undoes.is_none() && !found.is_empty() {
            return Err(StepError::fail("it was undone"));
        }
        let what = json!({ "saga": context.saga_id(), "step": context.step() });
        let append = Append::new([NewEvent::json(event, &what).unwrap()])
            .stream(stream)
            .expected(ExpectedVersion::exact(found.len() as u64));
        match store.append_events("services", append).await {
            Ok(_) => return Ok(()),
            Err(Error::WrongExpectedVersion { .. }) => {}
            Err(error) => return Err(StepError::retry(error)),
        }
    }
}

fn fails(number: u64) -> bool {
    number.is_multiple_of(3)
}

fn step(store: &EventStore, name: &str) -> Step<u64> {
    let (doing, undoing) = (store.clone(), store.clone());
    let pauses = (Duration::from_millis(5), Duration::from_millis(50));
    Step::new(name, move |context: StepContext, number: u64| {
        let store = doing.clone();
        async move {
            // Some answers are lost, and some attempts do not get through.
            let odd = (number / 3).is_multiple_of(5) && context.attempt() == 1;
            if odd && number.is_multiple_of(2) {
                return Err(StepError::retry("it did not get through"));
            }
            if context.step() == "ship" && fails(number) {
                return Err(StepError::fail("out of reach"));
            }
            serve(&store, &context).await?;
            if odd {
                return Err(StepError::retry("the answer was lost"));
            }
            Ok(number)
        }
    })
    .compensate(move |context: StepContext, number: u64| {
        let store = undoing.clone();
        async move {
            serve(&store, &context).await?;
            if (number / 3).is_multiple_of(4) && context.attempt() == 1 {
                return Err(StepError::retry("the answer was lost"));
            }
            Ok(number)
        }
    })
    .retry(Retry::new(5).pauses(pauses.0, pauses.1))
    .retry_compensation(Retry::new(5).pauses(pauses.0, pauses.1))
}

fn saga(store: &EventStore) -> Saga<u64> {
    Saga::named("fulfilment")
        .step(step(store, "reserve"))
        .step(step(store, "charge"))
        .step(Step::wait("cool off", |number: &u64| {
            // Some are always under way when a checkpoint is recorded, and still when the kill comes.
            let slow = number % 10 == 1;
            Duration::from_millis(if slow { 1500 } else { (number % 7) * 20 })
        }))
        .step(step(store, "ship"))
}

async fn ended(store: &EventStore) -> u64 {
    let filter = EventFilter::all().types(["SagaCompleted", "SagaCompensated", "SagaParked"]);
    let mut events = store.read_events("sagas", Read::all().filter(filter));
    let mut count = 0;
    while events.try_next().await.unwrap().is_some() {
        count += 1;
    }
    count
}

/// The process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_runs_sagas() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let sagas = setting("ANNALS_SAGAS", 1000);
    let store = open_store(&directory).await;
    let options = SagaOptions::new().lease(Duration::from_millis(500));
    let runner = Sagas::open(&store, "sagas", saga(&store), options).unwrap();
    runner.start_on("orders", EventFilter::all(), |event| {
        let number: u64 = event.json().ok()?;
        Some((number.to_string(), number))
    });
    println!("\nanswer running");
    let mut idle = Instant::now();
    // Those that it does not know of are found hanging.
    while idle.elapsed() < Duration::from_secs(15) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let counts = runner.counts().unwrap_or_default();
        if counts.running + counts.waiting > 0 {
            idle = Instant::now();
        } else if runner.counts().is_some() {
            let ended = ended(&store).await;
            if ended == sagas {
                break;
            }
        }
    }
    runner.close().await.unwrap();
    store.close().await.unwrap();
    println!("\nanswer done");
}

/// Lets it run for some time. Returns whether it came to the end.
fn run(directory: &str, sagas: u64, time: Option<Duration>) -> bool {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kills::the_process_that_runs_sagas",
            "--nocapture",
        ])
        .env(DIRECTORY, directory)
        .env("ANNALS_SAGAS", sagas.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = BufReader::new(process.stdout.take().unwrap()).lines();
    let told = answers.any(|line| line.unwrap() == "answer running");
    assert!(told, "it did not begin");
    let mut done = false;
    match time {
        Some(time) => std::thread::sleep(time),
        None => done = answers.any(|line| line.unwrap() == "answer done"),
    }
    drop(process.kill());
    drop(process.wait());
    // It may have come to the end before it was to be killed.
    done || answers.any(|line| line.is_ok_and(|line| line == "answer done"))
}

/// What the services know of one step of one saga.
#[derive(Debug, Default)]
struct Effects {
    keys: u64,
    done: u64,
    undone: u64,
}

/// By saga and step.
type Services = BTreeMap<(String, String), Effects>;

async fn services(store: &EventStore) -> Services {
    let mut services = Services::new();
    let mut seen = BTreeSet::new();
    let mut events = store.read_events("services", Read::all());
    while let Some(event) = events.try_next().await.unwrap() {
        let what: Value = event.json().unwrap();
        let text = |name: &str| what[name].as_str().unwrap().to_owned();
        let of = services.entry((text("saga"), text("step"))).or_default();
        of.keys += u64::from(seen.insert(event.stream.as_str().to_owned()));
        match event.event_type.as_str() {
            "Done" => of.done += 1,
            _ => of.undone += 1,
        }
    }
    services
}

/// Checks what is recorded of one saga; false where it has not ended.
fn check_events(number: u64, events: &[RecordedEvent]) -> bool {
    let count = |wanted: &str| {
        let found = events.iter().filter(|event| event.event_type == wanted);
        found.count()
    };
    if count("SagaCompleted") + count("SagaCompensated") == 0 {
        return false;
    }
    let expected = if fails(number) {
        "SagaCompensated"
    } else {
        "SagaCompleted"
    };
    let last = events.last().map(|event| event.event_type.as_str());
    assert_eq!(last, Some(expected), "{number}");
    assert_eq!(
        count("SagaCompleted") + count("SagaCompensated"),
        1,
        "{number}"
    );
    assert_eq!(
        (count("SagaStarted"), count("TimerSet")),
        (1, 1),
        "{number}"
    );
    let undone: Vec<String> = events
        .iter()
        .filter(|event| event.event_type == "CompensationCompleted")
        .map(|event| {
            event.json::<Value>().unwrap()["step"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        // It is undone too where an attempt before the refusal did not get through.
        .filter(|step| step != "ship")
        .collect();
    if fails(number) {
        assert_eq!(undone, ["charge", "reserve"], "{number}");
    } else {
        assert!(undone.is_empty(), "{number}");
    }
    true
}

async fn check(store: &EventStore, sagas: u64) {
    let services = services(store).await;
    let (mut stock, mut charged, mut completed) = (sagas + SPARE, 0, 0);
    let mut hanging = Vec::new();
    for number in 0..sagas {
        let stream = Read::stream(format!("fulfilment-{number}"));
        let events = store.get_events("sagas", stream).await.unwrap();
        if !check_events(number, &events) {
            hanging.push(number);
            continue;
        }
        let of = |step: &str| {
            let found = services.get(&(number.to_string(), step.to_owned()));
            found.map_or((0, 0, 0), |one| (one.keys, one.done, one.undone))
        };
        let once = (1, 1, u64::from(fails(number)));
        assert_eq!((of("reserve"), of("charge")), (once, once), "{number}");
        assert_eq!(of("ship").1, u64::from(!fails(number)), "{number}");
        completed += u64::from(!fails(number));
        stock -= of("reserve").1 - of("reserve").2;
        charged += of("charge").1 - of("charge").2;
    }
    assert!(hanging.is_empty(), "these hang: {hanging:?}");
    assert_eq!((charged, stock), (completed, sagas + SPARE - completed));
    let compensated = sagas - completed;
    println!("{completed} completed, {compensated} compensated, 0 hanging, {charged} charged once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_leaves_a_saga_hanging_or_an_effect_that_counts_twice() {
    let (sagas, kills) = (setting("ANNALS_SAGAS", 1000), setting("ANNALS_KILLS", 5));
    let mut seed = setting("ANNALS_SEED", std::process::id().into());
    println!("ANNALS_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let store = open_store(&path).await;
    for topic in ["orders", "sagas", "services"] {
        store
            .create_topic(TopicConfig::file(topic, &path))
            .await
            .unwrap();
    }
    let numbers: Vec<_> = (0..sagas).collect();
    for numbers in numbers.chunks(1000) {
        let orders = numbers
            .iter()
            .map(|number| NewEvent::json("Placed", number).unwrap());
        store
            .append_events("orders", Append::new(orders))
            .await
            .unwrap();
    }
    store.close().await.unwrap();
    let begun = Instant::now();
    let mut hit = 0;
    for _ in 0..kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Time for the lease of the one before to end, and for a checkpoint.
        let time = 1300 + (seed >> 33) % (300 + sagas / 50);
        let path = path.clone();
        let running = move || run(&path, sagas, Some(Duration::from_millis(time)));
        hit += u64::from(!tokio::task::spawn_blocking(running).await.unwrap());
    }
    let last = path.clone();
    let done = tokio::task::spawn_blocking(move || run(&last, sagas, None))
        .await
        .unwrap();
    assert!(done);
    println!(
        "{kills} kills, {hit} of them at work, {:?}",
        begun.elapsed()
    );
    let store = open_store(&path).await;
    check(&store, sagas).await;
    let checkpoints = TopicCheckpoints::beside(&store, "sagas").await.unwrap();
    let settled = checkpoints.load("sagas/saga fulfilment").await.unwrap();
    let head = store.get_latest_version("sagas").await.unwrap();
    assert_eq!(settled.position, Some(head), "all of it is settled");
    store.close().await.unwrap();
}
