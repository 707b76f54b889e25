//! Short simulations; `simulate` has long ones.

use super::database;
use crate::{
    Kept,
    simulation::{Run, Simulate, run},
};

async fn simulate(seed: u64, adapter: &str, device_adapter: &str, read_models: Option<String>) {
    let directory = tempfile::tempdir().unwrap();
    let simulate = Simulate {
        devices: 3,
        operations: 40,
        seed,
        kills: 2,
        device_adapter: device_adapter.to_owned(),
        kept: Kept {
            adapter: adapter.to_owned(),
            connection: String::new(),
            read_models,
        },
    };
    let report = run(&simulate, Run::Here, directory.path()).await.unwrap();
    assert!(
        report.wrong.0.is_empty(),
        "seed {seed}: {:#?}",
        report.wrong.0
    );
    assert!(report.made > 40 && report.events > 40, "{report:?}");
    assert!(report.lost.0 > 0 && report.lost.1 > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_the_server_end_with_the_same_in_memory() {
    for seed in 0..3 {
        simulate(seed, "memory", "memory", None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_the_server_end_with_the_same_in_files() {
    simulate(3, "file", "file", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_the_server_end_with_the_same_with_read_models_in_postgres() {
    simulate(4, "file", "memory", Some(database().await)).await;
}
