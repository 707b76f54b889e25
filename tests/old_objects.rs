//! Objects that were written by earlier versions are still read, and their topics go on.
//!
//! `tests/fixtures/blob-FORMAT` has the objects of a store in a directory, and beside them what it contains.
//! They are never written again; a new version of a format gets one of its own, which
//! `ANNALS_WRITE_FIXTURES=blob-2 cargo test --test old_objects write` makes.

#![cfg(feature = "blob")]
#![cfg(test)]

mod kept;
#[path = "journal/loss.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "directories are copied here, and lose nothing"
)]
mod loss;

use std::{fs, path::Path};

use annals::{ConfigurationStream, EventStore, EventStoreConfig, Result, TopicConfig};
use kept::{
    TOPICS, check_appends, check_indexes, contents, expected, fill, fixtures, fixtures_with,
};

async fn open(directory: &Path, write: bool) -> Result<EventStore> {
    let url = format!("file://{}", directory.display());
    let stream = ConfigurationStream::blob(format!("{url}/configuration"));
    let config = EventStoreConfig::new(stream)
        .resolver(move |name| (name == "STORE").then(|| format!("{url}/topics")));
    EventStore::open(if write { config } else { config.read_only() }).await
}

#[tokio::test]
async fn objects_of_every_version_are_read_and_go_on() {
    let versions = fixtures_with("objects");
    assert!(versions.contains(&fixtures().join("blob-1")));
    for fixture in versions {
        let expected = expected(&fixture.join("store.json"));
        let directory = tempfile::tempdir().unwrap();
        loss::copy(&fixture.join("objects"), directory.path());
        for write in [false, true] {
            let store = open(directory.path(), write).await.unwrap();
            let found = contents(&store).await;
            assert_eq!(found, expected, "{}, write: {write}", fixture.display());
            check_indexes(&store, "orders").await;
            store.close().await.unwrap();
        }
        let store = open(directory.path(), true).await.unwrap();
        check_appends(&store).await;
        check_indexes(&store, "orders").await;
        store.close().await.unwrap();
    }
}

/// Objects by which parts of the format are told: each kind is in the fixtures.
#[test]
fn fixtures_have_every_kind_of_object() {
    for fixture in fixtures_with("objects") {
        let mut left = vec![fixture.join("objects")];
        let mut kinds = Vec::new();
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    kinds.push(path.file_name().unwrap().to_str().unwrap().to_owned());
                    left.push(path);
                }
            }
        }
        for kind in ["storages", "log", "man", "seg"] {
            assert!(kinds.iter().any(|one| one == kind), "{kind}: {kinds:?}");
        }
    }
}

/// Writes the fixture of a version; does nothing when it is run as one test among the others.
#[tokio::test]
async fn write_fixture() {
    let Ok(version) = std::env::var("ANNALS_WRITE_FIXTURES") else {
        return;
    };
    let fixture = fixtures().join(&version);
    // What is there already is never written again.
    if !version.starts_with("blob-") || fixture.exists() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), true).await.unwrap();
    for name in TOPICS {
        let topic = TopicConfig::blob(name, "${STORE}").option("compact_slots", "16");
        store.create_topic(topic).await.unwrap();
    }
    fill(&store).await;
    let expected = contents(&store).await;
    store.close().await.unwrap();
    fs::create_dir_all(fixture.join("objects")).unwrap();
    loss::copy(directory.path(), &fixture.join("objects"));
    fs::write(fixture.join("store.json"), expected.to_string()).unwrap();
}
