//! An index file can always be made again, and a mark be done without: damage of one is nobody's
//! trouble, whoever meets it.

use std::{fs, path::Path};

use annals::{Append, ConfigurationStream, EventStore, EventStoreConfig, NewEvent, TopicConfig};

use super::subject::files;

fn config(directory: &Path) -> EventStoreConfig {
    let path = directory.display().to_string();
    EventStoreConfig::new(ConfigurationStream::file(path.clone()))
        .resolver(move |name| (name == "STORE").then(|| path.clone()))
}

async fn fill(store: &EventStore, appends: u64) {
    for number in 0..appends {
        let event = NewEvent::binary("Written", "text/plain", vec![number as u8; 200]);
        let append = Append::new([event]).stream(format!("s{}", number % 4));
        store.append_events("t", append).await.unwrap();
    }
}

/// Damages a block of every index file, but not the headers, by which they are opened.
fn damage_index_files(directory: &Path) -> usize {
    let mut damaged = 0;
    for (path, mut bytes) in files(directory) {
        if path.extension().is_some_and(|ending| ending == "idx") {
            bytes[4096..8192].fill(0xee);
            fs::write(directory.join(path), bytes).unwrap();
            damaged += 1;
        }
    }
    damaged
}

async fn written(directory: &Path) -> EventStore {
    let store = EventStore::open(config(directory)).await.unwrap();
    let topic = TopicConfig::file("t", "${STORE}").option("segment_bytes", "4096");
    store.create_topic(topic).await.unwrap();
    store
}

#[tokio::test]
async fn a_topic_opens_although_the_index_files_before_its_tail_are_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let store = written(directory.path()).await;
    // The tail has streams that it has in common with the segments before, which are asked for
    // their states.
    fill(&store, 90).await;
    let events = store.get_events("t", annals::Read::all()).await.unwrap();
    store.close().await.unwrap();
    let undamaged = files(directory.path());
    for write in [false, true] {
        assert!(damage_index_files(directory.path()) > 2);
        let config = config(directory.path());
        let config = if write { config } else { config.read_only() };
        let store = EventStore::open(config).await.unwrap();
        let found = store.get_events("t", annals::Read::all()).await.unwrap();
        assert!(found == events);
        assert_eq!(store.get_stream("t", "s1").await.unwrap().version.get(), 23);
        store.close().await.unwrap();
    }
    // Made anew they are what they were.
    let index_files = |(path, _): &(&std::path::PathBuf, &Vec<u8>)| {
        path.extension().is_some_and(|ending| ending == "idx")
    };
    let mended = files(directory.path());
    assert!(
        mended
            .iter()
            .filter(index_files)
            .eq(undamaged.iter().filter(index_files))
    );
}

#[tokio::test]
async fn a_follower_goes_on_although_the_index_files_behind_it_are_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let store = written(directory.path()).await;
    fill(&store, 5).await;
    let before = files(directory.path());
    fill(&store, 85).await;
    let events = store.get_events("t", annals::Read::all()).await.unwrap();
    store.close().await.unwrap();
    let after = files(directory.path());

    // Another process, told by its files: what it had written when it is opened, and what later.
    let other = tempfile::tempdir().unwrap();
    let put = |files: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        for (path, bytes) in files {
            let path = other.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    };
    put(&before);
    let follower = EventStore::open(config(other.path()).read_only())
        .await
        .unwrap();
    let found = follower.get_events("t", annals::Read::all()).await.unwrap();
    assert!(found == events[..5]);
    put(&after);
    assert!(damage_index_files(other.path()) > 2);
    for _ in 0..2 {
        let found = follower.get_events("t", annals::Read::all()).await.unwrap();
        assert!(found == events);
    }
    follower.close().await.unwrap();
}

#[tokio::test]
async fn a_reader_does_without_the_mark_where_nobody_writes() {
    let directory = tempfile::tempdir().unwrap();
    let store = written(directory.path()).await;
    fill(&store, 30).await;
    let events = store.get_events("t", annals::Read::all()).await.unwrap();
    store.close().await.unwrap();
    for path in files(directory.path()).into_keys() {
        if path.ends_with("mark") {
            fs::remove_file(directory.path().join(path)).unwrap();
        }
    }
    let reader = EventStore::open(config(directory.path()).read_only())
        .await
        .unwrap();
    let found = reader.get_events("t", annals::Read::all()).await.unwrap();
    assert!(found == events);
    reader.close().await.unwrap();
}
