//! A small store as it is on the disk, what it answers, and whether it still answers that after one
//! of its files was changed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use annals::{
    Append, ConfigurationStream, Error, EventFilter, EventStore, EventStoreConfig, NewEvent,
    Position, Read, RecordedEvent, Result, StreamState, TopicConfig,
};

/// How the store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It was closed.
    Closed,
    /// Its process ended without closing it.
    Crashed,
    /// It was closed when there were so many events that the last segment got an index file, and
    /// opened again for some more.
    Indexed,
}

/// A store, all in memory.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) left: Left,
    /// Every file by its path in the directory.
    pub(crate) files: BTreeMap<PathBuf, Vec<u8>>,
    events: Vec<RecordedEvent>,
    appends: Vec<(Append, Position)>,
    streams: Vec<(String, StreamState)>,
}

/// What came of reading a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All answers were those from before.
    Unchanged,
    /// The damage was named, and what else was answered was right.
    Named,
}

const TOPIC: &str = "t";
const STREAMS: u64 = 4;

impl Subject {
    pub(crate) async fn make(left: Left) -> Self {
        let directory = tempfile::tempdir_in(fast()).unwrap();
        let store = open(directory.path(), true).await.unwrap();
        let segment_bytes = if left == Left::Indexed {
            "1048576"
        } else {
            "4096"
        };
        let config = TopicConfig::file(TOPIC, "${STORE}").option("segment_bytes", segment_bytes);
        store.create_topic(config).await.unwrap();
        let mut appends = Vec::new();
        match left {
            Left::Closed => fill(&store, 0..24, &mut appends).await,
            Left::Crashed => fill(&store, 0..16, &mut appends).await,
            Left::Indexed => {
                let many = (0..4100).map(|_| NewEvent::json_text("Many", "1"));
                append(&store, Append::new(many).stream("s0"), &mut appends).await;
                store.close().await.unwrap();
            }
        }
        let store = match left {
            Left::Indexed => {
                drop(store);
                let store = open(directory.path(), true).await.unwrap();
                fill(&store, 0..6, &mut appends).await;
                store
            }
            _ => store,
        };
        let events = store.get_events(TOPIC, all()).await.unwrap();
        let mut streams = Vec::new();
        for number in 0..STREAMS + 1 {
            let stream = format!("s{number}");
            let state = store.get_stream(TOPIC, &stream).await.unwrap();
            streams.push((stream, state));
        }
        if left != Left::Crashed {
            store.close().await.unwrap();
        }
        let files = files(directory.path());
        drop(store);
        Self {
            left,
            files,
            events,
            appends,
            streams,
        }
    }

    /// Writes all files, and removes what else there is.
    pub(crate) fn restore(&self, directory: &Path) {
        let found = files(directory);
        for path in found.keys().filter(|path| !self.files.contains_key(*path)) {
            fs::remove_file(directory.join(path)).unwrap();
        }
        for (path, bytes) in &self.files {
            if found.get(path) != Some(bytes) {
                let path = directory.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
    }

    /// Opens the store, asks it everything, and closes it. The error says what was wrong; damage
    /// may only be named in `blamed`.
    pub(crate) async fn check(
        &self,
        directory: &Path,
        write: bool,
        blamed: &Path,
        thorough: bool,
    ) -> std::result::Result<Found, String> {
        let mut judge = Judge {
            blamed: blamed.display().to_string(),
            spare: blamed.extension().is_some_and(|ending| ending == "idx"),
            found: Found::Unchanged,
        };
        let store = match open(directory, write).await {
            Ok(store) => store,
            Err(error) => return judge.error("open", &error).map(|()| judge.found),
        };
        let asked = self.ask(&store, write, &mut judge, thorough).await;
        let closed = store
            .close()
            .await
            .map_err(|error| format!("close: {error}"));
        asked.and(closed).map(|()| judge.found)
    }

    async fn ask(
        &self,
        store: &EventStore,
        write: bool,
        judge: &mut Judge,
        thorough: bool,
    ) -> std::result::Result<(), String> {
        let found = store.get_events(TOPIC, all()).await;
        judge.see("all events", found, &self.events)?;
        let found = store.get_latest_version(TOPIC).await;
        judge.see("head", found, &Position::new(self.events.len() as u64))?;
        // Where damage was named already, in a hurry one more question stands for all.
        let few = judge.found == Found::Named && !thorough;
        let skipped = if few { self.streams.len() - 1 } else { 0 };
        for (stream, state) in self.streams.iter().skip(skipped) {
            let found = store.get_stream(TOPIC, stream).await;
            judge.see(stream, found, state)?;
            let found = store.get_events(TOPIC, Read::stream(stream)).await;
            let same = |event: &RecordedEvent| event.stream == stream.as_str();
            judge.see(stream, found, &self.those(same))?;
        }
        for filter in [
            EventFilter::all().tags(["n:1"]),
            EventFilter::all().types(["Written"]),
        ] {
            if few {
                break;
            }
            let read = Read::all().filter(filter.clone());
            let found = store.get_events(TOPIC, read).await;
            judge.see(
                "a filter",
                found,
                &self.those(|event| filter.matches(event)),
            )?;
        }
        if write {
            // Every id is looked up, and the bytes behind it are compared.
            let skipped = if few { self.appends.len() - 2 } else { 0 };
            for (append, first) in self.appends.iter().skip(skipped) {
                let mut found = store.append_events(TOPIC, append.clone()).await;
                if is_to_be_repeated(&found) {
                    found = store.append_events(TOPIC, append.clone()).await;
                }
                let found = found.map(|receipt| (receipt.duplicate, receipt.first));
                judge.see("an append again", found, &(true, *first))?;
            }
        }
        let found = store
            .verify_topic(TOPIC)
            .await
            .map(|verified| verified.events);
        judge.see("verify", found, &(self.events.len() as u64))
    }

    fn those(&self, mut matches: impl FnMut(&RecordedEvent) -> bool) -> Vec<RecordedEvent> {
        let found = self.events.iter().filter(|event| matches(event));
        found.cloned().collect()
    }
}

/// Tells what may be answered from what may not.
struct Judge {
    blamed: String,
    /// Whether what is damaged can be made anew, so that only who verifies it may name it.
    spare: bool,
    found: Found,
}

impl Judge {
    fn see<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        found: Result<T>,
        expected: &T,
    ) -> std::result::Result<(), String> {
        match found {
            Ok(found) if found == *expected => Ok(()),
            Ok(found) => {
                let mut found = format!("{found:?}");
                found.truncate(found.floor_char_boundary(300));
                Err(format!("{what}: another answer: {found}"))
            }
            Err(error) => self.error(what, &error),
        }
    }

    fn error(&mut self, what: &str, error: &Error) -> std::result::Result<(), String> {
        match error {
            Error::Corruption { place, .. }
                if (!self.spare || what == "verify")
                    && place.contains(&self.blamed)
                    && place.contains("offset") =>
            {
                self.found = Found::Named;
                Ok(())
            }
            error => Err(format!("{what}: not an error that names it: {error:?}")),
        }
    }
}

fn is_to_be_repeated<T>(found: &Result<T>) -> bool {
    matches!(found, Err(Error::RepositoryUnavailable { reason, .. }) if reason.contains("made anew"))
}

async fn fill(
    store: &EventStore,
    numbers: std::ops::Range<u64>,
    appends: &mut Vec<(Append, Position)>,
) {
    for number in numbers {
        let event = |nth: u64| {
            NewEvent::binary("Written", "text/plain", vec![number as u8; 120])
                .tag(format!("n:{}", (number + nth) % 3))
        };
        let mut events = vec![event(0), event(1)];
        events[1] = events[1].clone().stream("s4");
        let mut new = Append::new(events).stream(format!("s{}", number % STREAMS));
        if number % 5 == 0 {
            new = new.idempotency_key(format!("key {number}"));
        }
        append(store, new, appends).await;
    }
}

async fn append(store: &EventStore, append: Append, appends: &mut Vec<(Append, Position)>) {
    let receipt = store.append_events(TOPIC, append.clone()).await.unwrap();
    appends.push((append, receipt.first));
}

fn all() -> Read {
    Read::all().after(Position::START)
}

async fn open(directory: &Path, write: bool) -> Result<EventStore> {
    let path = directory.display().to_string();
    let config = EventStoreConfig::new(ConfigurationStream::file(path.clone()))
        .resolver(move |name| (name == "STORE").then(|| path.clone()));
    EventStore::open(if write { config } else { config.read_only() }).await
}

/// Every file below a directory but for the lock, which has no bytes.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut open = vec![directory.to_owned()];
    let mut found = BTreeMap::new();
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if !path.ends_with("lock") {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(directory).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

/// Where files take no time: in memory, if there is such a place.
pub(crate) fn fast() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}
