//! The memory repository alone: who waits for events is woken, whatever happens at the same time.

use std::sync::Arc;

use annals_under_shuttle::{
    ContentType, Error, EventType, ExpectedVersion, NewEvent, Options, Placement, Position,
    RecordedEvent, Result, StorageId, StoreId, StreamId, SystemClock, Tags, TopicName,
    repository::{
        AppendBatch, BatchEvent, EventRepository, OpenRequest, ReadPlan, RepositoryFactory,
        memory::MemoryFactory,
    },
};
use futures_util::TryStreamExt;

use crate::{run::explore, world::spawn};

#[derive(Clone)]
struct Topic {
    factory: Arc<MemoryFactory>,
    repository: Arc<dyn EventRepository>,
    placement: Placement,
}

impl Topic {
    async fn new() -> Self {
        let placement = Placement {
            topic: TopicName::new("t").unwrap(),
            adapter: "memory".to_owned(),
            connection: String::new(),
            options: Options::new(),
            storage: StorageId::generate(),
            store: StoreId::NONE,
        };
        let factory = Arc::<MemoryFactory>::default();
        let repository = open(&factory).await;
        repository.prepare(&placement).await.unwrap();
        Self {
            factory,
            repository,
            placement,
        }
    }

    /// The same through another handle, which is open also where this one is closed.
    async fn again(&self) -> Self {
        Self {
            repository: open(&self.factory).await,
            ..self.clone()
        }
    }

    async fn append(self, count: usize) -> Result<Position> {
        let event = |_| BatchEvent {
            id: NewEvent::json_text("Given", "{}").event_id(),
            stream: StreamId::default(),
            event_type: EventType::new("Given").unwrap(),
            payload: bytes::Bytes::from_static(b"{}"),
            content_type: ContentType::JSON,
            metadata: bytes::Bytes::new(),
            tags: Tags::default(),
        };
        let batch = AppendBatch {
            stream: StreamId::default(),
            expected: ExpectedVersion::Any,
            condition: None,
            events: (0..count).map(event).collect(),
            beyond: None,
        };
        let appended = self.repository.append(&self.placement, Arc::new(batch));
        Ok(appended.await?.last)
    }

    async fn read(&self, after: Position) -> Result<Vec<RecordedEvent>> {
        let plan = ReadPlan::all_after(after);
        let pages = self.repository.read(&self.placement, plan);
        let pages: Vec<_> = pages.try_collect().await?;
        Ok(pages.into_iter().flat_map(|page| page.events).collect())
    }

    /// Waits and reads in turn, until so much was read or there is an error. Gives what was read, in
    /// pieces as it was read.
    async fn follow(self, up_to: u64) -> (Vec<Vec<u64>>, Option<Error>) {
        let mut reads: Vec<Vec<u64>> = Vec::new();
        let mut after = 0;
        while after != up_to {
            let step = async {
                let beyond = Position::new(after);
                let head = self.repository.wait_beyond(&self.placement, beyond).await?;
                assert!(head > beyond);
                let events = self.read(beyond).await?;
                // It is told of what can be read.
                assert!(events.last().is_some_and(|event| event.position >= head));
                Ok(events)
            };
            match step.await {
                Ok(events) => reads.push(events.iter().map(|one| one.position.get()).collect()),
                Err(error) => return (reads, Some(error)),
            }
            after = reads.iter().flatten().last().copied().unwrap_or(after);
        }
        (reads, None)
    }
}

async fn open(factory: &MemoryFactory) -> Arc<dyn EventRepository> {
    let request = OpenRequest {
        connection: String::new(),
        name: "memory".to_owned(),
        options: Options::new(),
        read_only: false,
        clock: Arc::new(SystemClock),
    };
    factory.open(request).await.unwrap()
}

fn is_run(reads: &[Vec<u64>]) -> bool {
    (1..)
        .zip(reads.iter().flatten())
        .all(|(due, got)| due == *got)
}

#[test]
fn who_waits_is_woken_by_appends() {
    explore(|| async {
        let topic = Topic::new().await;
        let readers = [0, 1].map(|_| spawn(topic.clone().follow(4)));
        let mut ends = Vec::new();
        for writer in [1, 2, 1].map(|count| spawn(topic.clone().append(count))) {
            ends.push(writer.await.unwrap().unwrap().get());
        }
        for reader in readers {
            let (reads, error) = reader.await.unwrap();
            assert!(error.is_none() && is_run(&reads), "{reads:?} {error:?}");
            // No part of an append is seen.
            let mut last = reads.iter().filter_map(|read| read.last());
            assert!(last.all(|last| ends.contains(last)), "{reads:?} {ends:?}");
        }
    });
}

/// What ends everything for those who wait.
#[derive(Clone, Copy)]
enum End {
    Remove,
    Close,
}

async fn ending(end: End) {
    let topic = Topic::new().await;
    let readers = [0, 1].map(|_| spawn(topic.clone().follow(u64::MAX)));
    let writer = spawn(topic.clone().append(2));
    let ending = spawn({
        let topic = topic.clone();
        async move {
            match end {
                End::Remove => topic.repository.remove(topic.placement.storage).await,
                End::Close => topic.repository.close().await,
            }
        }
    });
    ending.await.unwrap().unwrap();
    let read_at_the_end = topic.again().await.read(Position::START).await;
    let expected = |error: &Error| match end {
        End::Remove => matches!(error, Error::TopicNotFound { .. }),
        End::Close => matches!(error, Error::Closed),
    };
    let written = writer.await.unwrap();
    match end {
        End::Remove => assert!(read_at_the_end.is_err()),
        // Nothing is added once it is closed.
        End::Close => assert_eq!(read_at_the_end.unwrap().is_empty(), written.is_err()),
    }
    assert!(written.as_ref().err().is_none_or(expected), "{written:?}");
    for reader in readers {
        let (reads, error) = reader.await.unwrap();
        assert!(is_run(&reads), "{reads:?}");
        assert!(written.is_ok() || reads.is_empty(), "{written:?} {reads:?}");
        assert!(error.as_ref().is_some_and(expected), "{error:?}");
    }
}

#[test]
fn who_waits_learns_that_the_topic_is_removed() {
    explore(|| ending(End::Remove));
}

#[test]
fn who_waits_learns_that_the_repository_is_closed() {
    explore(|| ending(End::Close));
}

/// Nobody waits at first, so nobody has to be told: who comes later must not miss it.
#[test]
fn who_comes_while_it_is_appended_misses_nothing() {
    explore(|| async {
        let topic = Topic::new().await;
        let writer = spawn(topic.clone().append(1));
        let waiting = topic
            .repository
            .wait_beyond(&topic.placement, Position::START);
        assert_eq!(waiting.await.unwrap().get(), 1);
        let read = topic.read(Position::START).await.unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(writer.await.unwrap().unwrap().get(), 1);
    });
}
