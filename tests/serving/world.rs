//! A server in this process, and the program as a process of its own.

use std::{
    io::{BufRead, BufReader, Read as _},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread::JoinHandle as Thread,
    time::Duration,
};

use annals::{
    ConfigurationStream, EventStore, EventStoreConfig, TopicConfig,
    server::{Reload, Server, ServerConfig, ServerLimits},
};
use parking_lot::Mutex;
use reqwest::{Client, Method, RequestBuilder, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs in this process.
pub(crate) struct World {
    pub(crate) store: EventStore,
    pub(crate) address: SocketAddr,
    pub(crate) reload: Reload,
    pub(crate) client: Client,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// Any free port of the loopback address.
pub(crate) fn config() -> ServerConfig {
    ServerConfig::new().listen(SocketAddr::from(([127, 0, 0, 1], 0)))
}

pub(crate) fn limited(limits: ServerLimits) -> ServerConfig {
    config().limits(limits)
}

/// A store in memory with a topic.
pub(crate) async fn store() -> EventStore {
    let config = EventStoreConfig::new(ConfigurationStream::memory());
    let store = EventStore::open(config).await.unwrap();
    let topic = TopicConfig::memory("orders");
    store.create_topic(topic).await.unwrap();
    store
}

impl World {
    pub(crate) async fn new(config: ServerConfig) -> Self {
        Self::over(store().await, config).await
    }

    pub(crate) async fn over(store: EventStore, config: ServerConfig) -> Self {
        let server = Server::bind(&store, config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        Self {
            address: server.address().unwrap(),
            reload: server.reload(),
            client: Client::new(),
            store,
            stop,
            serving: tokio::spawn(server.serve(async move { drop(stopped.await) })),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// An append of one event.
    pub(crate) fn append(&self) -> RequestBuilder {
        self.request(Method::POST, "/api/v1/topics/orders/events")
            .header("content-type", "application/json")
            .body(r#"{"type":"OrderPlaced","data":{"total":42}}"#)
    }

    /// A connection on which a test says what it likes.
    pub(crate) async fn raw(&self) -> Raw {
        Raw(TcpStream::connect(self.address).await.unwrap())
    }

    /// Asks the server to stop.
    pub(crate) fn stopping(self) -> JoinHandle<std::io::Result<()>> {
        self.stop.send(()).unwrap();
        self.serving
    }

    pub(crate) async fn stop(self) {
        within(self.stopping()).await.unwrap().unwrap();
    }
}

/// A connection on which a test says what it likes.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn say(&mut self, text: &str) {
        within(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    /// All that the server says until it closes the connection.
    pub(crate) async fn hear_to_the_end(&mut self) -> String {
        let mut heard = Vec::new();
        // A server that closes while there is still something to read resets the connection.
        let _ = within(self.0.read_to_end(&mut heard)).await;
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// The head of an answer.
    pub(crate) async fn hear_head(&mut self) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            let byte = within(self.0.read_u8()).await;
            match byte {
                Ok(byte) => heard.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// Awaits something that is to come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("nothing came within {PATIENCE:?}"),
    }
}

/// The status and the kind of an answer that is a problem.
pub(crate) async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let content_type = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let text = response.text().await.unwrap();
    assert_eq!(content_type, "application/problem+json", "{status} {text}");
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["status"], status, "{text}");
    let kind = problem["type"].as_str().unwrap();
    (
        status,
        kind.trim_start_matches("urn:annals:problem:").to_owned(),
    )
}

pub(crate) async fn send(request: RequestBuilder) -> Response {
    within(request.send()).await.unwrap()
}

pub(crate) async fn status(request: RequestBuilder) -> u16 {
    send(request).await.status().as_u16()
}

/// The program, as a process.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) url: String,
    /// What it has logged so far.
    pub(crate) log: Arc<Mutex<String>>,
    reading: Option<Thread<()>>,
}

/// `annals serve` with these arguments, and nothing of this process's own variables that it would heed.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
    for (name, _) in std::env::vars() {
        if name.starts_with("ANNALS_") {
            command.env_remove(name);
        }
    }
    command.arg("serve").args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Program {
    /// Starts the program, and waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut first).unwrap();
        let mut error = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&log);
        let reading = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = error.read(&mut buffer) {
                into.lock()
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        let Some(url) = first.trim().strip_prefix("listening on ") else {
            child.wait().unwrap();
            reading.join().unwrap();
            panic!("it does not listen: {first}{}", log.lock());
        };
        Self {
            url: url.to_owned(),
            child,
            log,
            reading: Some(reading),
        }
    }

    /// A server of this directory at any free port.
    pub(crate) fn of(data: &Path) -> Self {
        let data = data.to_str().unwrap();
        Self::start(&mut command(&["--data", data, "--listen", "127.0.0.1:0"]))
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits for its end, and gives all that it has logged.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        self.reading.take().unwrap().join().unwrap();
        let log = self.log.lock().clone();
        (status, log)
    }

    pub(crate) fn stop(self) -> (ExitStatus, String) {
        self.signal(rustix::process::Signal::TERM);
        self.end()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A test that failed leaves no server behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end: its status, and what it has printed and logged.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
