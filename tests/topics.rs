//! The life of topics, through the public API: created, changed, deleted, restored, purged and
//! created anew, over memory and files in one store, and from several stores at once.

#![cfg(feature = "file")]
#![cfg(test)]

use std::{path::Path, sync::Arc, time::Duration};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Placement,
    Position, Read, Result, StorageId, StoreId, SystemClock, TopicConfig, TopicName, TopicStatus,
    repository::{OpenRequest, RepositoryFactory, file::FileFactory},
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
        assert!(
            store
                .get_events(name, Read::all())
                .await
                .unwrap()
                .is_empty()
        );
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

#[tokio::test]
async fn options_are_changed_and_those_not_given_go_back() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let config = in_files("kept", &directory).option("sync", "never");
    let created = store.create_topic(config).await.unwrap();
    append(&store, "kept", 1).await.unwrap();
    let small = in_files("kept", &directory).option("segment_bytes", "4096");
    let updated = store.update_topic(small).await.unwrap();
    assert_eq!(updated.placement.options["segment_bytes"], "4096");
    assert!(!updated.placement.options.contains_key("sync"));
    assert_eq!(updated.placement.storage, created.placement.storage);
    assert_eq!(updated.created_at, created.created_at);
    assert!(updated.configured_at > created.configured_at);
    assert_eq!(store.get_topic("kept").await.unwrap(), updated);
    assert_eq!(append(&store, "kept", 2).await.unwrap(), Position::new(2));

    for wrong in [
        in_files("kept", &directory).option("segment_bytes", "12"),
        in_files("kept", &directory).option("segments", "12"),
    ] {
        let refused = store.update_topic(wrong).await;
        assert!(
            matches!(refused, Err(Error::InvalidConfig { .. })),
            "{refused:?}"
        );
        assert_eq!(store.get_topic("kept").await.unwrap(), updated);
    }
    assert_not_found(store.update_topic(in_files("never", &directory)).await);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_move_to_where_nobody_can_write_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let other = TempDir::new().unwrap();
    let store = open(&directory).await;
    store
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    let before = store.get_topic("kept").await.unwrap();
    let refused = store
        .update_topic(TopicConfig::new("kept", "papyrus", "./scrolls"))
        .await;
    assert!(
        matches!(refused, Err(Error::InvalidConfig { .. })),
        "{refused:?}"
    );
    let refused = store
        .update_topic(in_files("kept", &other).option("colour", "red"))
        .await;
    assert!(
        matches!(refused, Err(Error::InvalidConfig { .. })),
        "{refused:?}"
    );
    assert_eq!(store.get_topic("kept").await.unwrap(), before);
    let nothing_made = std::fs::read_dir(other.path()).unwrap().next().is_none();
    assert!(nothing_made);
    // The same directory, written in another way, is no move.
    let same = TopicConfig::file("kept", format!("file://{}/./", text(directory.path())));
    store.update_topic(same).await.unwrap();
    assert_eq!(append(&store, "kept", 1).await.unwrap(), Position::new(1));
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_configuration_is_the_same_after_a_reopen() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for config in both(&directory) {
        store.create_topic(config).await.unwrap();
    }
    for name in NAMES {
        append(&store, name, 1).await.unwrap();
    }
    store
        .create_topic(in_files("gone", &directory))
        .await
        .unwrap();
    append(&store, "gone", 1).await.unwrap();
    store.delete_topic("gone").await.unwrap();
    store
        .create_topic(in_files("purged", &directory))
        .await
        .unwrap();
    store.delete_topic("purged").await.unwrap();
    store.purge_topic("purged").await.unwrap();
    store
        .update_topic(in_files("kept", &directory).option("sync", "interval:10"))
        .await
        .unwrap();
    let (id, topics) = (store.id(), store.list_topics().await.unwrap());
    let deleted = store.list_deleted_topics().await.unwrap();
    store.close().await.unwrap();

    let store = open(&directory).await;
    assert_eq!(store.id(), id);
    assert_eq!(store.list_topics().await.unwrap(), topics);
    assert_eq!(store.list_deleted_topics().await.unwrap(), deleted);
    assert_hidden(&store, "purged").await;
    assert_eq!(head(&store, "kept").await, 1);
    assert_eq!(head(&store, "fleeting").await, 0, "memory forgets");
    assert_eq!(
        append(&store, "fleeting", 1).await.unwrap(),
        Position::new(1)
    );
    store.restore_topic("gone").await.unwrap();
    assert_eq!(head(&store, "gone").await, 1);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_create_one_topic_exactly_one_wins() {
    let directory = TempDir::new().unwrap();
    let stores = [open(&directory).await, open(&directory).await];
    assert_eq!(stores[0].id(), stores[1].id());
    for round in 0..5 {
        let name = format!("contested-{round}");
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let store = stores[task % 2].clone();
                let config = in_files(&name, &directory);
                tokio::spawn(async move { store.create_topic(config).await })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(info) => winners.push(info),
                Err(Error::TopicAlreadyExists { topic }) => assert_eq!(topic.as_str(), name),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(winners.len(), 1);
        for store in &stores {
            assert_eq!(store.get_topic(&name).await.unwrap(), winners[0]);
        }
    }
    // The losers have left no storage behind: five topics, and the configuration stream.
    let left = std::fs::read_dir(directory.path().join("topics")).unwrap();
    assert_eq!(left.count(), 6);
    for store in stores {
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_second_store_learns_of_topics_without_being_told() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (open(&directory).await, open(&directory).await);
    first
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    assert_eq!(append(&second, "kept", 1).await.unwrap(), Position::new(1));
    assert_eq!(append(&first, "kept", 2).await.unwrap(), Position::new(2));
    assert_eq!(head(&second, "kept").await, 2);
    first.delete_topic("kept").await.unwrap();
    assert!(names(&second).await.is_empty());
    assert_hidden(&second, "kept").await;
    second.restore_topic("kept").await.unwrap();
    assert_eq!(head(&first, "kept").await, 2);
    // Closing one leaves the other at work.
    first.close().await.unwrap();
    assert_eq!(append(&second, "kept", 3).await.unwrap(), Position::new(3));
    second.close().await.unwrap();
}

#[tokio::test]
async fn an_append_through_another_store_never_goes_to_a_deleted_topic() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (open(&directory).await, open(&directory).await);
    first
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    append(&second, "kept", 1).await.unwrap();
    first.delete_topic("kept").await.unwrap();
    // The second store has not asked for the configuration since.
    assert_not_found(append(&second, "kept", 2).await);
    first
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    append(&second, "kept", 3).await.unwrap();
    assert_eq!(head(&first, "kept").await, 1);
    first.delete_topic("kept").await.unwrap();
    first.purge_topic("kept").await.unwrap();
    assert_not_found(append(&second, "kept", 4).await);
    for store in [first, second] {
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_append_through_another_store_goes_to_the_topic_created_anew_after_a_purge() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (open(&directory).await, open(&directory).await);
    first
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    append(&second, "kept", 1).await.unwrap();
    append(&second, "kept", 2).await.unwrap();
    first.delete_topic("kept").await.unwrap();
    first.purge_topic("kept").await.unwrap();
    first
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    assert_eq!(append(&second, "kept", 3).await.unwrap(), Position::new(1));
    assert_eq!(head(&first, "kept").await, 1);
    for store in [first, second] {
        store.close().await.unwrap();
    }
}

/// Storage as a crash leaves it: made, and never recorded.
async fn orphan(directory: &TempDir, store: StoreId) -> StorageId {
    let request = OpenRequest {
        connection: text(directory.path()),
        name: "test".to_owned(),
        options: annals::Options::new(),
        read_only: false,
        clock: Arc::new(SystemClock),
    };
    let repository = FileFactory.open(request).await.unwrap();
    let placement = Placement {
        topic: TopicName::new("orphan").unwrap(),
        adapter: "file".to_owned(),
        connection: text(directory.path()),
        options: annals::Options::new(),
        storage: StorageId::generate(),
        store,
    };
    repository.prepare(&placement).await.unwrap();
    repository.close().await.unwrap();
    placement.storage
}

#[tokio::test]
async fn a_sweep_removes_only_old_unused_storage_of_its_own_store() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    for config in both(&directory) {
        store.create_topic(config).await.unwrap();
    }
    store
        .create_topic(in_files("deleted", &directory))
        .await
        .unwrap();
    for name in ["kept", "fleeting", "deleted"] {
        append(&store, name, 1).await.unwrap();
    }
    store.delete_topic("deleted").await.unwrap();
    let own = orphan(&directory, store.id()).await;
    let foreign = orphan(&directory, StoreId::generate()).await;
    assert!(store.sweep().await.unwrap().is_empty(), "it is too young");
    assert!(storage_directory(&directory, own).exists());

    let swept = store.sweep_older_than(Duration::ZERO).await.unwrap();
    assert_eq!(swept.len(), 1);
    assert_eq!((swept[0].storage, swept[0].store), (own, store.id()));
    assert_eq!(swept[0].topic.as_str(), "orphan");
    assert!(!storage_directory(&directory, own).exists());
    assert!(storage_directory(&directory, foreign).exists());
    assert!(storage_directory(&directory, StorageId::CONFIGURATION).exists());
    let again = store.sweep_older_than(Duration::ZERO).await.unwrap();
    assert!(again.is_empty());
    store.restore_topic("deleted").await.unwrap();
    for name in ["kept", "fleeting", "deleted"] {
        assert_eq!(head(&store, name).await, 1);
    }
    store.close().await.unwrap();
    assert_eq!(names(&open(&directory).await).await.len(), 3);
}

#[tokio::test]
async fn a_storage_that_is_lost_from_disk_is_corruption_and_not_an_empty_topic() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let info = store
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    append(&store, "kept", 1).await.unwrap();
    store.close().await.unwrap();
    let lost = storage_directory(&directory, info.placement.storage);
    std::fs::remove_dir_all(&lost).unwrap();

    let store = open(&directory).await;
    assert_corrupt(store.get_latest_version("kept").await);
    assert_corrupt(append(&store, "kept", 2).await);
    assert_corrupt(store.get_events("kept", Read::all()).await);
    assert_corrupt(store.get_stream("kept", "one").await);
    assert_corrupt(store.delete_stream("kept", "one").await);
    assert_corrupt(store.verify_topic("kept").await);
    let options = in_files("kept", &directory).option("sync", "never");
    assert_corrupt(store.update_topic(options).await);
    assert_corrupt(store.get_latest_version("kept").await);
    assert!(!lost.exists(), "nothing makes it anew");
    // The way out is to delete it.
    store.delete_topic("kept").await.unwrap();
    store.purge_topic("kept").await.unwrap();
    store
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    assert_eq!(append(&store, "kept", 1).await.unwrap(), Position::new(1));
    store.close().await.unwrap();
}

#[track_caller]
fn assert_corrupt<T: std::fmt::Debug>(answer: Result<T>) {
    assert!(
        matches!(&answer, Err(Error::Corruption { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_append_to_a_topic_of_a_dropped_store_is_still_there() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    store
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    let append = Append::new([event(1), event(2)]).stream("one");
    store.append_events("kept", append).await.unwrap();
    drop(store);
    let store = open(&directory).await;
    assert_eq!(head(&store, "kept").await, 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_dropped_in_the_midst_of_appends_can_be_opened_again_at_once() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    store
        .create_topic(in_files("kept", &directory))
        .await
        .unwrap();
    store.close().await.unwrap();
    for round in 1..=30 {
        let store = open(&directory).await;
        let appends: Vec<_> = (0..20)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { append(&store, "kept", number).await })
            })
            .collect();
        append(&store, "kept", round).await.unwrap();
        for task in &appends {
            task.abort();
        }
        drop((store, appends));
    }
    let store = open(&directory).await;
    let events = store.get_events("kept", Read::all()).await.unwrap();
    assert!(events.len() >= 30);
    assert_eq!(
        store.verify_topic("kept").await.unwrap().events,
        events.len() as u64
    );
    store.close().await.unwrap();
}
