//! The life of topics, through the public API: created, changed, deleted, restored, purged and
//! created anew, over memory and files in one store, and from several stores at once.

#![cfg(test)]

use std::{path::Path, sync::Arc, time::Duration};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Placement,
    Position, Read, Result, StorageId, StoreId, SystemClock, TopicConfig, TopicName, TopicStatus,
    repository::{EventRepository, OpenRequest, RepositoryFactory, file::FileFactory},
};
use tempfile::TempDir;

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A store whose configuration stream is in files below `directory`.
async fn open(directory: &TempDir) -> EventStore {
    let files = ConfigurationStream::file(text(directory.path()));
    EventStore::open(EventStoreConfig::new(files))
        .await
        .unwrap()
}

fn in_files(topic: &str, directory: &TempDir) -> TopicConfig {
    TopicConfig::file(topic, text(directory.path()))
}

/// One topic of each adapter.
fn both(directory: &TempDir) -> [TopicConfig; 2] {
    [in_files("kept", directory), TopicConfig::memory("fleeting")]
}

const NAMES: [&str; 2] = ["kept", "fleeting"];

fn event(number: u64) -> NewEvent {
    NewEvent::json("Counted", &number).unwrap()
}

async fn append(store: &EventStore, topic: &str, number: u64) -> Result<Position> {
    let receipt = store.append_events(topic, event(number)).await?;
    Ok(receipt.last)
}

async fn head(store: &EventStore, topic: &str) -> u64 {
    store.get_latest_version(topic).await.unwrap().get()
}

async fn names(store: &EventStore) -> Vec<String> {
    let topics = store.list_topics().await.unwrap();
    topics.iter().map(|info| info.name.to_string()).collect()
}

async fn deleted_names(store: &EventStore) -> Vec<String> {
    let topics = store.list_deleted_topics().await.unwrap();
    topics.iter().map(|info| info.name.to_string()).collect()
}

fn storage_directory(directory: &TempDir, storage: StorageId) -> std::path::PathBuf {
    directory.path().join("topics").join(storage.to_string())
}

#[track_caller]
fn assert_not_found<T: std::fmt::Debug>(answer: Result<T>) {
    assert!(
        matches!(answer, Err(Error::TopicNotFound { .. })),
        "{answer:?}"
    );
}

/// Every call that needs the topic to be in use.
async fn assert_hidden(store: &EventStore, topic: &str) {
    assert_not_found(store.get_topic(topic).await);
    assert_not_found(append(store, topic, 1).await);
    assert_not_found(store.get_events(topic, Read::all()).await);
    let by_type = store.get_events_by_type(topic, "Counted", Position::START);
    assert_not_found(by_type.await);
    assert_not_found(store.get_latest_version(topic).await);
    assert_not_found(store.get_stream(topic, "one").await);
    assert_not_found(store.delete_stream(topic, "one").await);
    assert_not_found(store.restore_stream(topic, "one").await);
    assert_not_found(store.verify_topic(topic).await);
    assert_not_found(store.delete_topic(topic).await);
    assert_not_found(store.update_topic(TopicConfig::memory(topic)).await);
}

#[tokio::test]
async fn a_topic_is_created_found_and_listed_by_name() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    assert_hidden(&store, "kept").await;
    for config in both(&directory) {
        store.create_topic(config).await.unwrap();
    }
    assert_eq!(names(&store).await, ["fleeting", "kept"]);
    let kept = store.get_topic("kept").await.unwrap();
    let fleeting = store.get_topic("fleeting").await.unwrap();
    assert_eq!(kept.name.as_str(), "kept");
    assert_eq!(kept.status, TopicStatus::Active);
    assert_eq!(kept.placement.adapter, "file");
    assert_eq!(kept.placement.connection, text(directory.path()));
    assert_eq!(kept.placement.store, store.id());
    assert_eq!(fleeting.placement.adapter, "memory");
    assert!(fleeting.configured_at > kept.configured_at);
    assert_ne!(kept.placement.storage, fleeting.placement.storage);
    assert_eq!(store.list_topics().await.unwrap(), [fleeting, kept]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_name_in_use_is_refused_and_the_topic_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for config in both(&directory) {
        store.create_topic(config).await.unwrap();
    }
    for name in NAMES {
        append(&store, name, 1).await.unwrap();
        let before = store.get_topic(name).await.unwrap();
        for again in [in_files(name, &directory), TopicConfig::memory(name)] {
            let answer = store.create_topic(again).await;
            assert!(
                matches!(&answer, Err(Error::TopicAlreadyExists { topic }) if topic.as_str() == name),
                "{answer:?}"
            );
        }
        assert_eq!(store.get_topic(name).await.unwrap(), before);
        assert_eq!(head(&store, name).await, 1);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_topic_is_deleted_and_restored_with_its_events() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for config in both(&directory) {
        store.create_topic(config).await.unwrap();
    }
    for name in NAMES {
        let created = store.get_topic(name).await.unwrap();
        append(&store, name, 1).await.unwrap();
        store.delete_topic(name).await.unwrap();
        assert_hidden(&store, name).await;
        assert_eq!(deleted_names(&store).await, [name]);
        let deleted = &store.list_deleted_topics().await.unwrap()[0];
        assert_eq!(deleted.status, TopicStatus::Deleted);
        assert_eq!(deleted.placement, created.placement);

        let restored = store.restore_topic(name).await.unwrap();
        assert_eq!(restored.status, TopicStatus::Active);
        assert_eq!(restored.placement, created.placement);
        assert_eq!(restored.created_at, created.created_at);
        assert!(deleted_names(&store).await.is_empty());
        assert_eq!(append(&store, name, 2).await.unwrap(), Position::new(2));
        let again = store.restore_topic(name).await;
        assert!(
            matches!(again, Err(Error::TopicAlreadyExists { .. })),
            "{again:?}"
        );
    }
    assert_not_found(store.restore_topic("never").await);
    store.close().await.unwrap();
}

#[tokio::test]
async fn only_a_deleted_topic_is_purged_and_it_is_gone_then() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for config in both(&directory) {
        store.create_topic(config).await.unwrap();
    }
    for name in NAMES {
        append(&store, name, 1).await.unwrap();
        let storage = store.get_topic(name).await.unwrap().placement.storage;
        let in_use = store.purge_topic(name).await;
        assert!(
            matches!(in_use, Err(Error::TopicNotDeleted { .. })),
            "{in_use:?}"
        );
        assert_eq!(head(&store, name).await, 1);
        store.delete_topic(name).await.unwrap();
        store.purge_topic(name).await.unwrap();
        assert_hidden(&store, name).await;
        assert!(deleted_names(&store).await.is_empty());
        assert!(!storage_directory(&directory, storage).exists());
        assert_not_found(store.purge_topic(name).await);
        assert_not_found(store.restore_topic(name).await);
    }
    assert_not_found(store.purge_topic("never").await);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_name_used_again_starts_empty_and_never_meets_old_events() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for config in both(&directory) {
        let name = config_name(&config);
        store.create_topic(config.clone()).await.unwrap();
        for number in 1..=3 {
            append(&store, name, number).await.unwrap();
        }
        let first = store.get_topic(name).await.unwrap().placement.storage;
        store.delete_topic(name).await.unwrap();

        store.create_topic(config).await.unwrap();
        assert_eq!(head(&store, name).await, 0);
        assert!(store.get_events(name, Read::all()).await.unwrap().is_empty());
        assert_eq!(append(&store, name, 9).await.unwrap(), Position::new(1));
        // Two of the name are deleted now: the one deleted last comes back.
        let second = store.get_topic(name).await.unwrap().placement.storage;
        store.delete_topic(name).await.unwrap();
        assert_eq!(deleted_names(&store).await, [name, name]);
        let restored = store.restore_topic(name).await.unwrap();
        assert_eq!(restored.placement.storage, second);
        assert_eq!(head(&store, name).await, 1);
        // What is in use stays when its older namesake is purged.
        store.purge_topic(name).await.unwrap();
        assert!(!storage_directory(&directory, first).exists());
        assert!(deleted_names(&store).await.is_empty());
        assert_eq!(head(&store, name).await, 1);
    }
    store.close().await.unwrap();
}

fn config_name(config: &TopicConfig) -> &'static str {
    let shown = format!("{config:?}");
    NAMES
        .into_iter()
        .find(|name| shown.contains(&format!("{name:?}")))
        .unwrap()
}
