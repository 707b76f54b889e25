//! The service, tried from outside: real HTTP, real stores, a real PostgreSQL.

mod api;
mod devices;
mod domain;
mod migration;
mod push;
#[path = "../../../tests/servers/mod.rs"]
mod servers;
mod simulations;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    http,
    ledger::{self, Ledger},
};

/// A service that runs in this process.
struct Service {
    base: String,
    client: Client,
    ledger: Ledger,
    serving: JoinHandle<()>,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    etag: String,
    position: u64,
    again: bool,
    location: String,
    body: Value,
}

impl Service {
    /// With everything in memory, or with the read models in this database.
    async fn start(read_models: Option<&str>) -> Self {
        let store = ledger::open_store("memory", "").await.unwrap();
        let ledger = Ledger::open(store, read_models).await.unwrap();
        let (listener, address) = http::listen("127.0.0.1:0").await.unwrap();
        let serving = ledger.clone();
        let serving = tokio::spawn(async move {
            let serving = http::serve(listener, serving, std::future::pending());
            serving.await.unwrap();
        });
        Self {
            base: format!("http://{address}"),
            client: Client::builder().no_proxy().build().unwrap(),
            ledger,
            serving,
        }
    }

    /// One with read models in memory, and one with read models in PostgreSQL.
    async fn both() -> [Self; 2] {
        let url = database().await;
        [Self::start(None).await, Self::start(Some(&url)).await]
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let (etag, position) = (header("etag"), header("position"));
        let (location, again) = (header("location"), header("idempotency-replayed"));
        let kind = header("content-type");
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status >= 400 {
            assert_eq!(kind, "application/problem+json", "{status} {text}");
            assert_eq!(body["status"], status);
        }
        Answer {
            status,
            etag,
            position: position.parse().unwrap_or_default(),
            again: again == "true",
            location,
            body,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &[], body).await
    }

    /// Creates a contact of this name, and gives its path.
    async fn contact(&self, name: &str) -> String {
        let created = self.post("/contacts", json!({ "name": name })).await;
        assert_eq!(created.status, 201, "{:?}", created.body);
        created.location
    }

    async fn stop(self) {
        self.serving.abort();
        self.ledger.close().await.unwrap();
    }
}

/// A database that nobody else uses.
async fn database() -> String {
    use annals::repository::postgres::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("contacts_{}_{number}", std::process::id());
    let server = servers::postgres().url().to_owned();
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    let (path, query) = server.split_once('?').unwrap_or((&server, ""));
    let (host, _) = path.rsplit_once('/').unwrap();
    format!("{host}/{name}?{query}")
}
