//! The server in this process, and a client for it: what the tests of all its parts share.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "no test program uses all of it"
)]

use std::net::SocketAddr;

use annals::{
    ConfigurationStream, EventStore, EventStoreConfig, TopicConfig,
    server::{Server, ServerConfig},
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

/// A server on a port of its own, over a store in a directory of its own.
pub(crate) struct Site {
    pub(crate) store: EventStore,
    pub(crate) address: SocketAddr,
    pub(crate) client: reqwest::Client,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

/// What a server has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Site {
    /// A server over a new store whose configuration is in files.
    pub(crate) async fn new() -> Self {
        Self::with(ServerConfig::new()).await
    }

    /// The same, told these things beside its address.
    pub(crate) async fn with(config: ServerConfig) -> Self {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data").display().to_string();
        let stream = ConfigurationStream::file(data);
        let store = EventStore::open(EventStoreConfig::new(stream)).await;
        Self::of(store.unwrap(), directory, config).await
    }

    async fn of(store: EventStore, directory: TempDir, config: ServerConfig) -> Self {
        let config = config.listen("127.0.0.1:0".parse().unwrap());
        let server = Server::bind(&store, config).await.unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async move {
            stopped.await.unwrap_or(());
        }));
        Self {
            store,
            address,
            client: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            directory,
            stop: Some(stop),
            serving: Some(serving),
        }
    }

    /// A directory that is gone with the site.
    pub(crate) fn directory(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Creates a topic in files.
    pub(crate) async fn topic(&self, name: &str) {
        let config = TopicConfig::file(name, self.directory("topics"));
        self.store.create_topic(config).await.unwrap();
    }

    /// Creates a topic in memory.
    pub(crate) async fn memory_topic(&self, name: &str) {
        let config = TopicConfig::memory(name);
        self.store.create_topic(config).await.unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// A `GET` with this `Accept`.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).header("accept", accept)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// A `POST` without a body.
    pub(crate) async fn post(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::POST, path)).await
    }

    /// A `POST` of JSON.
    pub(crate) async fn post_json(&self, path: &str, body: impl ToString) -> Answer {
        self.send(Method::POST, path, "application/json", body.to_string())
            .await
    }

    /// A `PUT` of JSON.
    pub(crate) async fn put_json(&self, path: &str, body: impl ToString) -> Answer {
        self.send(Method::PUT, path, "application/json", body.to_string())
            .await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.request(method, path);
        Answer::of(request.header("content-type", content_type).body(body)).await
    }

    /// Sends these bytes as they are, and returns all that is answered until the server closes the
    /// connection; so they should ask for that.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Stops the server, and closes the store.
    pub(crate) async fn close(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        // A client that keeps connections open for later holds nothing up.
        drop(std::mem::take(&mut self.client));
        self.serving.take().unwrap().await.unwrap().unwrap();
        self.store.close().await.unwrap();
    }
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        Self {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.bytes().await.unwrap().to_vec(),
        }
    }

    /// The body, where the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() {
            return Value::Null;
        }
        self.json()
    }

    /// The problem, where the status and its kind are these.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, kind: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.expect(status);
        assert_eq!(problem["type"], format!("urn:annals:problem:{kind}"));
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].is_string() && problem["title"].is_string());
        problem
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}
