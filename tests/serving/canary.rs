//! Secrets are in no answer and in no log, whatever goes wrong.

use std::fs;

use annals::server::{hash_password, new_token};
use axum::{Router, http::HeaderMap};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, Method};
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc};

use crate::world::{Program, command, within};

const OF_CONNECTION: &str = "canary-of-a-connection";
const OF_PASSWORD: &str = "canary-of-a-password";
const OF_GUESS: &str = "canary-of-a-wrong-password";
const OF_WEBHOOK: &str = "canary-of-a-webhook";
const OF_PAYLOAD: &str = "canary-of-a-payload";

type Asked = (Method, &'static str, serde_json::Value);

/// Requests that fail in many ways, and some that do not.
fn requests() -> Vec<Asked> {
    [of_topics(), of_events(), of_the_server()].concat()
}

fn of_topics() -> Vec<Asked> {
    let database = "postgres://annals:${CANARY}@127.0.0.1:1/annals";
    let place = json!({ "name": "lost", "adapter": "postgres", "connection": database });
    let plain = format!("postgres://annals:{OF_CONNECTION}@127.0.0.1:1/annals");
    let bucket = json!({ "name": "b", "adapter": "blob", "connection": "s3://none/x",
        "options": { "access_key_id": "a", "secret_access_key": OF_CONNECTION } });
    vec![
        (Method::POST, "/api/v1/topics", json!({ "name": "orders" })),
        (Method::POST, "/api/v1/topics", json!({ "name": "orders" })),
        (Method::POST, "/api/v1/topics", place.clone()),
        (
            Method::POST,
            "/api/v1/topics",
            json!({ "name": "p", "adapter": "postgres", "connection": plain }),
        ),
        (Method::POST, "/api/v1/topics", bucket),
        (
            Method::POST,
            "/api/v1/topics",
            json!({ "name": "${CANARY}" }),
        ),
        (
            Method::POST,
            "/api/v1/topics",
            json!({ "name": "x", "adapter": "${CANARY}", "connection": "${CANARY}" }),
        ),
        (
            Method::POST,
            "/api/v1/topics",
            json!({ "name": "y", "adapter": "file", "connection": "/proc/${CANARY}" }),
        ),
        (Method::PUT, "/api/v1/topics/orders", place),
        (Method::GET, "/api/v1/topics/orders/move", json!(null)),
        (Method::GET, "/api/v1/topics", json!(null)),
        (Method::GET, "/api/v1/topics/orders", json!(null)),
    ]
}

fn of_events() -> Vec<Asked> {
    let event = json!({ "type": "A", "data": { "secret": OF_PAYLOAD } });
    vec![
        (Method::POST, "/api/v1/topics/orders/events", event.clone()),
        (
            Method::POST,
            "/api/v1/topics/orders/events",
            json!([event, { "type": "$no" }]),
        ),
        (Method::POST, "/api/v1/topics/none/events", event),
        (
            Method::POST,
            "/api/v1/topics/orders/events",
            json!(OF_PAYLOAD),
        ),
        (
            Method::POST,
            "/streams/orders-1",
            json!([{ "eventId": OF_PAYLOAD, "eventType": "A" }]),
        ),
        (Method::GET, "/streams/orders-1", json!(null)),
    ]
}

fn of_the_server() -> Vec<Asked> {
    // A secret where the name of one belongs.
    let webhook =
        json!({ "topic": "orders", "url": "http://127.0.0.1:1/hook", "secret": OF_WEBHOOK });
    vec![
        (Method::PUT, "/api/v1/webhooks/plain", webhook),
        (Method::GET, "/api/v1/webhooks", json!(null)),
        (Method::GET, "/api/v1/health", json!(null)),
        (Method::GET, "/metrics", json!(null)),
        (Method::GET, "/health/ready", json!(null)),
        (Method::GET, "/info", json!(null)),
        (Method::GET, "/nothing", json!(null)),
        (Method::DELETE, "/api/v1/topics/orders/move", json!(null)),
    ]
}

/// An access file with one caller, who may do everything.
fn rules(hash: &str, sha256: &str) -> String {
    format!(
        "[[caller]]\nname = \"admin\"\npassword = \"{hash}\"\ntokens = [\"{sha256}\"]\n\
         allow = [{{ topics = [\"*\"], actions = [\"read\", \"append\", \"configure\", \"admin\"] }}]\n"
    )
}

fn is_nowhere(secret: &str, answers: &str, log: &str) {
    for (place, text) in [("an answer", answers), ("the log", log)] {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in {place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_answer_or_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let access = directory.path().join("access.toml");
    let token = new_token().unwrap();
    let hash = hash_password(OF_PASSWORD).unwrap();
    let text = rules(&hash, &token.sha256);
    fs::write(&access, &text).unwrap();
    let mut command = command(&["--listen", "127.0.0.1:0", "--log", "trace", "--access-file"]);
    command
        .arg(&access)
        .args(["--variable", "CANARY", "--data"])
        .arg(directory.path().join("data"));
    let program = Program::start(command.env("CANARY", OF_CONNECTION));
    let client = Client::new();
    let mut answers = String::new();
    let mut hear = async |request: reqwest::RequestBuilder| {
        let answer = within(request.send()).await.unwrap();
        answers.push_str(&format!("{} {:?}\n", answer.status(), answer.headers()));
        answers.push_str(&within(answer.text()).await.unwrap());
        answers.push('\n');
    };
    for (method, path, body) in requests() {
        let request = || {
            let request = client.request(method.clone(), format!("{}{path}", program.url));
            if body.is_null() {
                request
            } else {
                request.json(&body)
            }
        };
        hear(request().bearer_auth(&token.token)).await;
        hear(request()).await;
        hear(request().bearer_auth(format!("{}x", token.token))).await;
    }
    let topics = || client.get(format!("{}/api/v1/topics", program.url));
    hear(topics().basic_auth("admin", Some(OF_PASSWORD))).await;
    hear(topics().basic_auth("admin", Some(OF_GUESS))).await;
    hear(topics().basic_auth(OF_GUESS, Some(OF_GUESS))).await;
    hear(topics().basic_auth("admin", Some(&token.token))).await;
    // The file turns bad, with a secret where none belongs.
    fs::write(&access, format!("{text}\npassword = \"{OF_PASSWORD}\"")).unwrap();
    program.signal(rustix::process::Signal::HUP);
    let log = std::sync::Arc::clone(&program.log);
    within(async {
        while !log.lock().contains("the former rules stay") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (_, log) = program.stop();
    // The test would prove nothing if nothing had been done or logged.
    assert!(answers.contains("200 OK") && answers.contains("401") && log.contains("request"));
    let basic = |password: &str| STANDARD.encode(format!("admin:{password}"));
    let secrets = [
        OF_CONNECTION,
        OF_PASSWORD,
        OF_GUESS,
        OF_WEBHOOK,
        &token.token,
        &token.sha256,
        &hash,
        &basic(OF_PASSWORD),
        &basic(OF_GUESS),
        &basic(&token.token),
    ];
    for secret in secrets {
        is_nowhere(secret, &answers, &log);
    }
    let line = log.lines().find(|line| line.contains(OF_PAYLOAD));
    assert_eq!(line, None, "a payload is in the log");
}

/// Where deliveries go, and their signatures.
async fn receiver() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, signatures) = mpsc::unbounded_channel();
    let router = Router::new().fallback(async move |headers: HeaderMap| {
        let signature = headers["annals-signature"].to_str().unwrap();
        sender.send(signature.to_owned()).unwrap();
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, signatures)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_that_a_webhook_signs_with_is_in_no_answer_and_not_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(&["--listen", "127.0.0.1:0", "--log", "trace", "--data"]);
    command
        .arg(directory.path())
        .args(["--allow-private-webhooks", "--variable", "CANARY"]);
    let program = Program::start(command.env("CANARY", OF_WEBHOOK));
    let client = Client::new();
    let mut answers = String::new();
    let mut hear = async |method: Method, path: &str, body: serde_json::Value| {
        let url = format!("{}/api/v1/{path}", program.url);
        let mut request = client.request(method, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = within(request.send()).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answers.push_str(&format!("{:?}\n", answer.headers()));
        answers.push_str(&within(answer.text()).await.unwrap());
        answers.push('\n');
    };
    let (url, mut signatures) = receiver().await;
    let webhook = |url: &str| json!({ "topic": "orders", "url": url, "secret": "${CANARY}" });
    let event = json!({ "type": "A", "data": { "secret": OF_PAYLOAD } });
    let nothing = json!(null);
    hear(Method::POST, "topics", json!({ "name": "orders" })).await;
    hear(Method::PUT, "webhooks/heard", webhook(&url)).await;
    // Nobody listens there.
    hear(Method::PUT, "webhooks/lost", webhook("http://127.0.0.1:1/")).await;
    hear(Method::POST, "topics/orders/events", event).await;
    // It has signed with the secret, so it could have told it.
    let signature = within(signatures.recv()).await.unwrap();
    assert!(signature.contains(",v1="), "{signature}");
    for path in [
        "webhooks",
        "webhooks/heard",
        "webhooks/lost",
        "webhooks/lost/parked",
    ] {
        hear(Method::GET, path, nothing.clone()).await;
    }
    hear(Method::POST, "webhooks/lost/pause", nothing.clone()).await;
    hear(Method::DELETE, "webhooks/heard", nothing).await;
    let (_, log) = program.stop();
    assert!(answers.contains("\"signed\":true") && log.contains("request"));
    is_nowhere(OF_WEBHOOK, &answers, &log);
    let line = log.lines().find(|line| line.contains(OF_PAYLOAD));
    assert_eq!(line, None, "a payload is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_of_the_server_that_are_not_allowed_cannot_be_named() {
    let directory = tempfile::tempdir().unwrap();
    let named = directory.path().join("named");
    let mut command = command(&["--listen", "127.0.0.1:0", "--variable", "NAMED,ALSO_*"]);
    command.args(["--allow-private-webhooks", "--data"]);
    command.arg(directory.path().join("own"));
    for name in ["NAMED", "ALSO_THIS", "HIDDEN", "ALSO"] {
        command.env(name, &named);
    }
    let program = Program::start(&mut command);
    let client = Client::new();
    let ask = async |method: Method, path: &str, body: serde_json::Value| {
        let url = format!("{}/api/v1/{path}", program.url);
        let request = client.request(method, url).json(&body);
        let answer = within(request.send()).await.unwrap();
        (
            answer.status().as_u16(),
            within(answer.text()).await.unwrap(),
        )
    };
    for (number, (variable, status)) in [
        ("NAMED", 201),
        ("ALSO_THIS", 201),
        ("HIDDEN", 422),
        ("ALSO", 422),
        ("PATH", 422),
    ]
    .into_iter()
    .enumerate()
    {
        let topic = json!({ "name": format!("t{number}"), "adapter": "file",
            "connection": format!("${{{variable}}}") });
        let (found, body) = ask(Method::POST, "topics", topic).await;
        assert_eq!(found, status, "{variable}: {body}");
        let told = body.contains(&format!("the variable `{variable}` is not set, or not one"));
        assert_eq!(told, status == 422, "{body}");
    }
    let webhook = json!({ "topic": "t0", "url": "http://127.0.0.1:1/", "secret": "${HIDDEN}" });
    let (status, body) = ask(Method::PUT, "webhooks/w", webhook).await;
    assert_eq!(status, 201, "{body}");
    let event = json!({ "type": "A", "data": {} });
    let (status, body) = ask(Method::POST, "topics/t0/events", event).await;
    assert_eq!(status, 201, "{body}");
    within(async {
        let told = "or not one that may be named there";
        while !ask(Method::GET, "webhooks/w", json!(null))
            .await
            .1
            .contains(told)
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    program.stop();
}
