//! A server of this process, and requests to it as they stand on the wire.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use annals::{
    ConfigurationStream, EventStore, EventStoreConfig,
    server::{Server, ServerConfig},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

/// A server over a store in memory.
pub(crate) struct Served {
    pub(crate) store: EventStore,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let config = EventStoreConfig::new(ConfigurationStream::memory());
        Self::of(EventStore::open(config).await.unwrap()).await
    }

    /// Another server of the same store.
    pub(crate) async fn of(store: EventStore) -> Self {
        let config = ServerConfig::new().default_placement("memory", "");
        Self::with(store, config).await
    }

    /// A server that is told more than where it listens.
    pub(crate) async fn with(store: EventStore, config: ServerConfig) -> Self {
        let config = config.listen((Ipv4Addr::LOCALHOST, 0).into());
        let server = Server::bind(&store, config).await.unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async {
            stopped.await.ok();
        }));
        Self {
            store,
            address,
            stop,
            serving,
        }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request, `headers` being lines of it.
    pub(crate) async fn ask(&self, request: &str, headers: &str, body: &str) -> Answer {
        ask(self.address, request, headers, body).await
    }

    /// A page as JSON.
    pub(crate) async fn page(&self, path: &str) -> serde_json::Value {
        let answer = self
            .ask(&format!("GET {path}"), "Accept: application/json", "")
            .await;
        assert_eq!(answer.code, 200, "{path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

pub(crate) async fn ask(address: SocketAddr, request: &str, headers: &str, body: &str) -> Answer {
    let mut text = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for line in headers.lines() {
        text.push_str(line);
        text.push_str("\r\n");
    }
    let length = body.len();
    text.push_str(&format!("Content-Length: {length}\r\n\r\n{body}"));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    parse(&String::from_utf8(answer).unwrap())
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
    let (code, reason) = status.split_once(' ').unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let headers: BTreeMap<_, _> = lines.map(header).collect();
    assert!(!headers.contains_key("transfer-encoding"), "{head}");
    Answer {
        code: code.parse().unwrap(),
        reason: reason.to_owned(),
        headers,
        body: body.to_owned(),
    }
}
