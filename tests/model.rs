//! Random sequences of commands against a model so simple that it is right: a list of events.

use std::sync::Arc;

#[cfg(feature = "postgres")]
mod servers;

use annals::{
    ContentType, Error, EventFilter, EventType, ExpectedVersion, Placement, Position,
    RecordedEvent, Result, STREAM_DELETED, STREAM_RESTORED, StreamId, StreamState, Tags, Version,
    repository::{
        AppendBatch, BatchEvent, Condition, EventRepository, ReadPlan, file::FileFactory,
        memory::MemoryFactory,
    },
    testing::{
        FactoryFixture, Fixture, Processes, Site, TestClock, check_log, expected_events,
        first_match,
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use uuid::Uuid;

const STREAMS: [&str; 3] = ["", "a", "ab"];
const TYPES: [&str; 2] = ["X", "Y"];
const TAGS: [&str; 2] = ["t", "u"];

#[derive(Clone, Debug)]
enum Command {
    Append(Plan),
    /// Appends again what was tried so many appends ago, whatever came of it.
    Again(usize, Expect),
    /// The same, with another payload for its last event.
    Alter(usize),
    /// The same, with one more event before or after.
    Extend(usize, bool),
    Delete(usize, Expect),
    Restore(usize, Expect),
    Seal(bool),
    Read(ReadShape),
    Reopen,
    OtherHandle,
    Tick(i64),
}

#[derive(Clone, Debug)]
struct Plan {
    stream: usize,
    expected: Expect,
    condition: Option<(Shape, i64)>,
    /// The stream, the type and the tags of each.
    events: Vec<(Option<usize>, usize, Vec<usize>, u16)>,
}

/// An expectation relative to what the stream is at.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Any,
    NoStream,
    Exists,
    Off(i64),
}

#[derive(Clone, Debug)]
enum Shape {
    All,
    Type(usize),
    Stream(usize),
    Prefix(usize),
    Tag(usize),
    TypeAndTag(usize, usize),
    Either(usize, usize),
}

#[derive(Clone, Debug)]
struct ReadShape {
    stream: Option<usize>,
    filter: Shape,
    after: i64,
    up_to: Option<i64>,
    after_version: u64,
    backward: bool,
    limit: Option<u64>,
    include_deleted: bool,
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        4 => Just(Expect::Any),
        1 => Just(Expect::NoStream),
        1 => Just(Expect::Exists),
        4 => (-1..=1_i64).prop_map(Expect::Off),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::All),
        (0..2_usize).prop_map(Shape::Type),
        (0..3_usize).prop_map(Shape::Stream),
        (0..3_usize).prop_map(Shape::Prefix),
        (0..2_usize).prop_map(Shape::Tag),
        (0..2_usize, 0..2_usize).prop_map(|(a, b)| Shape::TypeAndTag(a, b)),
        (0..2_usize, 0..3_usize).prop_map(|(a, b)| Shape::Either(a, b)),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let event = (
        proptest::option::weighted(0.3, 0..3_usize),
        0..2_usize,
        vec(0..2_usize, 0..3),
        0..600_u16,
    );
    let plan = (
        0..3_usize,
        expect(),
        proptest::option::weighted(0.3, (shape(), -3..2_i64)),
        vec(event, 1..5),
    );
    let plan = plan.prop_map(|(stream, expected, condition, events)| Plan {
        stream,
        expected,
        condition,
        events,
    });
    let read = (
        (
            proptest::option::of(0..3_usize),
            shape(),
            -6..2_i64,
            proptest::option::of(-6..2_i64),
        ),
        (
            0..4_u64,
            any::<bool>(),
            proptest::option::of(1..5_u64),
            any::<bool>(),
        ),
    );
    let read = read.prop_map(|((stream, filter, after, up_to), rest)| ReadShape {
        stream,
        filter,
        after,
        up_to,
        after_version: rest.0,
        backward: rest.1,
        limit: rest.2,
        include_deleted: rest.3,
    });
    prop_oneof![
        12 => plan.prop_map(Command::Append),
        3 => (0..6_usize, expect()).prop_map(|(back, e)| Command::Again(back, e)),
        1 => (0..6_usize).prop_map(Command::Alter),
        1 => (0..6_usize, any::<bool>()).prop_map(|(back, front)| Command::Extend(back, front)),
        1 => (0..3_usize, expect()).prop_map(|(stream, e)| Command::Delete(stream, e)),
        2 => (0..3_usize, expect()).prop_map(|(stream, e)| Command::Restore(stream, e)),
        1 => any::<bool>().prop_map(Command::Seal),
        8 => read.prop_map(Command::Read),
        1 => Just(Command::Reopen),
        1 => Just(Command::OtherHandle),
        2 => (-50..100_i64).prop_map(Command::Tick),
    ]
}

/// What the topic has to be.
#[derive(Debug, Default)]
struct Model {
    log: Vec<RecordedEvent>,
    sealed: bool,
}

/// What an append has to answer: where its first event is and whether it was known, or the kind
/// of error.
type Answer = std::result::Result<(u64, u64, u64, bool), &'static str>;

impl Model {
    fn stream(&self, stream: &StreamId) -> StreamState {
        let mut state = StreamState::default();
        for event in self.log.iter().filter(|event| event.stream == *stream) {
            let deletes = event.event_type == *STREAM_DELETED;
            let restores = event.event_type == *STREAM_RESTORED;
            state = StreamState::new(event.version, deletes || state.deleted && !restores);
        }
        state
    }

    fn append(&self, batch: &AppendBatch) -> Answer {
        if self.sealed {
            return Err("TopicSealed");
        }
        let find = |id| self.log.iter().position(|event| event.id == id);
        let known: Vec<_> = batch.events.iter().map(|event| find(event.id)).collect();
        if known.iter().any(Option::is_some) {
            let first = known[0].ok_or("IdempotencyConflict")?;
            for ((place, event), expected) in known.iter().zip(&batch.events).zip(first..) {
                if *place != Some(expected) || !event.is_recorded_as(&self.log[expected]) {
                    return Err("IdempotencyConflict");
                }
            }
            let last = first + known.len() - 1;
            let own = self.log[first..=last].iter().rev();
            let own = own.clone().find(|event| event.stream == batch.stream);
            let version = own.map_or(self.stream(&batch.stream).version, |event| event.version);
            return Ok((first as u64 + 1, last as u64 + 1, version.get(), true));
        }
        for event in &batch.events {
            if self.stream(&event.stream).deleted && event.event_type != *STREAM_RESTORED {
                return Err("StreamDeleted");
            }
        }
        let state = self.stream(&batch.stream);
        let admitted = match batch.expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => state.version == Version::NONE,
            ExpectedVersion::StreamExists => state.version != Version::NONE,
            ExpectedVersion::Exact(version) => version == state.version,
        };
        if !admitted {
            return Err("WrongExpectedVersion");
        }
        if let Some(condition) = &batch.condition
            && first_match(&self.log, &condition.filter, condition.after).is_some()
        {
            return Err("ConditionFailed");
        }
        let head = self.log.len() as u64;
        let own = batch
            .events
            .iter()
            .filter(|event| event.stream == batch.stream)
            .count();
        let version = state.version.get() + own as u64;
        Ok((head + 1, head + batch.events.len() as u64, version, false))
    }
}

/// The repository under test, and the model beside it.
struct Bench {
    site: Arc<dyn Site>,
    clock: Arc<TestClock>,
    repository: Arc<dyn EventRepository>,
    placement: Placement,
    model: Model,
    tried: Vec<AppendBatch>,
    next_id: u128,
}

fn stream_id(index: usize) -> StreamId {
    StreamId::new(STREAMS[index]).unwrap()
}

fn filter(shape: &Shape) -> EventFilter {
    let all = EventFilter::all();
    match *shape {
        Shape::All => all,
        Shape::Type(one) => all.types([TYPES[one]]),
        Shape::Stream(one) => all.streams([STREAMS[one]]),
        Shape::Prefix(one) => all.stream_prefix(STREAMS[one]),
        Shape::Tag(one) => all.tags([TAGS[one]]),
        Shape::TypeAndTag(one, other) => all.types([TYPES[one]]).tags([TAGS[other]]),
        Shape::Either(one, other) => all
            .tags([TAGS[one]])
            .or(EventFilter::all().streams([STREAMS[other]])),
    }
}

impl Bench {
    async fn begin(fixture: &dyn Fixture) -> Self {
        let site = fixture.fresh().await;
        let clock = Arc::new(TestClock::default());
        let repository = site.open(Arc::<TestClock>::clone(&clock)).await.unwrap();
        let placement = site.placement("topic");
        repository.prepare(&placement).await.unwrap();
        Self {
            site,
            clock,
            repository,
            placement,
            model: Model::default(),
            tried: Vec::new(),
            next_id: 1,
        }
    }

    fn position(&self, offset: i64) -> Position {
        Position::new((self.model.log.len() as u64).saturating_add_signed(offset))
    }

    fn expected(&self, expect: Expect, stream: usize) -> ExpectedVersion {
        match expect {
            Expect::Any => ExpectedVersion::Any,
            Expect::NoStream => ExpectedVersion::NoStream,
            Expect::Exists => ExpectedVersion::StreamExists,
            Expect::Off(by) => {
                let version = self.model.stream(&stream_id(stream)).version.get();
                ExpectedVersion::exact(version.saturating_add_signed(by))
            }
        }
    }

    fn event(&mut self, stream: usize, event_type: &str, tags: &[usize], size: u16) -> BatchEvent {
        let id = Uuid::from_u128(self.next_id);
        self.next_id += 1;
        let tags: Vec<&str> = tags.iter().map(|&tag| TAGS[tag]).collect();
        BatchEvent {
            id,
            stream: stream_id(stream),
            event_type: EventType::new(event_type).unwrap(),
            payload: Bytes::from(vec![id.as_bytes()[15]; usize::from(size)]),
            content_type: ContentType::JSON,
            metadata: Bytes::new(),
            tags: Tags::new(&tags).unwrap(),
        }
    }

    fn single(&mut self, stream: usize, event_type: &str, expect: Expect) -> AppendBatch {
        AppendBatch {
            stream: stream_id(stream),
            expected: self.expected(expect, stream),
            condition: None,
            events: vec![self.event(stream, event_type, &[], 0)],
            beyond: None,
        }
    }

    fn planned(&mut self, plan: &Plan) -> AppendBatch {
        let events = plan.events.iter().map(|(stream, event_type, tags, size)| {
            self.event(
                stream.unwrap_or(plan.stream),
                TYPES[*event_type],
                tags,
                *size,
            )
        });
        let events = events.collect();
        AppendBatch {
            stream: stream_id(plan.stream),
            expected: self.expected(plan.expected, plan.stream),
            condition: plan.condition.as_ref().map(|(shape, after)| Condition {
                filter: filter(shape),
                after: self.position(*after),
            }),
            events,
            beyond: None,
        }
    }

    fn earlier(&self, back: usize) -> Option<AppendBatch> {
        self.tried.iter().rev().nth(back).cloned()
    }

    /// The append that a command means, if it is one.
    fn batch(&mut self, command: &Command) -> Option<AppendBatch> {
        match command {
            Command::Append(plan) => Some(self.planned(plan)),
            Command::Delete(stream, expect) => Some(self.single(*stream, STREAM_DELETED, *expect)),
            Command::Restore(stream, expect) => {
                Some(self.single(*stream, STREAM_RESTORED, *expect))
            }
            Command::Again(back, expect) => {
                let mut batch = self.earlier(*back)?;
                batch.expected = self.expected(*expect, 0);
                Some(batch)
            }
            Command::Alter(back) => {
                let mut batch = self.earlier(*back)?;
                batch.events.last_mut()?.payload = Bytes::from_static(b"altered");
                Some(batch)
            }
            Command::Extend(back, front) => {
                let mut batch = self.earlier(*back)?;
                let at = if *front { 0 } else { batch.events.len() };
                let event = self.event(1, "X", &[], 9);
                batch.events.insert(at, event);
                Some(batch)
            }
            _ => None,
        }
    }

    async fn open(&self) -> Arc<dyn EventRepository> {
        let clock = Arc::<TestClock>::clone(&self.clock);
        let repository = self.site.open(clock).await.unwrap();
        repository.prepare(&self.placement).await.unwrap();
        repository
    }

    async fn obey(&mut self, command: &Command) {
        if let Some(batch) = self.batch(command) {
            return self.append(batch).await;
        }
        match command {
            Command::Read(shape) => self.read(shape).await,
            Command::Seal(true) => {
                let head = self
                    .repository
                    .seal(&self.placement, Position::START)
                    .await
                    .unwrap();
                assert_eq!(head.get(), self.model.log.len() as u64);
                self.model.sealed = true;
            }
            Command::Seal(false) => {
                self.repository
                    .unseal(&self.placement, Position::START)
                    .await
                    .unwrap();
                self.model.sealed = false;
            }
            Command::Reopen => {
                self.repository.close().await.unwrap();
                self.repository = self.open().await;
            }
            Command::OtherHandle => self.repository = self.open().await,
            Command::Tick(by) => {
                self.clock.advance(*by);
            }
            _ => {}
        }
    }

    async fn append(&mut self, batch: AppendBatch) {
        let expected = self.model.append(&batch);
        let shared = Arc::new(batch.clone());
        let outcome = self.repository.append(&self.placement, shared).await;
        let answer = match &outcome {
            Ok(one) => Ok((
                one.first.get(),
                one.last.get(),
                one.version.get(),
                one.duplicate,
            )),
            Err(error) => Err(kind(error)),
        };
        assert_eq!(answer, expected, "{batch:?}: {outcome:?}");
        if matches!(answer, Ok((_, _, _, false))) {
            let before = Position::new(self.model.log.len() as u64);
            let written = self.all(ReadPlan::all_after(before)).await.unwrap();
            assert_eq!(written.len(), batch.events.len());
            for (event, recorded) in batch.events.iter().zip(&written) {
                assert!(
                    event.is_recorded_as(recorded),
                    "{event:?}, and {recorded:?}"
                );
            }
            self.model.log.extend(written);
        }
        self.tried.push(batch);
    }

    async fn all(&self, plan: ReadPlan) -> Result<Vec<RecordedEvent>> {
        let mut pages = self.repository.read(&self.placement, plan);
        let mut events = Vec::new();
        while let Some(page) = pages.next().await {
            events.extend(page?.events);
        }
        Ok(events)
    }

    async fn read(&self, shape: &ReadShape) {
        let mut plan = ReadPlan::all_after(self.position(shape.after));
        plan.stream = shape.stream.map(stream_id);
        plan.filter = filter(&shape.filter);
        if let Some(up_to) = shape.up_to {
            plan.up_to = self.position(up_to);
        }
        if shape.stream.is_some() {
            plan.after_version = Version::new(shape.after_version);
        }
        if shape.backward {
            plan.direction = annals::Direction::Backward;
            plan.after = Position::START;
        }
        plan.limit = shape.limit;
        plan.include_deleted = shape.include_deleted;
        let deleted = plan
            .stream
            .as_ref()
            .is_some_and(|one| self.model.stream(one).deleted);
        let found = self.all(plan.clone()).await;
        if deleted && !plan.include_deleted {
            assert!(
                matches!(found, Err(Error::StreamDeleted { .. })),
                "{plan:?}: {found:?}"
            );
        } else {
            assert_eq!(
                found.unwrap(),
                expected_events(&self.model.log, &plan),
                "{plan:?}"
            );
        }
    }

    /// Compares everything at the end, as it is and once more after a reopening.
    async fn finish(mut self) {
        for _ in 0..2 {
            let log = self
                .all(ReadPlan::all_after(Position::START))
                .await
                .unwrap();
            check_log(&log);
            assert_eq!(log, self.model.log);
            for index in 0..STREAMS.len() {
                let stream = stream_id(index);
                let state = self
                    .repository
                    .state(&self.placement, Some(&stream))
                    .await
                    .unwrap();
                assert_eq!(state.head.get(), log.len() as u64);
                assert_eq!(state.sealed, self.model.sealed);
                assert_eq!(state.stream, Some(self.model.stream(&stream)));
            }
            let verified = self.repository.verify(&self.placement).await.unwrap();
            assert_eq!(verified.events, log.len() as u64);
            self.repository.close().await.unwrap();
            self.repository = self.open().await;
        }
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::TopicSealed { .. } => "TopicSealed",
        Error::IdempotencyConflict { .. } => "IdempotencyConflict",
        Error::StreamDeleted { .. } => "StreamDeleted",
        Error::WrongExpectedVersion { .. } => "WrongExpectedVersion",
        Error::ConditionFailed { .. } => "ConditionFailed",
        _ => "another error",
    }
}

/// Puts an adapter through random sequences. How many can be set by `ANNALS_MODEL_CASES`.
fn check(fixture: &FactoryFixture, sequences: u32) {
    let set = std::env::var("ANNALS_MODEL_CASES").ok();
    let sequences = set.and_then(|text| text.parse().ok()).unwrap_or(sequences);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: sequences,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let outcome = runner.run(&vec(command(), 1..80), |commands| {
        runtime.block_on(async {
            let mut bench = Bench::begin(fixture).await;
            for command in &commands {
                bench.obey(command).await;
            }
            bench.finish().await;
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{}: {error}", fixture.name());
    }
}

#[test]
fn memory_is_as_the_model() {
    check(
        &FactoryFixture::in_memory("memory", || Arc::new(MemoryFactory::default())),
        300,
    );
}

#[test]
fn files_with_small_segments_are_as_the_model() {
    let fixture =
        FactoryFixture::in_directory("file", Processes::OneWriter, "", || Arc::new(FileFactory));
    check(
        &fixture
            .option("segment_bytes", "4096")
            .option("sync", "never"),
        120,
    );
}

#[test]
fn files_with_large_segments_are_as_the_model() {
    let fixture =
        FactoryFixture::in_directory("file", Processes::OneWriter, "", || Arc::new(FileFactory));
    check(&fixture, 40);
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_is_as_the_model() {
    let fixture = FactoryFixture::on_server(
        "postgres",
        Processes::ManyWriters,
        "",
        || servers::postgres().fresh(),
        || Arc::new(annals::repository::postgres::PostgresFactory),
    );
    check(&fixture, 40);
}
