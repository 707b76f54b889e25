//! `annals serve` as a process.

use std::{fs, io::Write as _, process::Stdio};

use reqwest::Client;
use serde_json::json;

use crate::world::{Program, command, run, send, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_started_with_nothing_but_a_directory_keeps_topics_and_events_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("new");
    let client = Client::new();
    let events = |program: &Program| format!("{}/api/v1/topics/orders/events", program.url);

    let program = Program::of(&data);
    assert!(
        program.url.starts_with("http://127.0.0.1:"),
        "{}",
        program.url
    );
    let topic = client.post(format!("{}/api/v1/topics", program.url));
    let answer = send(topic.json(&json!({ "name": "orders" }))).await;
    let topic: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(topic["adapter"], "file");
    assert_eq!(topic["connection"], data.to_str().unwrap());
    let event = json!({ "type": "OrderPlaced", "data": { "total": 42 } });
    assert_eq!(
        status(client.post(events(&program)).json(&event)).await,
        201
    );
    let (ended, log) = program.stop();
    assert_eq!(ended.code(), Some(0), "{log}");

    let program = Program::of(&data);
    let page: serde_json::Value = send(client.get(events(&program)))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(page["events"][0]["data"]["total"], 42);
    // A second server of the same directory is told that there is one.
    let second = command(&["--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(program.stop().0.code(), Some(0));
}

#[test]
fn addresses_that_other_machines_reach_are_refused_without_a_clear_word() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let (code, _, log) = run(&mut command(&["--data", data, "--listen", "0.0.0.0:0"]));
    assert_eq!(code, 2);
    assert!(log.contains("--insecure-plain-http"), "{log}");
    let plain = [
        "--data",
        data,
        "--listen",
        "0.0.0.0:0",
        "--insecure-plain-http",
    ];
    let (code, _, log) = run(&mut command(&plain));
    assert_eq!(code, 2);
    assert!(log.contains("--insecure-open-access"), "{log}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = directory.path().to_str().unwrap();
    let (code, _, log) = run(&mut command(&["--data", data, "--listen", &address]));
    assert_eq!(code, 1);
    assert!(log.contains(&address), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_the_program_makes_are_let_in() {
    let (code, token, log) = run(&mut command(&["token"]));
    assert_eq!(code, 0, "{log}");
    let mut lines = token.lines();
    let (token, tokens) = (lines.next().unwrap().to_owned(), lines.next().unwrap());
    assert!(token.starts_with("annals_") && token.len() > 40);

    let mut child = command(&["password"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all("correct horse\n".as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let password = String::from_utf8(output.stdout).unwrap();
    assert!(!password.contains("horse"));

    let directory = tempfile::tempdir().unwrap();
    let access = directory.path().join("access.toml");
    let allow = r#"allow = [{ topics = ["*"], actions = ["read"] }]"#;
    let text = format!("[[caller]]\nname = \"me\"\n{tokens}\n{password}\n{allow}\n");
    fs::write(&access, text).unwrap();
    let data = directory.path().join("data");
    let program = Program::start(&mut command(&[
        "--data",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--access-file",
        access.to_str().unwrap(),
    ]));
    let topics = || Client::new().get(format!("{}/api/v1/topics", program.url));
    assert_eq!(status(topics()).await, 401);
    assert_eq!(status(topics().bearer_auth(&token)).await, 200);
    assert_eq!(
        status(topics().basic_auth("me", Some("correct horse"))).await,
        200
    );
    assert_eq!(
        status(topics().basic_auth("me", Some("correct"))).await,
        401
    );

    // A hangup has the file read again.
    fs::write(&access, "").unwrap();
    program.signal(rustix::process::Signal::HUP);
    crate::world::within(async {
        while status(topics().bearer_auth(&token)).await != 401 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn a_healthcheck_says_by_its_exit_code_whether_the_server_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::of(directory.path());
    let url = program.url.clone();
    assert_eq!(run(&mut command(&["healthcheck", &url])).0, 0);
    let mut by_settings = command(&["healthcheck"]);
    let listen = url.trim_start_matches("http://").to_owned();
    assert_eq!(run(by_settings.env("ANNALS_LISTEN", listen)).0, 0);
    drop(program);
    assert_eq!(run(&mut command(&["healthcheck", &url])).0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_of_each_request_in_json_where_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(&mut command(&[
        "--data",
        directory.path().to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--log",
        "debug",
        "--log-format",
        "json",
    ]));
    let asked = Client::new()
        .get(format!(
            "{}/api/v1/topics/none/events?type=Secret",
            program.url
        ))
        .header("x-request-id", "request-of-the-test");
    assert_eq!(status(asked).await, 404);
    let (_, log) = program.stop();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let line = lines.iter().find(|line| {
        line["fields"]["id"] == "request-of-the-test" && line["fields"]["message"] == "request"
    });
    let fields = &line.unwrap()["fields"];
    assert_eq!(fields["status"], 404, "{log}");
    assert_eq!(fields["method"], "GET", "{log}");
    assert_eq!(fields["path"], "/api/v1/topics/none/events");
    assert!(fields["micros"].is_u64());
    assert!(!log.contains("Secret"), "{log}");
}
