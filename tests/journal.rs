//! Several topics that append at once share a sync: the journal. A power cut may then take from
//! their segments what only the journal has made durable.

#![cfg(all(test, feature = "file"))]

#[path = "journal/loss.rs"]
mod loss;

use std::{fs, path::Path};

use annals::{
    ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Read, TopicConfig,
};
use futures_util::future::join_all;
use loss::{copy, lose_journaled};
use tempfile::TempDir;

const TOPICS: usize = 8;
const ROUNDS: u64 = 40;

async fn open(directory: &Path, read_only: bool) -> Result<EventStore, Error> {
    let directory = directory.to_str().unwrap();
    let config = EventStoreConfig::new(ConfigurationStream::file(directory));
    EventStore::open(if read_only {
        config.read_only()
    } else {
        config
    })
    .await
}

fn topic(nth: usize) -> String {
    format!("topic-{nth}")
}

/// All topics append at once, again and again.
async fn append(store: &EventStore) {
    let clients = (0..TOPICS).map(|nth| async move {
        for round in 0..ROUNDS {
            let event = NewEvent::json("Counted", &round).unwrap();
            let receipt = store.append_events(&topic(nth), event).await.unwrap();
            assert_eq!(receipt.last.get(), round + 1);
        }
    });
    join_all(clients).await;
}

async fn check(store: &EventStore) {
    for nth in 0..TOPICS {
        let events = store.get_events(&topic(nth), Read::all()).await.unwrap();
        let read: Vec<u64> = events.iter().map(|event| event.json().unwrap()).collect();
        assert_eq!(read, (0..ROUNDS).collect::<Vec<_>>(), "{nth}");
    }
}

/// A directory as it is while its store is open, after appends of all topics.
async fn image() -> TempDir {
    let home = TempDir::new().unwrap();
    let directory = home.path();
    let store = open(directory, false).await.unwrap();
    for nth in 0..TOPICS {
        let config = TopicConfig::file(topic(nth), directory.to_str().unwrap());
        store.create_topic(config).await.unwrap();
    }
    append(&store).await;
    interrupt(directory, store).await;
    home
}

/// Leaves a directory as it is now, although its store is closed. Topics name their directory, so
/// the place has to stay the same.
async fn interrupt(directory: &Path, store: EventStore) {
    let image = TempDir::new().unwrap();
    copy(directory, image.path());
    store.close().await.unwrap();
    fs::remove_dir_all(directory).unwrap();
    fs::create_dir(directory).unwrap();
    copy(image.path(), directory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_journal_made_durable_is_there_after_a_power_cut() {
    for zeroed in [false, true] {
        let image = image().await;
        let lost = lose_journaled(image.path(), zeroed);
        assert!(lost > TOPICS, "the journal was hardly used: {lost}");

        // Who only reads mends nothing, and says so.
        let refused = open(image.path(), true).await.unwrap_err();
        assert!(
            matches!(&refused, Error::RepositoryUnavailable { reason, .. } if reason.contains("opened to write")),
            "{refused}"
        );
        for _ in 0..2 {
            let store = open(image.path(), false).await.unwrap();
            check(&store).await;
            store.close().await.unwrap();
        }
        let store = open(image.path(), true).await.unwrap();
        check(&store).await;
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clean_close_the_journal_holds_nothing() {
    let directory = image().await;
    let store = open(directory.path(), false).await.unwrap();
    check(&store).await;
    store.close().await.unwrap();
    let before = lose_journaled(directory.path(), true);
    // The frames are there still, but of an earlier use; taking the segments' bytes is damage.
    assert!(before > TOPICS);
    let store = open(directory.path(), false).await.unwrap();
    let mut damaged = 0;
    for nth in 0..TOPICS {
        let read = store.get_events(&topic(nth), Read::all()).await;
        damaged += usize::from(matches!(read, Err(Error::Corruption { .. })));
    }
    assert!(damaged > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_is_told_and_nothing_is_lost_in_silence() {
    let image = image().await;
    lose_journaled(image.path(), false);
    let path = (0..2)
        .map(|nth| image.path().join(format!("journal-{nth}")))
        .find(|path| path.exists())
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 30] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = open(image.path(), false).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Corruption { place, .. } if place.contains("journal-") && place.ends_with("offset 4096")),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_journal_cannot_be_written_topics_are_synced_one_by_one() {
    let directory = TempDir::new().unwrap();
    for nth in 0..2 {
        fs::create_dir(directory.path().join(format!("journal-{nth}"))).unwrap();
    }
    // Directories in its place are refused at open, where it is read.
    assert!(open(directory.path(), false).await.is_err());
    for nth in 0..2 {
        fs::remove_dir(directory.path().join(format!("journal-{nth}"))).unwrap();
    }
    let store = open(directory.path(), false).await.unwrap();
    for nth in 0..2 {
        fs::create_dir(directory.path().join(format!("journal-{nth}"))).unwrap();
    }
    for nth in 0..TOPICS {
        let config = TopicConfig::file(topic(nth), directory.path().to_str().unwrap());
        store.create_topic(config).await.unwrap();
    }
    append(&store).await;
    interrupt(directory.path(), store).await;
    for nth in 0..2 {
        fs::remove_dir(directory.path().join(format!("journal-{nth}"))).unwrap();
    }
    let store = open(directory.path(), false).await.unwrap();
    check(&store).await;
    store.close().await.unwrap();
}
