//! A client of a store that writes down what it asks and what it is answered. The only file here
//! that knows a store.

use std::{
    fs::File,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use annals::{
    Append, AppendReceipt, Error, EventFilter, EventStore, ExpectedVersion, NewEvent, Position,
    Read, Subscribe, Subscription, Timestamp, TopicConfig, Version,
};
use futures_util::StreamExt;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::timeout;

use super::lines;
use super::record::{
    AppendAnswer, AppendCall, Ask, Call, Change, ChangeAnswer, ChangeCall, Delivery, Entry,
    Expected, Filter, MoveAnswer, NEVER, ReadAnswer, ReadCall, Receipt, Refusal, Seen, Start,
    State, StateCall, SubscriptionCall,
};

/// Nanoseconds of a clock that never goes back, and is the same for all processes of a machine.
/// (`Instant` is of that clock, but does not tell it to others.)
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client<S = EventStore> {
    pub(crate) process: u32,
    pub(crate) client: u32,
    pub(crate) topic: String,
    pub(crate) store: S,
    pub(crate) entries: Vec<Entry>,
    /// Where entries are written too, before and after each call, by a process that may be killed.
    pub(crate) sink: Option<Sink>,
}

/// The file of a process.
pub(crate) type Sink = Arc<Mutex<File>>;

impl<S: Served> Client<S> {
    pub(crate) fn new(store: &S, topic: &str, process: u32, client: u32) -> Self {
        Self {
            process,
            client,
            topic: topic.to_owned(),
            store: store.clone(),
            entries: Vec::new(),
            sink: None,
        }
    }

    fn entry(&self, begin: u64, end: u64, call: Call) -> Entry {
        Entry {
            process: self.process,
            client: self.client,
            op: self.entries.len() as u64,
            topic: self.topic.clone(),
            begin,
            end,
            call,
        }
    }

    fn note(&mut self, begin: u64, call: Call) {
        let entry = self.entry(begin, now(), call);
        self.write(&entry);
        self.entries.push(entry);
    }

    /// Writes down that a call begins whose outcome may never be heard of.
    fn begin(&self, begin: u64, call: Call) {
        if self.sink.is_some() {
            self.write(&self.entry(begin, NEVER, call));
        }
    }

    fn write(&self, entry: &Entry) {
        if let Some(sink) = &self.sink {
            let mut line = Vec::new();
            lines::write(&mut line, entry).unwrap();
            // One call of the system, so that a kill cuts off the last line at most.
            sink.lock().unwrap().write_all(&line).unwrap();
        }
    }

    pub(crate) async fn append(&mut self, mut call: AppendCall) -> AppendAnswer {
        let begin = now();
        self.begin(begin, Call::Append(call.clone()));
        call.answer = self.store.append(&self.topic, &call).await;
        let answer = call.answer.clone();
        self.note(begin, Call::Append(call));
        answer
    }

    /// Appends, and drops the call where it takes longer than `patience`.
    pub(crate) async fn append_for(&mut self, patience: Duration, mut call: AppendCall) {
        let begin = now();
        self.begin(begin, Call::Append(call.clone()));
        let appending = self.store.append(&self.topic, &call);
        call.answer = match timeout(patience, appending).await {
            Ok(answer) => answer,
            Err(_) => AppendAnswer::Unknown,
        };
        self.note(begin, Call::Append(call));
    }

    pub(crate) async fn change(&mut self, stream: &str, change: Change) {
        let begin = now();
        let unknown = ChangeCall {
            stream: stream.to_owned(),
            change,
            answer: ChangeAnswer::Unknown,
        };
        self.begin(begin, Call::Change(unknown));
        let answer = self.store.change(&self.topic, stream, change).await;
        let stream = stream.to_owned();
        let call = ChangeCall {
            stream,
            change,
            answer,
        };
        self.note(begin, Call::Change(call));
    }

    /// Reads, and returns up to where it has looked.
    pub(crate) async fn read(&mut self, ask: Ask) -> u64 {
        let begin = now();
        let call = self.store.read(&self.topic, ask).await;
        let looked_to = call.looked_to.unwrap_or_default();
        self.note(begin, Call::Read(call));
        looked_to
    }

    pub(crate) async fn head(&mut self) {
        let begin = now();
        let head = self.store.head(&self.topic).await;
        self.note(begin, Call::Head(head));
    }

    /// Asks for the state of a stream, and returns its version.
    pub(crate) async fn state(&mut self, stream: &str) -> u64 {
        let begin = now();
        let answer = self.store.state(&self.topic, stream).await;
        let stream = stream.to_owned();
        self.note(begin, Call::State(StateCall { stream, answer }));
        answer.unwrap_or_default().version
    }
}

impl Client {
    /// Moves the topic.
    pub(crate) async fn move_to(&mut self, config: TopicConfig) {
        let begin = now();
        self.begin(begin, Call::Move(MoveAnswer::Unknown));
        let answer = match self.store.update_topic(config).await {
            Ok(_) => MoveAnswer::Moved,
            // Another one may be at it, or finish what this one has begun.
            Err(_) => MoveAnswer::Unknown,
        };
        self.note(begin, Call::Move(answer));
    }

    /// Subscribes, and takes what is delivered until `enough` says of a position that it is, or the
    /// subscription ends.
    pub(crate) async fn follow(
        &mut self,
        start: Start,
        filter: Filter,
        enough: impl Fn(u64) -> bool,
        to_the_end: bool,
    ) {
        let begin = now();
        let from = match start {
            Start::After(position) => Subscribe::after(Position::new(position)),
            Start::Now => Subscribe::from_now(),
        };
        let from = from.filter(event_filter(&filter));
        let live = self.store.subscribe(&self.topic, from).await;
        let mut call = SubscriptionCall {
            start,
            stream: None,
            filter,
            started: now(),
            delivered: Vec::new(),
            position: 0,
            to_the_end,
            failed: None,
        };
        match live {
            Ok(live) => take(live, &mut call, enough).await,
            Err(error) => {
                call.failed = Some(error.to_string());
                if let Start::After(position) = start {
                    call.position = position;
                }
            }
        }
        self.note(begin, Call::Subscription(call));
    }
}

/// What a client calls: a store, or a server that has one.
pub(crate) trait Served: Clone {
    async fn append(&self, topic: &str, call: &AppendCall) -> AppendAnswer;
    async fn change(&self, topic: &str, stream: &str, change: Change) -> ChangeAnswer;
    async fn read(&self, topic: &str, ask: Ask) -> ReadCall;
    /// `None` where that failed.
    async fn head(&self, topic: &str) -> Option<u64>;
    /// `None` where that failed.
    async fn state(&self, topic: &str, stream: &str) -> Option<State>;
}

impl Served for EventStore {
    async fn append(&self, topic: &str, call: &AppendCall) -> AppendAnswer {
        append_answer(self.append_events(topic, append(call)).await)
    }

    async fn change(&self, topic: &str, stream: &str, change: Change) -> ChangeAnswer {
        let answer = match change {
            Change::Delete => self.delete_stream(topic, stream).await,
            Change::Restore => self.restore_stream(topic, stream).await,
        };
        match answer {
            Ok(state) => ChangeAnswer::Done {
                version: state.version.get(),
            },
            Err(Error::StreamNotFound { .. }) => ChangeAnswer::NotFound,
            Err(Error::OutcomeUnknown { .. }) => ChangeAnswer::Unknown,
            Err(error) => ChangeAnswer::Refused(error.to_string()),
        }
    }

    async fn read(&self, topic: &str, ask: Ask) -> ReadCall {
        let mut events = self.read_events(topic, read(&ask));
        let mut seen = Vec::new();
        let mut answer = ReadAnswer::Ended;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => seen.push(Seen::of(&event)),
                Err(Error::StreamDeleted { .. }) => answer = ReadAnswer::StreamDeleted,
                Err(error) => answer = ReadAnswer::Broken(error.to_string()),
            }
        }
        ReadCall {
            ask,
            seen,
            looked_to: Some(events.looked_to().get()),
            answer,
        }
    }

    async fn head(&self, topic: &str) -> Option<u64> {
        let head = self.get_latest_version(topic).await;
        head.ok().map(Position::get)
    }

    async fn state(&self, topic: &str, stream: &str) -> Option<State> {
        let state = self.get_stream(topic, stream).await.ok()?;
        Some(State {
            version: state.version.get(),
            deleted: state.deleted,
        })
    }
}

async fn take(mut live: Subscription, call: &mut SubscriptionCall, enough: impl Fn(u64) -> bool) {
    // A filter may leave nothing to wait for, so the position is looked at now and then.
    let pause = Duration::from_millis(5);
    while !enough(live.position().get()) {
        match timeout(pause, live.next()).await {
            Ok(Some(Ok(event))) => call.delivered.push(Delivery {
                at: now(),
                seen: Seen::of(&event),
            }),
            Ok(Some(Err(error))) => {
                call.failed = Some(error.to_string());
                break;
            }
            Ok(None) => break,
            Err(_) => {}
        }
    }
    call.position = live.position().get();
}

fn append(call: &AppendCall) -> Append {
    let keyed = call.key.is_some();
    let events = call.events.iter().map(|event| {
        let payload = event.payload.clone();
        let new = NewEvent::binary(&event.event_type, &event.content_type, payload);
        let new = if keyed { new } else { new.id(event.id) };
        new.stream(&event.stream)
            .tags(event.tags.clone())
            .metadata_bytes(event.metadata.clone())
    });
    let expected = match call.expected {
        Expected::Any => ExpectedVersion::Any,
        Expected::NoStream => ExpectedVersion::NoStream,
        Expected::StreamExists => ExpectedVersion::StreamExists,
        Expected::Exact(version) => ExpectedVersion::exact(version),
    };
    let mut append = Append::new(events).stream(&call.stream).expected(expected);
    if let Some(unless) = &call.unless {
        append = append.unless(event_filter(&unless.filter), Position::new(unless.after));
    }
    if let Some(key) = &call.key {
        append = append.idempotency_key(key);
    }
    append
}

fn append_answer(answer: Result<AppendReceipt, Error>) -> AppendAnswer {
    let refusal = match answer {
        Ok(receipt) => {
            let told = Receipt {
                first: receipt.first.get(),
                last: receipt.last.get(),
                version: receipt.version.get(),
            };
            return if receipt.duplicate {
                AppendAnswer::Duplicate(told)
            } else {
                AppendAnswer::Recorded(told)
            };
        }
        Err(Error::OutcomeUnknown { .. }) => return AppendAnswer::Unknown,
        Err(Error::WrongExpectedVersion {
            stream,
            expected,
            actual,
        }) => Refusal::WrongVersion {
            stream: stream.as_str().to_owned(),
            expected: match expected {
                ExpectedVersion::Any => Expected::Any,
                ExpectedVersion::NoStream => Expected::NoStream,
                ExpectedVersion::StreamExists => Expected::StreamExists,
                ExpectedVersion::Exact(version) => Expected::Exact(version.get()),
            },
            actual: actual.get(),
        },
        Err(Error::ConditionFailed { position }) => Refusal::ConditionFailed {
            position: position.get(),
        },
        Err(Error::StreamDeleted { stream }) => Refusal::StreamDeleted {
            stream: stream.as_str().to_owned(),
        },
        Err(Error::IdempotencyConflict { position, .. }) => Refusal::IdConflict {
            position: position.get(),
        },
        Err(Error::TopicSealed { .. }) => Refusal::Sealed,
        Err(error) => Refusal::Other(error.to_string()),
    };
    AppendAnswer::Refused(refusal)
}

fn read(ask: &Ask) -> Read {
    let mut read = match &ask.stream {
        Some(stream) => Read::stream(stream)
            .after_version(Version::new(ask.after_version))
            .up_to_version(Version::new(ask.up_to_version)),
        None => Read::all(),
    };
    read = read
        .after(Position::new(ask.after))
        .up_to(Position::new(ask.up_to))
        .filter(event_filter(&ask.filter));
    if ask.backward {
        read = read.backward();
    }
    if let Some(limit) = ask.limit {
        read = read.limit(limit);
    }
    if ask.include_deleted {
        read = read.include_deleted();
    }
    read
}

/// The filter as stores know it.
pub(crate) fn event_filter(filter: &Filter) -> EventFilter {
    let items = filter.0.iter().map(|item| {
        let mut one = EventFilter::all()
            .types(item.types.iter().cloned())
            .streams(item.streams.iter().cloned())
            .tags(item.tags.iter().cloned());
        if let Some(prefix) = &item.stream_prefix {
            one = one.stream_prefix(prefix);
        }
        if let Some(since) = item.since {
            one = one.recorded_since(Timestamp::from_micros(since));
        }
        if let Some(until) = item.until {
            one = one.recorded_until(Timestamp::from_micros(until));
        }
        one
    });
    items.reduce(EventFilter::or).unwrap_or_default()
}
