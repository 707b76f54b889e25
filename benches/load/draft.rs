//! The events that are appended: 256 bytes of JSON each, with ids, streams and types as services
//! have them.

use uuid::Uuid;

/// The bytes of a payload.
pub(crate) const PAYLOAD: usize = 256;
/// How many types there are; each is one event in a hundred.
const TYPES: u64 = 100;

/// An event to be appended, whoever takes it.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) id: Uuid,
    pub(crate) stream: String,
    /// The version of the stream before this event, if that is expected; a new stream's is 0.
    pub(crate) before: Option<u64>,
    pub(crate) event_type: String,
    /// None, or one that one event in a hundred has.
    pub(crate) tag: Option<String>,
    pub(crate) payload: Vec<u8>,
}

/// How ids are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ids {
    /// In the order of time (version 7).
    #[default]
    Ordered,
    /// Random (version 4).
    Random,
}

impl Ids {
    #[expect(
        clippy::disallowed_methods,
        reason = "the load makes its own ids, as users may"
    )]
    fn next(self) -> Uuid {
        match self {
            Self::Ordered => Uuid::now_v7(),
            Self::Random => Uuid::new_v4(),
        }
    }
}

/// One client's events: it goes around its own streams, so that each append can say the version
/// that it expects.
#[derive(Debug)]
pub(crate) struct Drafts {
    client: usize,
    streams: u64,
    made: u64,
    ids: Ids,
    tags: bool,
    any: bool,
}

impl Drafts {
    /// Events of a client that has `streams` streams.
    pub(crate) const fn new(client: usize, streams: u64, ids: Ids) -> Self {
        Self {
            client,
            streams,
            made: 0,
            ids,
            tags: false,
            any: false,
        }
    }

    /// The same with tags.
    pub(crate) const fn with_tags(mut self) -> Self {
        self.tags = true;
        self
    }

    /// The same without expecting a version.
    pub(crate) const fn at_any_version(mut self) -> Self {
        self.any = true;
        self
    }

    /// The events of one append, all of one stream.
    pub(crate) fn append(&mut self, events: usize) -> Vec<Draft> {
        let stream = self.made / events as u64 % self.streams;
        let round = self.made / events as u64 / self.streams;
        (0..events as u64)
            .map(|nth| {
                let number = self.made;
                self.made += 1;
                Draft {
                    id: self.ids.next(),
                    stream: stream_name(self.client, stream),
                    before: (!self.any).then_some(round * events as u64 + nth),
                    event_type: type_name(number % TYPES),
                    tag: self.tags.then(|| tag_name(number / TYPES % 100)),
                    payload: payload(number),
                }
            })
            .collect()
    }
}

/// The name of a client's stream, 20 bytes long.
pub(crate) fn stream_name(client: usize, stream: u64) -> String {
    format!("order-{client:04}-{stream:09}")
}

/// The name of a type, 18 bytes long.
pub(crate) fn type_name(number: u64) -> String {
    format!("OrderLineChanged{number:02}")
}

/// The name of a tag.
pub(crate) fn tag_name(number: u64) -> String {
    format!("customer:{number:02}")
}

fn payload(number: u64) -> Vec<u8> {
    // Making an event must not be what is measured.
    const NOTE: [u8; PAYLOAD] = [b'n'; PAYLOAD];
    let mut bytes = Vec::with_capacity(PAYLOAD);
    bytes.extend_from_slice(format!(r#"{{"line":{number},"note":""#).as_bytes());
    bytes.extend_from_slice(&NOTE[..PAYLOAD - bytes.len() - 2]);
    bytes.extend_from_slice(b"\"}");
    bytes
}
