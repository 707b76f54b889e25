//! A disk that is full: what was acknowledged is there, what is refused is said, and once there is
//! room again everything goes on.
//!
//! The disk is a small tmpfs, which only root may mount.

#![cfg(all(test, feature = "file", target_os = "linux"))]

use std::{fs, path::Path, process::Command};

use annals::{
    ConfigurationStream, Error, EventStore, EventStoreConfig, HealthStatus, NewEvent, Read,
    TopicConfig,
};
use futures_util::future::join_all;
use tempfile::TempDir;
use uuid::Uuid;

/// A file system of two megabytes.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let place = TempDir::new().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(place.path())
            .status()
            .expect("`mount` is installed");
        assert!(
            status.success(),
            "a small file system cannot be mounted: this test has to be run by root"
        );
        Self(place)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

const TOPICS: [&str; 3] = ["a", "b", "c"];

async fn open(disk: &SmallDisk) -> EventStore {
    let place = disk.path().join("data").display().to_string();
    EventStore::open(EventStoreConfig::new(ConfigurationStream::file(place)))
        .await
        .unwrap()
}

fn topic(disk: &SmallDisk, name: &str) -> TopicConfig {
    TopicConfig::file(name, disk.path().join("data").display().to_string())
}

/// Appends to one topic until it is refused; the ids that were acknowledged.
async fn fill(store: &EventStore, topic: &str) -> Vec<Uuid> {
    let mut acknowledged = Vec::new();
    loop {
        let event = NewEvent::json("Filled", &"x".repeat(3000)).unwrap();
        let id = event.event_id();
        match store.append_events(topic, event).await {
            Ok(_) => acknowledged.push(id),
            Err(Error::RepositoryUnavailable { reason, .. }) => {
                assert!(!reason.is_empty());
                return acknowledged;
            }
            Err(error) => panic!("{error:?}"),
        }
        assert!(acknowledged.len() < 1000, "the disk is never full");
    }
}

async fn check(store: &EventStore, topic: &str, acknowledged: &[Uuid]) {
    let events = store.get_events(topic, Read::all()).await.unwrap();
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids, acknowledged, "{topic}");
    store.verify_topic(topic).await.unwrap();
}

async fn full_and_free_again(disk: &SmallDisk, together: bool) {
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 600_000]).unwrap();
    let store = open(disk).await;
    for name in TOPICS {
        store.create_topic(topic(disk, name)).await.unwrap();
    }
    let mut acknowledged = if together {
        join_all(TOPICS.map(|name| fill(&store, name))).await
    } else {
        vec![fill(&store, TOPICS[0]).await, Vec::new(), Vec::new()]
    };
    assert!(acknowledged.iter().map(Vec::len).sum::<usize>() > 50);
    for (name, acknowledged) in TOPICS.iter().zip(&acknowledged) {
        check(&store, name, acknowledged).await;
    }
    assert_ne!(store.health().await.status, HealthStatus::Up);
    let refused = store.create_topic(topic(disk, "more")).await.unwrap_err();
    assert!(
        matches!(refused, Error::RepositoryUnavailable { .. }),
        "{refused:?}"
    );
    assert_eq!(store.list_topics().await.unwrap().len(), TOPICS.len());

    fs::remove_file(&ballast).unwrap();
    assert_eq!(store.health().await.status, HealthStatus::Up);
    store.create_topic(topic(disk, "more")).await.unwrap();
    for reopened in [false, true] {
        let store = if reopened {
            store.close().await.unwrap();
            open(disk).await
        } else {
            store.clone()
        };
        for (name, acknowledged) in TOPICS.iter().zip(&mut acknowledged) {
            check(&store, name, acknowledged).await;
            let event = NewEvent::json("Later", &reopened).unwrap();
            acknowledged.push(event.event_id());
            store.append_events(name, event).await.unwrap();
            check(&store, name, acknowledged).await;
        }
        if reopened {
            store.close().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_topic_fills_the_disk_and_goes_on_when_there_is_room() {
    full_and_free_again(&SmallDisk::mount(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_topics_fill_the_disk_together_and_go_on_when_there_is_room() {
    full_and_free_again(&SmallDisk::mount(), true).await;
}
