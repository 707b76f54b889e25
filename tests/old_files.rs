//! Stores that were written by released versions are still read, and go on.
//!
//! `tests/fixtures/VERSION` has a store that was closed, one whose process ended while it wrote, and one
//! whose machine did, so that a part of it is in its journal only,
//! and beside each what it contains. They are never written again: a fixture that has to be changed
//! for a test to pass is a format that was broken. A new version of the format gets a directory of
//! its own, which `ANNALS_WRITE_FIXTURES=v2 cargo test --test old_files write` makes.

#![cfg(feature = "file")]

mod kept;
#[path = "journal/loss.rs"]
mod loss;

use std::{
    fs,
    path::{Path, PathBuf},
};

use annals::{Append, ConfigurationStream, EventStore, EventStoreConfig, Result, TopicConfig};
use kept::{
    TOPICS, check_appends, check_indexes, contents, event, expected, fill, fixtures, fixtures_with,
};
use serde_json::Value;

const STORES: [&str; 2] = ["closed", "crashed"];

async fn open(directory: &Path, write: bool) -> Result<EventStore> {
    let path = directory.display().to_string();
    let config = EventStoreConfig::new(ConfigurationStream::file(path.clone()))
        .resolver(move |name| (name == "STORE").then(|| path.clone()));
    EventStore::open(if write { config } else { config.read_only() }).await
}

fn files_of(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for storage in fs::read_dir(directory.join("topics")).unwrap() {
        for file in fs::read_dir(storage.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|one| one == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

async fn check(fixture: &Path, name: &str, without_indexes: bool) {
    let expected = expected(&fixture.join(format!("{name}.json")));
    let directory = tempfile::tempdir().unwrap();
    loss::copy(&fixture.join(name), directory.path());
    let indexes = files_of(directory.path(), "idx");
    assert!(indexes.len() > 1, "there are segments with index files");
    if without_indexes {
        indexes
            .iter()
            .for_each(|path| fs::remove_file(path).unwrap());
    }
    for write in [false, true] {
        let store = open(directory.path(), write).await.unwrap();
        assert_eq!(contents(&store).await, expected, "{name}, write: {write}");
        check_indexes(&store, "orders").await;
        store.close().await.unwrap();
    }
    let store = open(directory.path(), true).await.unwrap();
    check_appends(&store).await;
    check_indexes(&store, "orders").await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn stores_of_every_version_are_read_and_go_on() {
    let versions = fixtures_with("closed");
    assert!(versions.contains(&fixtures().join("v1")));
    for fixture in &versions {
        for name in STORES {
            check(fixture, name, false).await;
        }
    }
}

#[tokio::test]
async fn stores_of_every_version_are_read_without_their_index_files() {
    for fixture in fixtures_with("closed") {
        for name in STORES {
            check(&fixture, name, true).await;
        }
    }
}

/// What this version writes is what the version of the format has written from the beginning: the
/// index files that are made from a fixture's segments are those of the fixture.
#[tokio::test]
async fn index_files_that_are_made_anew_are_those_that_were_there() {
    for name in STORES {
        let fixture = fixtures().join("v1").join(name);
        let directory = tempfile::tempdir().unwrap();
        loss::copy(&fixture, directory.path());
        for path in files_of(directory.path(), "idx") {
            fs::remove_file(path).unwrap();
        }
        let store = open(directory.path(), true).await.unwrap();
        contents(&store).await;
        store.close().await.unwrap();
        let bytes = |directory: &Path| -> Vec<_> {
            let paths = files_of(directory, "idx").into_iter();
            paths.map(|path| fs::read(path).unwrap()).collect()
        };
        assert!(bytes(directory.path()) == bytes(&fixture), "{name}");
    }
}

/// What only the journal has is written to the segments again.
#[tokio::test]
async fn journals_of_every_version_are_replayed() {
    for fixture in fixtures_with("closed") {
        let expected = expected(&fixture.join("journaled.json"));
        let directory = tempfile::tempdir().unwrap();
        loss::copy(&fixture.join("journaled"), directory.path());
        assert!(
            open(directory.path(), false).await.is_err(),
            "there is something to replay"
        );
        for write in [true, false] {
            let store = open(directory.path(), write).await.unwrap();
            assert_eq!(contents(&store).await, expected);
            store.close().await.unwrap();
        }
    }
}

async fn write_store(directory: &Path, crash: bool) -> Value {
    let store = open(directory, true).await.unwrap();
    for name in TOPICS {
        let topic = TopicConfig::file(name, "${STORE}").option("segment_bytes", "4096");
        store.create_topic(topic).await.unwrap();
    }
    fill(&store).await;
    let contents = contents(&store).await;
    if !crash {
        store.close().await.unwrap();
    }
    contents
}

/// A store that was left while its topics shared their syncs, after a power cut.
async fn write_journaled(directory: &Path, fixture: &Path) -> Value {
    let store = open(directory, true).await.unwrap();
    let topics: Vec<_> = (0..4).map(|nth| format!("shared-{nth}")).collect();
    for topic in &topics {
        let topic = TopicConfig::file(topic, "${STORE}");
        store.create_topic(topic).await.unwrap();
    }
    for round in 0..6 {
        let appends = topics.iter().map(|topic| {
            let append = Append::new([event(round)]).stream("order-1");
            store.append_events(topic, append)
        });
        for receipt in futures_util::future::join_all(appends).await {
            receipt.unwrap();
        }
    }
    let contents = contents(&store).await;
    fs::create_dir_all(fixture).unwrap();
    loss::copy(directory, fixture);
    assert!(loss::lose_journaled(fixture, false) > 6);
    contents
}

/// Writes the fixtures of a version; does nothing when it is run as one test among the others.
#[tokio::test]
async fn write_fixtures() {
    let Ok(version) = std::env::var("ANNALS_WRITE_FIXTURES") else {
        return;
    };
    // What is there already is never written again.
    let fixture = fixtures().join(&version).join("journaled");
    if !fixture.exists() {
        let directory = tempfile::tempdir().unwrap();
        let expected = write_journaled(directory.path(), &fixture).await;
        let text = serde_json::to_string(&expected).unwrap();
        fs::write(fixture.with_extension("json"), text).unwrap();
    }
    for name in STORES {
        let directory = tempfile::tempdir().unwrap();
        let fixture = fixtures().join(&version).join(name);
        if fixture.exists() {
            continue;
        }
        let expected = write_store(directory.path(), name == "crashed").await;
        if name == "crashed" {
            // Index files are written beside the appends; the last segment of a topic has none.
            let count = |ending| files_of(directory.path(), ending).len();
            while count("log") > count("idx") + 4 {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        fs::create_dir_all(&fixture).unwrap();
        loss::copy(directory.path(), &fixture);
        if name == "crashed" {
            // The process ended in the middle of a write: half of a frame follows the last one.
            let last = files_of(&fixture, "log").pop().unwrap();
            let mut bytes = fs::read(&last).unwrap();
            bytes.extend_from_slice(b"ANL\xf5 and no more than the beginning of a frame");
            fs::write(last, bytes).unwrap();
        }
        let text = serde_json::to_string(&expected).unwrap();
        fs::write(fixtures().join(&version).join(format!("{name}.json")), text).unwrap();
    }
}
