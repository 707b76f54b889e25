//! Puts every adapter through every case of the conformance suite, one named test each.
//!
//! The program is also the second process of the cases that need one: started with a job in its
//! environment, it does the job and ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

#[cfg(any(feature = "postgres", feature = "blob"))]
mod servers;

use annals::{
    repository::{RepositoryFactory, file::FileFactory, memory::MemoryFactory},
    testing::{Case, FactoryFixture, Fixture, Job, Processes, Promise, cases},
};
use libtest_mimic::{Arguments, Failed, Trial};

/// A case that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    if let Some(job) = Job::from_environment() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
        let factory = factory(job.adapter());
        runtime.block_on(job.run(factory));
        return ExitCode::SUCCESS;
    }
    let mut trials = Vec::new();
    for fixture in fixtures() {
        for case in cases() {
            let name = test_name(&*fixture, &case);
            let fixture = Arc::clone(&fixture);
            trials.push(Trial::test(name, move || run(fixture, case)));
        }
    }
    let names = trials.iter().map(|trial| trial.name().to_owned()).collect();
    trials.push(Trial::test("suite::is_whole", move || is_whole(names)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The adapters, and the settings of theirs that take another path.
fn fixtures() -> Vec<Arc<dyn Fixture>> {
    let this_program: PathBuf = std::env::current_exe().expect("this program has a path");
    let file = |name: &str| {
        FactoryFixture::in_directory(name, Processes::OneWriter, this_program.clone(), || {
            Arc::new(FileFactory)
        })
    };
    #[cfg_attr(
        not(any(feature = "postgres", feature = "blob")),
        expect(unused_mut, reason = "another adapter may follow")
    )]
    let mut fixtures: Vec<Arc<dyn Fixture>> = vec![
        Arc::new(FactoryFixture::in_memory("memory", || {
            Arc::new(MemoryFactory::default())
        })),
        Arc::new(file("file")),
        // Segments so small that nearly every case rolls them and reads their sidecars.
        Arc::new(file("file_small_segments").option("segment_bytes", "4096")),
    ];
    #[cfg(feature = "postgres")]
    fixtures.push(Arc::new(FactoryFixture::on_server(
        "postgres",
        Processes::ManyWriters,
        this_program.clone(),
        || servers::postgres().fresh(),
        || Arc::new(annals::repository::postgres::PostgresFactory),
    )));
    #[cfg(feature = "blob")]
    fixtures.extend(blob_fixtures(&this_program));
    fixtures
}

/// Object stores, and settings with which nearly every case merges the log.
#[cfg(feature = "blob")]
fn blob_fixtures(this_program: &std::path::Path) -> Vec<Arc<dyn Fixture>> {
    use annals::repository::blob::BlobFactory;
    use servers::object_store::{Protocol, store_server};
    use std::sync::atomic::{AtomicU64, Ordering};

    static SITES: AtomicU64 = AtomicU64::new(0);
    let factory = || Arc::new(BlobFactory::default()) as Arc<dyn RepositoryFactory>;
    let in_memory = |name: &str| {
        let connect = || format!("memory:///{}", SITES.fetch_add(1, Ordering::Relaxed));
        FactoryFixture::on_server(name, Processes::None, this_program, connect, factory)
    };
    let in_directory = |name: &str| {
        let connect = |path: &str| format!("file://{path}/objects");
        let (processes, program) = (Processes::ManyWriters, this_program);
        FactoryFixture::in_directory_as(name, processes, program, connect, factory)
    };
    let on_server = |name: &str, protocol| {
        let connect = move || store_server(protocol).fresh();
        let (processes, program) = (Processes::ManyWriters, this_program);
        FactoryFixture::on_server(name, processes, program, connect, factory)
    };
    vec![
        Arc::new(on_server("blob_s3", Protocol::S3)),
        Arc::new(on_server("blob_azure", Protocol::Azure)),
        Arc::new(in_memory("blob_memory")),
        Arc::new(in_memory("blob_memory_merged").option("compact_slots", "2")),
        Arc::new(in_directory("blob_directory")),
        Arc::new(in_directory("blob_directory_merged").option("compact_slots", "3")),
    ]
}

/// The adapter with which a job of a fixture is done.
fn factory(adapter: &str) -> Arc<dyn RepositoryFactory> {
    #[cfg(feature = "postgres")]
    if adapter.starts_with("postgres") {
        return Arc::new(annals::repository::postgres::PostgresFactory);
    }
    #[cfg(feature = "blob")]
    if adapter.starts_with("blob") {
        return Arc::new(annals::repository::blob::BlobFactory::default());
    }
    assert!(adapter.starts_with("file"), "no job is for {adapter}");
    Arc::new(FileFactory)
}

fn test_name(fixture: &dyn Fixture, case: &Case) -> String {
    format!("{}::{}::{}", fixture.name(), case.promise.slug(), case.name)
}

/// Runs one case in a runtime of its own. What is left running when it ends is stopped.
fn run(fixture: Arc<dyn Fixture>, case: Case) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let task = tokio::spawn((case.run)(fixture));
        tokio::time::timeout(PATIENCE, task).await
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(message(error.into_panic()).into()),
        Err(_) => Err(format!("it took more than {PATIENCE:?}").into()),
    }
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(
            || "a panic without a message".to_owned(),
            |text| (*text).to_owned(),
        ),
    }
}

/// Every promise has cases, no two tests have one name, and every adapter runs every case.
fn is_whole(names: Vec<String>) -> Result<(), Failed> {
    let mut by_promise: BTreeMap<Promise, usize> = BTreeMap::new();
    for case in cases() {
        *by_promise.entry(case.promise).or_default() += 1;
    }
    for promise in Promise::ALL {
        if by_promise.get(&promise).is_none_or(|count| *count < 3) {
            return Err(format!("{} has too few cases", promise.slug()).into());
        }
    }
    let unique: BTreeSet<&String> = names.iter().collect();
    if unique.len() != names.len() {
        return Err("two tests have one name".into());
    }
    for fixture in fixtures() {
        for case in cases() {
            let name = test_name(&*fixture, &case);
            if !unique.contains(&name) {
                return Err(format!("{name} is not run").into());
            }
        }
    }
    Ok(())
}
