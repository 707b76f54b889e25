//! A client that speaks HTTP and server-sent events by itself, so that it can be as slow as it likes.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::world::within;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// `message` where it has no name.
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: String,
    pub(crate) comment: bool,
}

impl Message {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// A stream of messages.
pub(crate) struct Events {
    socket: TcpStream,
    /// What came and is not decoded.
    raw: Vec<u8>,
    /// What is decoded and not parsed.
    text: Vec<u8>,
    /// Up to where there is no end of a message in it.
    searched: usize,
    /// How much is read at once.
    portion: usize,
    pub(crate) status: u16,
    pub(crate) head: String,
    /// Whether the answer ended as it is to end, and not the connection.
    pub(crate) ended_well: bool,
    /// The last id, as a browser keeps it.
    pub(crate) last_id: Option<u64>,
}

/// Asks for a live stream.
pub(crate) async fn open(address: SocketAddr, path: &str, last: Option<u64>) -> Events {
    open_with(address, path, last, None).await
}

/// The same with a receive buffer of so many bytes.
pub(crate) async fn open_with(
    address: SocketAddr,
    path: &str,
    last: Option<u64>,
    buffer: Option<u32>,
) -> Events {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    let mut socket = within(socket.connect(address)).await.unwrap();
    let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
    let request = format!(
        "GET /api/v1/topics/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{last}\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut events = Events {
        socket,
        raw: Vec::new(),
        text: Vec::new(),
        searched: 0,
        portion: buffer.map_or(65_536, |bytes| bytes as usize),
        status: 0,
        head: String::new(),
        ended_well: false,
        last_id: last_id(&last),
    };
    within(events.read_head()).await;
    events
}

fn last_id(header: &str) -> Option<u64> {
    header.split(": ").nth(1)?.trim().parse().ok()
}

impl Events {
    async fn read_head(&mut self) {
        let end = loop {
            if let Some(at) = find(&self.raw, b"\r\n\r\n") {
                break at;
            }
            assert!(self.fill().await, "the head is complete");
        };
        self.head = String::from_utf8(self.raw[..end].to_vec())
            .unwrap()
            .to_lowercase();
        self.raw.drain(..end + 4);
        self.status = self.head[9..12].parse().unwrap();
    }

    /// Reads what there is; false at the end of the connection.
    async fn fill(&mut self) -> bool {
        let mut buffer = vec![0; self.portion];
        match self.socket.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.raw.extend_from_slice(&buffer[..read]);
                true
            }
        }
    }

    /// Decodes one chunk; false where it is not here in full.
    fn decode(&mut self) -> bool {
        // The size of a chunk has a few digits.
        let head = &self.raw[..self.raw.len().min(32)];
        let Some(at) = find(head, b"\r\n") else {
            return false;
        };
        let size = std::str::from_utf8(&self.raw[..at]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if self.raw.len() < at + 2 + size + 2 {
            return false;
        }
        self.ended_well |= size == 0;
        self.text
            .extend_from_slice(&self.raw[at + 2..at + 2 + size]);
        self.raw.drain(..at + 2 + size + 2);
        true
    }

    /// The next message, heartbeats and all; none at the end.
    pub(crate) async fn raw_message(&mut self) -> Option<Message> {
        loop {
            let found = find(&self.text[self.searched..], b"\n\n");
            if let Some(at) = found.map(|at| at + self.searched) {
                self.searched = 0;
                let text = String::from_utf8(self.text[..at].to_vec()).unwrap();
                self.text.drain(..at + 2);
                let message = parse(&text);
                self.last_id = message.id.or(self.last_id);
                return Some(message);
            }
            self.searched = self.text.len().saturating_sub(1);
            if self.ended_well || (!self.decode() && !within(self.fill()).await) {
                return None;
            }
        }
    }

    /// The next message that a program sees.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        // Heartbeats are no news: who waits for more than them waits for ever.
        within(async {
            loop {
                let message = self.raw_message().await?;
                if !message.data.is_empty() {
                    return Some(message);
                }
            }
        })
        .await
    }

    /// The next event, with its position.
    pub(crate) async fn event(&mut self) -> Option<(u64, Value)> {
        loop {
            let message = self.message().await?;
            if message.name == "message" {
                return Some((message.id.unwrap(), message.json()));
            }
        }
    }

    /// The positions of the next events up to one.
    pub(crate) async fn positions_to(&mut self, last: u64) -> Vec<u64> {
        let mut positions = Vec::new();
        while positions.last() != Some(&last) {
            let Some((position, event)) = self.event().await else {
                panic!("the stream ended after {:?}", positions.last());
            };
            assert_eq!(event["position"], position);
            positions.push(position);
        }
        positions
    }

    /// The next message of a name.
    pub(crate) async fn named(&mut self, name: &str) -> Message {
        loop {
            let Some(message) = self.message().await else {
                panic!("the stream ended without {name}");
            };
            if message.name == name {
                return message;
            }
        }
    }

    /// The body, where it is no stream of events.
    pub(crate) async fn body(&mut self) -> Value {
        let length = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        while self.raw.len() < length {
            assert!(within(self.fill()).await);
        }
        serde_json::from_slice(&self.raw[..length]).unwrap()
    }
}

fn parse(text: &str) -> Message {
    let mut message = Message {
        name: "message".to_owned(),
        ..Message::default()
    };
    for line in text.lines() {
        match line.split_once(": ").unwrap_or((line, "")) {
            ("", _) => message.comment = true,
            ("id", id) => message.id = Some(id.parse().unwrap()),
            ("event", name) => name.clone_into(&mut message.name),
            ("data", data) => message.data.push_str(data),
            ("retry", _) => {}
            other => panic!("a field that is not known: {other:?}"),
        }
    }
    message
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    // Quick also where nothing is optimized.
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == what[0])?;
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
}
