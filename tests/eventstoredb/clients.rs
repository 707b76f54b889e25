//! Clients that others have published, against a real server. `scripts/test` installs them.

use std::{path::PathBuf, process::Stdio};

use annals::TopicConfig;
use tokio::process::Command;

use super::server::Served;

fn installed(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("target/test-servers/eventstoredb")
        .join(name);
    assert!(
        path.exists(),
        "{} is not there; `scripts/test` installs it",
        path.display()
    );
    path
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/eventstoredb/clients")
        .join(name)
}

async fn run(mut command: Command) {
    let served = Served::start().await;
    let order = TopicConfig::memory("order");
    served.store.create_topic(order).await.unwrap();
    let output = command
        .arg(served.address.ip().to_string())
        .arg(served.address.port().to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success() && text(&output.stdout).contains(": done"),
        "{}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    served.stop().await;
}

fn node(package: &str, name: &str) -> Command {
    let modules = installed("node_modules");
    installed(&format!("node_modules/{package}"));
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules).arg(script(name));
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn geteventstore_promise_writes_reads_and_deletes() {
    run(node("geteventstore-promise", "promise.cjs")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn geteventstore_client_walks_a_stream_by_its_links() {
    run(node("geteventstore-client", "walker.cjs")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn atomicpuppy_follows_a_stream_while_others_publish() {
    let mut command = Command::new(installed("venv/bin/python"));
    command.arg(script("subscriber.py"));
    run(command).await;
}
