//! What the writer is told by way of the summary is what the parts themselves tell.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    super::{
        log::Log,
        seal_segment,
        segment::Files,
        shared::{Shared, open_to_write},
    },
    Asked, DUE,
};
use crate::{
    models::{
        AppendReceipt, ContentType, Error, EventType, ExpectedVersion, Placement, Position, Result,
        STREAM_DELETED, STREAM_RESTORED, StorageId, StoreId, StreamId, StreamState, Tags,
        Timestamp, TopicName, Version,
    },
    repository::{AppendBatch, BatchEvent, LogView},
};

/// A topic of many small segments, and what was recorded in it.
struct Scene {
    directory: TempDir,
    shared: Arc<Shared>,
    log: Arc<Log>,
    recorded: Vec<(AppendBatch, AppendReceipt)>,
    streams: HashMap<StreamId, StreamState>,
}

fn placement() -> Placement {
    Placement {
        topic: TopicName::new("t").unwrap(),
        adapter: "file".to_owned(),
        connection: "here".to_owned(),
        options: [("segment_bytes", "4096"), ("sync", "never")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        storage: StorageId::new(Uuid::from_u128(7)),
        store: StoreId::new(Uuid::from_u128(8)),
    }
}

/// Ids of versions 4 and 7, in no order.
fn id(number: u64) -> Uuid {
    let mixed = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let version = if number.is_multiple_of(3) { 4 } else { 7 };
    Uuid::from_u128(mixed & !(0xf << 76) | version << 76)
}

fn stream(number: u8) -> StreamId {
    StreamId::new(format!("stream-{number}")).unwrap()
}

fn batch(number: u64, events: u64, stream: &StreamId, event_type: &str) -> AppendBatch {
    let event = |nth| BatchEvent {
        id: id(number * 16 + nth),
        stream: stream.clone(),
        event_type: EventType::new(event_type).unwrap(),
        payload: Bytes::from(vec![b'x'; 400]),
        content_type: ContentType::JSON,
        metadata: Bytes::new(),
        tags: Tags::new(&["one", "two"]).unwrap(),
    };
    AppendBatch {
        stream: stream.clone(),
        expected: ExpectedVersion::Any,
        condition: None,
        events: (0..events).map(event).collect(),
        beyond: None,
    }
}

async fn open(directory: &TempDir) -> (Arc<Shared>, Arc<Log>) {
    let path = directory.path().to_owned();
    let shared = open_to_write(path, "file:here".to_owned()).await.unwrap();
    shared.make(&placement(), Timestamp::default()).unwrap();
    let log = shared.log(&placement()).await.unwrap();
    (shared, log)
}

impl Scene {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let (shared, log) = open(&directory).await;
        Self {
            directory,
            shared,
            log,
            recorded: Vec::new(),
            streams: HashMap::new(),
        }
    }

    async fn append(&self, batch: &AppendBatch) -> Result<AppendReceipt> {
        let batch = Arc::new(batch.clone());
        self.log.append(batch, Timestamp::default()).await
    }

    /// Appends to a stream, and checks the version that comes of it.
    async fn add(&mut self, events: u64, to: u8, deletes: bool) {
        let stream = stream(to);
        let state = self.streams.entry(stream.clone()).or_default();
        let (event_type, events) = match (deletes && state.exists(), state.deleted) {
            (_, true) => (STREAM_RESTORED, 1),
            (true, false) => (STREAM_DELETED, 1),
            (false, false) => ("Given", events),
        };
        let deleted = event_type == STREAM_DELETED;
        let version = Version::new(state.version.get() + events);
        let before = std::mem::replace(state, StreamState::new(version, deleted));
        let mut batch = batch(self.recorded.len() as u64, events, &stream, event_type);
        batch.expected = ExpectedVersion::Exact(before.version);
        let receipt = self.append(&batch).await.unwrap();
        assert!(!receipt.duplicate);
        assert_eq!(receipt.version, version);
        self.recorded.push((batch, receipt));
    }

    /// Sends an append again: it is recognised, whatever it expects.
    async fn again(&self, nth: usize) {
        let Some((batch, first)) = self.recorded.get(nth) else {
            return;
        };
        let again = self.append(batch).await.unwrap();
        assert!(again.duplicate);
        assert_eq!((again.first, again.last), (first.first, first.last));
    }

    /// Has the summary extended, as the thread of the pool does.
    fn summarise(&self) {
        let summary = Arc::clone(&self.log.writer().unwrap().core.lock().search.summary);
        // A thread that is at it meanwhile does the same.
        if summary.begin() {
            summary.extend(&self.log.parts(), &self.log.files);
        }
    }

    /// How many parts are covered.
    fn covered(&self) -> usize {
        let now = self.log.writer().unwrap().core.lock().search.summary.now();
        let parts = self.log.parts();
        let covered = parts
            .iter()
            .filter(|part| now.as_ref().is_some_and(|now| now.covers(part)));
        covered.count()
    }

    /// Indexes a segment anew, as if its index file had been damaged.
    fn reindex(&self, nth: usize) {
        let parts = self.log.parts();
        if let Some(part) = parts.get(nth).filter(|part| part.is_stored()) {
            seal_segment::reindex(&self.log, &part.segment).unwrap();
        }
    }

    async fn reopen(&mut self) {
        self.log.finish().await.unwrap();
        self.shared.abandon();
        self.shared.finish_after_last().await.unwrap();
        (self.shared, self.log) = open(&self.directory).await;
    }

    /// Compares what the writer is told with what the parts tell, and with what was recorded.
    fn check(&self) {
        let writer = self.log.writer().unwrap();
        let mut core = writer.core.lock();
        let published = self.log.published().unwrap();
        core.search.look(writer, &self.log, &published, 0);
        let asked = Asked {
            log: &self.log,
            parts: &published.parts,
            search: &core.search,
            head: published.head,
            sealed: false,
            unwritten: (core.end, &[]),
        };
        let found = |id| {
            let exact = self.log.ask(&published, |parts| parts.position_of(id));
            let answer = asked.position_of(id).unwrap();
            assert_eq!(answer, exact.unwrap());
            answer
        };
        for (batch, receipt) in &self.recorded {
            for (event, nth) in batch.events.iter().zip(0..) {
                assert_eq!(found(event.id), Some(receipt.first.forward(nth)));
            }
        }
        for number in 0..100 {
            assert_eq!(found(id(1 << 40 | number)), None);
        }
        for number in 0..32 {
            let stream = stream(number);
            let expected = self.streams.get(&stream).copied().unwrap_or_default();
            assert_eq!(asked.stream(&stream).unwrap(), expected);
        }
    }
}

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future);
}

/// What is done to a topic.
#[derive(Clone, Debug)]
enum Step {
    Add { events: u64, stream: u8 },
    Delete { stream: u8 },
    Again { nth: usize },
    Summarise,
    Reindex { nth: usize },
    Reopen,
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1..8_u64, 0..12_u8).prop_map(|(events, stream)| Step::Add { events, stream }),
        1 => (0..12_u8).prop_map(|stream| Step::Delete { stream }),
        4 => (0..60_usize).prop_map(|nth| Step::Again { nth }),
        3 => Just(Step::Summarise),
        1 => (0..20_usize).prop_map(|nth| Step::Reindex { nth }),
        1 => Just(Step::Reopen),
        2 => Just(Step::Check),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_writer_finds_what_the_parts_have_whatever_was_done(steps in prop::collection::vec(step(), 1..90)) {
        run(async {
            let mut scene = Scene::new().await;
            for step in steps {
                match step {
                    Step::Add { events, stream } => scene.add(events, stream, false).await,
                    Step::Delete { stream } => scene.add(1, stream, true).await,
                    Step::Again { nth } => scene.again(nth).await,
                    Step::Summarise => scene.summarise(),
                    Step::Reindex { nth } => scene.reindex(nth),
                    Step::Reopen => scene.reopen().await,
                    Step::Check => scene.check(),
                }
            }
            scene.summarise();
            scene.check();
        });
    }
}

/// A topic that was opened and takes appends gets its summary by itself, and recognises all that it
/// has while that is made and afterwards.
#[test]
fn a_summary_is_made_beside_appends_and_forgets_nothing() {
    run(async {
        let mut scene = Scene::new().await;
        for number in 0..200_u64 {
            scene.add(1, (number % 20) as u8, false).await;
        }
        scene.reopen().await;
        assert_eq!(
            scene.covered(),
            0,
            "to open it, nothing is read for a summary"
        );
        let begun = Instant::now();
        let mut nth = 0;
        while scene.covered() < 20 {
            assert!(begun.elapsed() < Duration::from_secs(60), "no summary");
            scene.again(nth % 200).await;
            nth += 1;
        }
        assert!(nth >= DUE, "only where it is worth it");
        for nth in 0..200 {
            scene.again(nth).await;
        }
        scene.check();
    });
}

#[test]
fn what_is_new_is_mostly_known_to_be_from_the_summary() {
    run(async {
        let mut scene = Scene::new().await;
        for number in 0..200_u64 {
            scene.add(4, (number % 20) as u8, false).await;
        }
        scene.reopen().await;
        scene.summarise();
        assert!(scene.covered() > 50);
        let now = scene.log.writer().unwrap().core.lock().search.summary.now();
        let now = now.unwrap();
        let new = |number: u64| now.rules_out_id(&super::Probe::new(id(1 << 40 | number)));
        let known = (0..10_000).filter(|number| new(*number)).count();
        assert!(known > 9_900, "{known} of 10,000");
    });
}

/// Where there is no room for all, what is not covered is asked one by one, and the room is given
/// back with the summary.
#[test]
fn a_summary_keeps_within_the_room_that_there_is() {
    run(async {
        let mut scene = Scene::new().await;
        for number in 0..200_u64 {
            scene.add(8, (number % 20) as u8, false).await;
        }
        scene.reopen().await;
        let mut taken = Vec::new();
        for bytes in [63 << 20, 64] {
            while let Some(room) = scene.log.files.room_for_filter(bytes) {
                taken.push(room);
            }
        }
        scene.summarise();
        assert_eq!(scene.covered(), 0);
        scene.check();
        // Less than two thirds of what all of it needs.
        taken.truncate(taken.len() - 30);
        scene.summarise();
        let (covered, parts) = (scene.covered(), scene.log.parts().len());
        assert!(
            covered > 0 && covered < parts * 3 / 4,
            "{covered} of {parts}"
        );
        scene.check();
        taken.clear();
        scene.summarise();
        assert!(
            scene.covered() + 1 >= parts,
            "{} of {parts}",
            scene.covered()
        );
        scene.check();
        let files: Arc<Files> = Arc::clone(&scene.log.files);
        let Scene { log, shared, .. } = scene;
        log.finish().await.unwrap();
        drop((log, shared));
        // A worker may be at the summary still, and lets go of it when it is done.
        let begun = std::time::Instant::now();
        while files.room_for_filter(64 << 20).is_none() {
            assert!(begun.elapsed().as_secs() < 60, "all is given back");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
}

/// A file that was found damaged is left out, until it was made anew.
#[test]
fn a_file_that_cannot_be_read_is_not_covered() {
    run(async {
        let mut scene = Scene::new().await;
        for number in 0..100_u64 {
            scene.add(4, (number % 20) as u8, false).await;
        }
        scene.reopen().await;
        let parts = scene.log.parts();
        let path = parts[3].segment.path.with_extension("idx");
        let mut bytes = std::fs::read(&path).unwrap();
        // The first block: it has offsets and ids.
        bytes[4096 + 300] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        scene.summarise();
        assert_eq!(scene.covered() + 2, parts.len());
        let lost = scene
            .recorded
            .iter()
            .find(|(_, receipt)| receipt.first > parts[3].before());
        let (batch, receipt) = lost.unwrap().clone();
        assert!(receipt.first <= parts[3].last());
        let answer = scene.append(&batch).await;
        assert!(
            matches!(answer, Err(Error::RepositoryUnavailable { .. })),
            "{answer:?}"
        );
        let again = scene.append(&batch).await.unwrap();
        assert_eq!((again.first, again.duplicate), (receipt.first, true));
        assert!(again.first > Position::START);
        scene.summarise();
        assert_eq!(scene.covered() + 1, parts.len());
        scene.check();
    });
}
