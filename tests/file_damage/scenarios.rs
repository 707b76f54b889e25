//! The cases that have a name: torn tails, lost marks, missing files, damaged index files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use annals::{
    Append, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent, Position, Read,
    RecordedEvent, Result, TopicConfig,
};
use futures_util::TryStreamExt;

const APPENDS: u64 = 60;

struct Files {
    directory: tempfile::TempDir,
    /// Where the topic is.
    storage: PathBuf,
    events: Vec<RecordedEvent>,
}

impl Files {
    /// A closed store with a topic of several segments.
    async fn closed() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await.unwrap();
        let config = TopicConfig::file("t", text(directory.path())).option("segment_bytes", "4096");
        let info = store.create_topic(config).await.unwrap();
        for number in 0..APPENDS {
            let event = NewEvent::binary("Written", "text/plain", vec![number as u8; 150])
                .tag(format!("n:{}", number % 3));
            store
                .append_events(
                    "t",
                    Append::new([event.clone(), another(&event)])
                        .stream(format!("s{}", number % 4)),
                )
                .await
                .unwrap();
        }
        let events = read(&store).await.unwrap();
        store.close().await.unwrap();
        let storage = directory
            .path()
            .join("topics")
            .join(info.placement.storage.to_string());
        Self {
            directory,
            storage,
            events,
        }
    }

    /// The files with this ending, in order.
    fn of(&self, ending: &str) -> Vec<PathBuf> {
        let mut found: Vec<_> = fs::read_dir(&self.storage)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        found.retain(|path| path.extension().is_some_and(|found| found == ending));
        found.sort();
        found
    }

    fn last_segment(&self) -> PathBuf {
        self.of("log").pop().unwrap()
    }

    /// Makes the mark as a crash may leave it: not there.
    fn forget_mark(&self) {
        fs::remove_file(self.storage.join("mark")).unwrap();
    }

    async fn read(&self) -> Result<Vec<RecordedEvent>> {
        let store = open(self.directory.path()).await.unwrap();
        let events = read(&store).await;
        store.close().await.unwrap();
        events
    }

    /// Opens, and reads in every way; the answers are those from before the damage.
    async fn check_unharmed(&self) {
        let store = open(self.directory.path()).await.unwrap();
        assert!(read(&store).await.unwrap() == self.events);
        for stream in 0..4 {
            let found = store
                .get_events("t", Read::stream(format!("s{stream}")))
                .await
                .unwrap();
            let expected: Vec<_> = self
                .events
                .iter()
                .filter(|event| event.stream == format!("s{stream}").as_str())
                .cloned()
                .collect();
            assert!(found == expected);
        }
        let filter = annals::EventFilter::all().tags(["n:1"]);
        let found = store
            .get_events("t", Read::all().filter(filter.clone()))
            .await
            .unwrap();
        assert_eq!(
            found,
            self.events
                .iter()
                .filter(|event| filter.matches(event))
                .cloned()
                .collect::<Vec<_>>()
        );
        // Every id is still known.
        let first = &self.events[0];
        let again = NewEvent::binary("Written", "text/plain", first.payload.clone()).id(first.id);
        let conflict = store.append_events("t", again).await;
        assert!(
            matches!(conflict, Err(Error::IdempotencyConflict { .. })),
            "{conflict:?}"
        );
        store.verify_topic("t").await.unwrap();
        store.close().await.unwrap();
    }
}

fn another(event: &NewEvent) -> NewEvent {
    let id = uuid::Uuid::from_u128(event.event_id().as_u128() ^ 1);
    event.clone().id(id)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

async fn open(directory: &Path) -> Result<EventStore> {
    EventStore::open(EventStoreConfig::new(ConfigurationStream::file(text(
        directory,
    ))))
    .await
}

async fn read(store: &EventStore) -> Result<Vec<RecordedEvent>> {
    store
        .read_events("t", Read::all().after(Position::START))
        .try_collect()
        .await
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn named(error: &Error, path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    matches!(error, Error::Corruption { place, .. } if place.contains(name) && place.contains("offset"))
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_and_noted() {
    for torn in [
        &b"ANL\xf5 and then not what a frame is"[..],
        b"A",
        &[0; 300],
    ] {
        let files = Files::closed().await;
        let last = files.last_segment();
        let whole = fs::metadata(&last).unwrap().len();
        change(&last, |bytes| bytes.extend_from_slice(torn));
        let store = open(files.directory.path()).await.unwrap();
        assert!(read(&store).await.unwrap() == files.events);
        assert_eq!(fs::metadata(&last).unwrap().len(), whole);
        let health = store.health().await;
        let note = format!("{} bytes", torn.len());
        assert!(
            health.repositories[0]
                .notes
                .iter()
                .any(|one| one.contains(&note)),
            "{health:?}"
        );
        let receipt = store
            .append_events("t", NewEvent::json("Next", &1).unwrap())
            .await
            .unwrap();
        assert_eq!(receipt.first.get(), files.events.len() as u64 + 1);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn half_an_append_is_cut_off_whole() {
    let files = Files::closed().await;
    files.forget_mark();
    let index = files.of("idx");
    let last = files.last_segment();
    assert!(
        !index
            .iter()
            .any(|path| path.file_stem() == last.file_stem()),
        "a small tail has no index file"
    );
    // The last append has two events; its second one is lost, as a crash before the sync may do.
    change(&last, |bytes| bytes.truncate(bytes.len() - 10));
    let found = files.read().await.unwrap();
    assert!(found == files.events[..files.events.len() - 2]);
}

#[tokio::test]
async fn a_log_shorter_than_its_mark_is_damage_wherever_it_is_cut() {
    let files = Files::closed().await;
    let last = files.last_segment();
    let whole = fs::read(&last).unwrap();
    for length in (0..whole.len()).step_by(7) {
        fs::write(&last, &whole[..length]).unwrap();
        let error = files.read().await.unwrap_err();
        assert!(named(&error, &last), "cut at {length}: {error}");
    }
    fs::write(&last, &whole).unwrap();
    files.check_unharmed().await;
}

#[tokio::test]
async fn a_changed_byte_in_any_segment_is_named_or_harmless() {
    let files = Files::closed().await;
    for segment in files.of("log") {
        let whole = fs::read(&segment).unwrap();
        for at in (0..whole.len()).step_by(13) {
            change(&segment, |bytes| bytes[at] ^= 1 << (at % 8));
            match files.read().await {
                Ok(events) => {
                    assert!(events == files.events, "byte {at} of {}", segment.display())
                }
                Err(error) => assert!(named(&error, &segment), "byte {at}: {error}"),
            }
            fs::write(&segment, &whole).unwrap();
        }
    }
    files.check_unharmed().await;
}

#[tokio::test]
async fn damage_before_an_acknowledged_frame_is_found_without_the_mark() {
    let files = Files::closed().await;
    let last = files.last_segment();
    files.forget_mark();
    let whole = fs::read(&last).unwrap();
    // In the first frame of the segment, with later groups behind it.
    change(&last, |bytes| bytes[64 + 32 + 20] ^= 0xff);
    let error = files.read().await.unwrap_err();
    assert!(named(&error, &last), "{error}");
    fs::write(&last, whole).unwrap();
    files.check_unharmed().await;
}

#[tokio::test]
async fn a_missing_segment_is_named() {
    let files = Files::closed().await;
    for segment in files.of("log") {
        let whole = fs::read(&segment).unwrap();
        fs::remove_file(&segment).unwrap();
        let error = files.read().await.unwrap_err();
        assert!(
            matches!(error, Error::Corruption { .. }),
            "{}: {error}",
            segment.display()
        );
        fs::write(&segment, whole).unwrap();
    }
    files.check_unharmed().await;
}

#[tokio::test]
async fn an_index_file_that_is_missing_or_damaged_is_made_anew() {
    let files = Files::closed().await;
    for index in files.of("idx") {
        fs::remove_file(&index).unwrap();
        files.check_unharmed().await;
        let whole = fs::read(&index).unwrap();
        for at in (0..whole.len()).step_by(97) {
            change(&index, |bytes| bytes[at] ^= 0x10);
            files.check_unharmed().await;
            fs::write(&index, &whole).unwrap();
        }
        for length in [0, 100, 256, 4096, 5000, whole.len() - 1] {
            fs::write(&index, &whole[..length]).unwrap();
            files.check_unharmed().await;
        }
    }
}

#[tokio::test]
async fn a_damaged_descriptor_is_named_by_who_needs_it() {
    let files = Files::closed().await;
    let descriptor = files.storage.join("topic.json");
    change(&descriptor, |bytes| bytes[40] = 0);
    let store = open(files.directory.path()).await.unwrap();
    assert!(read(&store).await.unwrap() == files.events);
    let error = store.sweep().await.unwrap_err();
    assert!(named(&error, &descriptor), "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_mark_that_is_missing_or_damaged_changes_no_answer() {
    let files = Files::closed().await;
    let mark = files.storage.join("mark");
    files.forget_mark();
    files.check_unharmed().await;
    let whole = fs::read(&mark).unwrap();
    for at in 0..whole.len() {
        change(&mark, |bytes| bytes[at] ^= 0xff);
        assert!(files.read().await.unwrap() == files.events, "byte {at}");
    }
    for length in [0, 10, 64, 512, 600] {
        fs::write(&mark, &whole[..length]).unwrap();
        assert!(
            files.read().await.unwrap() == files.events,
            "cut at {length}"
        );
    }
}

#[tokio::test]
async fn what_a_crash_leaves_of_a_new_segment_is_removed() {
    let files = Files::closed().await;
    let next = files
        .storage
        .join(format!("{:020}.log", files.events.len() + 1));
    for left in [&b""[..], b"ANNALSEG", &[0; 64]] {
        fs::write(&next, left).unwrap();
        assert!(files.read().await.unwrap() == files.events);
        assert!(!next.exists());
    }
}

#[tokio::test]
async fn verify_names_the_first_bad_place() {
    let files = Files::closed().await;
    let segment = &files.of("log")[1];
    let store = open(files.directory.path()).await.unwrap();
    assert_eq!(
        store.verify_topic("t").await.unwrap().events,
        files.events.len() as u64
    );
    change(segment, |bytes| bytes[200] ^= 1);
    let error = store.verify_topic("t").await.unwrap_err();
    assert!(named(&error, segment), "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn opening_reads_the_tail_and_not_the_history() {
    let files = Files::closed().await;
    let segments = files.of("log");
    let full = segments.len() - 1;
    for segment in &segments[..full] {
        // All but the header: only who reads the events would notice.
        change(segment, |bytes| bytes[64..].fill(0xee));
    }
    let store = open(files.directory.path()).await.unwrap();
    assert_eq!(
        store.get_latest_version("t").await.unwrap().get(),
        files.events.len() as u64
    );
    let state = store.get_stream("t", "s0").await.unwrap();
    assert_eq!(state.version.get(), APPENDS / 4 * 2);
    let error = read(&store).await.unwrap_err();
    assert!(named(&error, &segments[0]), "{error}");
    store.close().await.unwrap();
}
