//! Health, also where a repository is down.

use std::fs;

use annals::{ConfigurationStream, EventStore, EventStoreConfig, TopicConfig};

use crate::world::{World, config, problem, send, status};

#[tokio::test]
async fn a_server_whose_store_answers_is_ready_and_says_how_its_repositories_are() {
    let world = World::new(config()).await;
    assert_eq!(status(world.get("/health/ready")).await, 204);
    let report = send(world.get("/api/v1/health")).await;
    let report: serde_json::Value = report.json().await.unwrap();
    assert_eq!(report["status"], "up");
    assert_eq!(report["repositories"][0]["status"], "up");
    assert!(
        report["repositories"][0]["latencySeconds"]
            .as_f64()
            .is_some()
    );
    world.stop().await;
}

#[tokio::test]
async fn a_server_whose_store_is_closed_is_not_ready() {
    let world = World::new(config()).await;
    world.store.close().await.unwrap();
    let (status, kind) = problem(send(world.get("/health/ready")).await).await;
    assert_eq!((status, kind.as_str()), (503, "not-ready"));
    let (status, _) = problem(send(world.append()).await).await;
    assert_eq!(status, 503);
    world.stop().await;
}

#[tokio::test]
async fn a_repository_that_is_down_is_shown_and_leaves_the_others_ready() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken");
    let config_stream = ConfigurationStream::memory();
    let store = EventStore::open(EventStoreConfig::new(config_stream))
        .await
        .unwrap();
    store
        .create_topic(TopicConfig::memory("orders"))
        .await
        .unwrap();
    let files = TopicConfig::file("files", broken.to_str().unwrap());
    store.create_topic(files).await.unwrap();
    fs::remove_dir_all(&broken).unwrap();
    fs::write(&broken, "no directory").unwrap();
    let world = World::over(store, config()).await;
    assert_eq!(status(world.get("/health/ready")).await, 204);
    let report = send(world.get("/api/v1/health")).await;
    let report: serde_json::Value = report.json().await.unwrap();
    assert_eq!(report["status"], "degraded", "{report}");
    let text = send(world.get("/metrics")).await.text().await.unwrap();
    let up = text
        .lines()
        .filter(|line| line.starts_with("annals_repository_up{"));
    let mut values: Vec<_> = up.filter_map(|line| line.rsplit(' ').next()).collect();
    values.sort_unstable();
    assert_ne!(values[0], "1", "{text}");
    assert_eq!(values[1], "1", "{text}");
    assert_eq!(status(world.append()).await, 201);
    world.stop().await;
}
