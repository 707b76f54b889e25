//! The programs that are cut off, what the store is to hold after each of their steps, and what it
//! does hold.

use std::{fmt, path::Path};

use annals::{
    Append, AppendReceipt, ConfigurationStream, Error, EventStore, EventStoreConfig, NewEvent,
    Read, TopicConfig, TopicInfo,
};
use uuid::Uuid;

/// The topic that all programs are about.
const TOPIC: &str = "t";
/// A topic beside it, whose groups may share a sync with those of the first.
const SECOND: &str = "u";
/// A topic that is in the configuration only.
const OTHER: &str = "in-memory";
/// The name that stands for the directory in what is recorded, so that the directory can be moved.
const PLACE: &str = "PLACE";

/// What users do. Some are several steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    One,
    Batch,
    Group,
    /// Appends to two topics at once. The second one is there from the beginning.
    Both,
    Roll,
    Delete,
    Restore,
    Purge,
    Reopen,
}

impl Operation {
    pub(crate) const ALL: [Self; 8] = [
        Self::Create,
        Self::One,
        Self::Batch,
        Self::Roll,
        Self::Delete,
        Self::Restore,
        Self::Purge,
        Self::Reopen,
    ];

    fn steps(self) -> Vec<Step> {
        match self {
            Self::Create => vec![Step::Create],
            Self::One => vec![Step::Append(Size::One)],
            Self::Batch => vec![Step::Append(Size::Batch)],
            Self::Group => vec![Step::Group],
            Self::Both => vec![Step::Both],
            // A segment is followed by another one once it is longer than 4 KiB.
            Self::Roll => vec![Step::Append(Size::Fill), Step::Append(Size::One)],
            Self::Delete => vec![Step::Delete],
            Self::Restore => vec![Step::Restore],
            Self::Purge => vec![Step::Purge],
            Self::Reopen => vec![Step::Close, Step::Open],
        }
    }
}

/// One call that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Open,
    Create,
    Append(Size),
    /// Several appends at once, each of one event.
    Group,
    /// The same, and one to the second topic.
    Both,
    /// Makes the second topic.
    CreateSecond,
    Delete,
    Restore,
    Purge,
    /// Makes a topic in memory: all that is to stay of it is that it is there.
    Other,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// One small event.
    One,
    /// Several events of several streams, more than two sectors together.
    Batch,
    /// An event that makes a segment full.
    Fill,
    /// The events of appends that are made at once.
    Group,
}

/// The steps of some operations on a new directory, and which of them is the first of the last
/// operation. Where the topic is not created first, it is there already, with an event.
pub(crate) fn steps(operations: &[Operation]) -> (Vec<Step>, usize) {
    let mut steps = vec![Step::Open];
    if operations
        .first()
        .is_some_and(|first| *first != Operation::Create)
    {
        steps.extend([Step::Create, Step::Append(Size::One)]);
    }
    if operations.contains(&Operation::Both) {
        steps.push(Step::CreateSecond);
    }
    let mut last = 0;
    for operation in operations {
        last = steps.len();
        steps.extend(operation.steps());
    }
    steps.push(Step::Close);
    (steps, last)
}

/// An event, as far as it is not made up by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) position: u64,
    pub(crate) stream: String,
    version: u64,
    id: Uuid,
    payload: Vec<u8>,
}

/// What the store holds: the events of the topic, if there is one, and those of the topics that had
/// the name and were deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) active: Option<Vec<Seen>>,
    pub(crate) deleted: Vec<Vec<Seen>>,
    pub(crate) second: Option<Vec<Seen>>,
    pub(crate) other: bool,
}

/// What the store shows of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) active: Option<Vec<Seen>>,
    pub(crate) deleted: usize,
    second: Option<Vec<Seen>>,
    pub(crate) other: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.active {
            None => f.write_str("no topic")?,
            Some(all) => {
                f.write_str("a topic with")?;
                for seen in all {
                    write!(f, " {}:{}", seen.position, seen.stream)?;
                }
            }
        }
        if let Some(second) = &self.second {
            write!(f, ", {} in the second", second.len())?;
        }
        let other = if self.other { " and the other" } else { "" };
        write!(f, "{other}, {} deleted", self.deleted)
    }
}

/// The stream, id and payload of an event.
type Written = (String, Uuid, Vec<u8>);

/// The events that a step appends: streams, ids and payloads follow from its number.
pub(crate) fn events(number: usize, size: Size) -> Vec<Written> {
    let lengths: &[(&str, usize)] = match size {
        Size::One => &[("a", 90)],
        Size::Batch => &[("a", 300), ("b", 10), ("a", 400), ("c", 350)],
        Size::Group => &[("a", 700), ("b", 600), ("a", 500)],
        Size::Fill => &[("a", 4300)],
    };
    lengths
        .iter()
        .enumerate()
        .map(|(index, (stream, length))| {
            let id = Uuid::from_u128(((number as u128) << 64) | (index as u128 + 1));
            let payload = (0..*length)
                .map(|at| (at * 7 + number * 31 + index * 101) as u8 | 1)
                .collect();
            ((*stream).to_owned(), id, payload)
        })
        .collect()
}

impl Seen {
    pub(crate) const fn id(&self) -> Uuid {
        self.id
    }
}

impl Held {
    /// What the store is to show.
    pub(crate) fn shown(&self) -> Shown {
        Shown {
            active: self.active.clone(),
            deleted: self.deleted.len(),
            second: self.second.clone(),
            other: self.other,
        }
    }

    /// What is held after a step, or nothing if the step is to be refused. What may be found while
    /// it is on its way comes before; the last one is what is found once it is answered.
    pub(crate) fn after(&self, number: usize, step: Step) -> Option<Vec<Self>> {
        let mut next = self.clone();
        match step {
            Step::Open | Step::Close => {}
            Step::Other if !self.other => next.other = true,
            Step::Create if self.active.is_none() => next.active = Some(Vec::new()),
            Step::CreateSecond if self.second.is_none() => next.second = Some(Vec::new()),
            Step::Append(size) => append(next.active.as_mut()?, events(number, size)),
            Step::Group => {
                let mut all = Vec::new();
                for event in events(number, Size::Group) {
                    append(next.active.as_mut()?, vec![event]);
                    all.push(next.clone());
                }
                return Some(all);
            }
            Step::Both => {
                self.active.as_ref().and(self.second.as_ref())?;
                // The topics are independent; within one, the order is that of the appends.
                let mut all = Vec::new();
                for of_second in 0..=1 {
                    for of_first in 0..=2 {
                        let mut next = self.clone();
                        let made = both(number);
                        append(next.active.as_mut()?, made[..of_first].to_vec());
                        append(next.second.as_mut()?, made[2..2 + of_second].to_vec());
                        all.push(next);
                    }
                }
                return Some(all);
            }
            Step::Delete => next.deleted.push(next.active.take()?),
            Step::Restore if self.active.is_none() => next.active = Some(next.deleted.pop()?),
            Step::Purge if !self.deleted.is_empty() => {
                let mut all = Vec::new();
                while next.deleted.pop().is_some() {
                    all.push(next.clone());
                }
                return Some(all);
            }
            Step::Create | Step::CreateSecond | Step::Restore | Step::Purge | Step::Other => {
                return None;
            }
        }
        Some(vec![next])
    }
}

/// Two events of the first topic, and one of the second.
fn both(number: usize) -> Vec<Written> {
    events(number, Size::Group)
}

fn append(all: &mut Vec<Seen>, events: Vec<Written>) {
    for (stream, id, payload) in events {
        let version = 1 + all.iter().filter(|seen| seen.stream == stream).count() as u64;
        all.push(Seen {
            position: all.len() as u64 + 1,
            stream,
            version,
            id,
            payload,
        });
    }
}

/// Opens the store in a directory, wherever that is now.
pub(crate) async fn open(directory: &Path) -> Result<EventStore, Error> {
    let place = directory.display().to_string();
    let stream = ConfigurationStream::file(&place);
    let config =
        EventStoreConfig::new(stream).resolver(move |name| (name == PLACE).then(|| place.clone()));
    EventStore::open(config).await
}

fn request(events: Vec<Written>) -> Append {
    Append::new(events.into_iter().map(|(stream, id, payload)| {
        NewEvent::binary("Written", "application/octet-stream", payload)
            .id(id)
            .stream(stream)
    }))
}

/// Takes a step with a store that is open. An append has a receipt.
pub(crate) async fn take(
    store: &EventStore,
    number: usize,
    step: Step,
) -> Result<Option<AppendReceipt>, Error> {
    match step {
        Step::Open => {}
        Step::Create => {
            let topic = TopicConfig::file(TOPIC, format!("${{{PLACE}}}"));
            store
                .create_topic(topic.option("segment_bytes", "4096"))
                .await?;
        }
        Step::Append(size) => {
            let append = request(events(number, size));
            return store.append_events(TOPIC, append).await.map(Some);
        }
        Step::Group => {
            // Once the topic is open, they are queued in the order in which they are begun.
            store.get_latest_version(TOPIC).await?;
            let appends = events(number, Size::Group)
                .into_iter()
                .map(|event| store.append_events(TOPIC, request(vec![event])));
            for receipt in futures_util::future::join_all(appends).await {
                receipt?;
            }
        }
        Step::Both => {
            // Both topics are open, so that they are queued at once.
            for topic in [TOPIC, SECOND] {
                store.get_latest_version(topic).await?;
            }
            let appends = both(number)
                .into_iter()
                .zip([TOPIC, TOPIC, SECOND])
                .map(|(event, topic)| store.append_events(topic, request(vec![event])));
            for receipt in futures_util::future::join_all(appends).await {
                receipt?;
            }
        }
        Step::CreateSecond => {
            let topic = TopicConfig::file(SECOND, format!("${{{PLACE}}}"));
            store.create_topic(topic).await?;
        }
        Step::Delete => store.delete_topic(TOPIC).await?,
        Step::Restore => drop(store.restore_topic(TOPIC).await?),
        Step::Purge => store.purge_topic(TOPIC).await?,
        Step::Other => drop(store.create_topic(TopicConfig::memory(OTHER)).await?),
        Step::Close => store.close().await?,
    }
    Ok(None)
}

/// Whether an error says that a step was refused as it should be where there is nothing to do.
pub(crate) const fn refused(error: &Error) -> bool {
    matches!(
        error,
        Error::TopicAlreadyExists { .. }
            | Error::TopicNotFound { .. }
            | Error::TopicNotDeleted { .. }
    )
}

/// What the store shows.
pub(crate) async fn glance(store: &EventStore) -> Result<Shown, String> {
    let told = |error: Error| error.to_string();
    let mut topics = store.list_topics().await.map_err(told)?;
    let deleted = store.list_deleted_topics().await.map_err(told)?;
    let before = topics.len();
    topics.retain(|one| one.name.as_str() != OTHER);
    let other = before > topics.len();
    let before = topics.len();
    topics.retain(|one| one.name.as_str() != SECOND);
    let second = if before > topics.len() {
        Some(read(store, SECOND, Read::all()).await?)
    } else {
        None
    };
    let strange = |one: &TopicInfo| one.name.as_str() != TOPIC;
    if topics.iter().chain(&deleted).any(strange) || topics.len() > 1 {
        return Err(format!("topics that nobody has created: {topics:?}"));
    }
    let active = match topics.first() {
        Some(_) => Some(read(store, TOPIC, Read::all()).await?),
        None => None,
    };
    Ok(Shown {
        active,
        deleted: deleted.len(),
        second,
        other,
    })
}

/// The same; and all that can be asked of the events agrees.
pub(crate) async fn look(store: &EventStore) -> Result<Shown, String> {
    let shown = glance(store).await?;
    if let Some(events) = &shown.active {
        for stream in ["a", "b", "c"] {
            let of_stream = read(store, TOPIC, Read::stream(stream)).await?;
            if !of_stream
                .iter()
                .eq(events.iter().filter(|seen| seen.stream == stream))
            {
                return Err(format!("stream {stream} is read otherwise by itself"));
            }
        }
        let verified = store.verify_topic(TOPIC).await;
        verified.map_err(|error| format!("it is not whole: {error}"))?;
    }
    Ok(shown)
}

async fn read(store: &EventStore, topic: &str, read: Read) -> Result<Vec<Seen>, String> {
    let events = store.get_events(topic, read).await;
    let events = events.map_err(|error| format!("a read failed: {error}"))?;
    if !events.is_sorted_by_key(|event| event.recorded_at) {
        return Err("times go back".to_owned());
    }
    let seen = events.into_iter().map(|event| Seen {
        position: event.position.get(),
        stream: event.stream.to_string(),
        version: event.version.get(),
        id: event.id,
        payload: event.payload.to_vec(),
    });
    Ok(seen.collect())
}
