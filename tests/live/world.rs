//! A store, and a server over it, in this process.

use std::{net::SocketAddr, path::Path, time::Duration};

use annals::{
    Append, AppendReceipt, ConfigurationStream, EventStore, EventStoreConfig, NewEvent,
    TopicConfig,
    server::{Reload, Server, ServerConfig},
};
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs.
pub(crate) struct World {
    pub(crate) store: EventStore,
    pub(crate) address: SocketAddr,
    pub(crate) reload: Reload,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// A server with settings that make tests short.
pub(crate) fn config() -> ServerConfig {
    ServerConfig::new()
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
        .allow_private_webhooks(true)
        .webhook_secrets(|name| (name == "HOOK_SECRET").then(|| SECRET.to_owned()))
}

/// A store in memory.
pub(crate) async fn in_memory() -> EventStore {
    let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::memory())).await;
    let store = store.unwrap();
    store
        .create_topic(TopicConfig::memory("orders"))
        .await
        .unwrap();
    store
}

/// A store in files, with a topic the first time.
pub(crate) async fn in_files(directory: &Path) -> EventStore {
    let path = directory.display().to_string();
    let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::file(&path))).await;
    let store = store.unwrap();
    if store.get_topic("orders").await.is_err() {
        let topic = TopicConfig::file("orders", &path).option("sync", "never");
        store.create_topic(topic).await.unwrap();
    }
    store
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::serve(in_memory().await, config()).await
    }

    pub(crate) async fn serve(store: EventStore, config: ServerConfig) -> Self {
        let server = Server::bind(&store, config).await.unwrap();
        let address = server.address().unwrap();
        let reload = server.reload();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async {
            drop(stopped.await);
        }));
        Self {
            store,
            address,
            reload,
            stop,
            serving,
        }
    }

    /// Stops the server in order, and closes the store.
    pub(crate) async fn stop(self) {
        let store = self.store.clone();
        self.stop_serving().await;
        store.close().await.unwrap();
    }

    /// Stops the server, and leaves the store to others.
    pub(crate) async fn stop_serving(self) {
        self.stop.send(()).unwrap();
        within(self.serving).await.unwrap().unwrap();
    }
}

/// Awaits something that is to come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("nothing came within {PATIENCE:?}"),
    }
}

/// Appends events `{"n": …}` to a stream, one append for all.
pub(crate) async fn append(
    store: &EventStore,
    stream: &str,
    event_type: &str,
    numbers: std::ops::Range<u64>,
) -> AppendReceipt {
    let events: Vec<NewEvent> = numbers
        .map(|n| NewEvent::json(event_type.to_owned(), &json!({ "n": n })).unwrap())
        .collect();
    let append = Append::new(events).stream(stream);
    store.append_events("orders", append).await.unwrap()
}

impl World {
    /// Sends a request with a JSON body, where there is one, and gives the status and the JSON answer.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> (u16, serde_json::Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("http://{}/api/v1/{path}", self.address);
        let mut request = reqwest::Client::new().request(method, url);
        if let Some(body) = body {
            let body = body.to_string();
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let answer = within(request.send()).await.unwrap();
        let status = answer.status().as_u16();
        let text = within(answer.text()).await.unwrap();
        assert!(!text.contains(SECRET), "an answer has the secret: {text}");
        let json = serde_json::from_str(&text).unwrap_or(serde_json::Value::Null);
        (status, json)
    }

    /// The same, where it is to succeed.
    pub(crate) async fn ok(
        &self,
        method: &str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> serde_json::Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }
}

/// What webhooks are signed with. It is to be in no answer.
pub(crate) const SECRET: &str = "canary-0b5e";
