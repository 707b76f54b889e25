//! Another process, which works on the same topics until it is told to end, or killed.

use std::{
    fs::File,
    io::Read,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::work::{World, work_on};

const ROLE: &str = "ANNALS_TEST_TORTURE_ROLE";

/// What a process is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Role {
    world: World,
    topics: Vec<String>,
    number: u32,
    seed: u64,
    file: PathBuf,
}

/// A process.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    /// Where it writes down what it asks and is answered.
    pub(crate) file: PathBuf,
}

impl Child {
    pub(crate) fn start(world: &World, topics: &[String], number: u32, seed: u64) -> Self {
        let file = PathBuf::from(world.path(&format!("history-{number}")));
        let role = Role {
            world: world.clone(),
            topics: topics.to_vec(),
            number,
            seed,
            file: file.clone(),
        };
        File::create(&file).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(ROLE, serde_json::to_string(&role).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { process, file }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.process.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Lets it end what it does.
    pub(crate) fn end(&mut self) {
        drop(self.process.stdin.take());
        let status = self.process.wait().unwrap();
        assert!(status.success(), "a process has failed: {status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Does what the environment says; nothing where it says nothing.
pub(crate) async fn play() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let role: Role = serde_json::from_str(&role).unwrap();
    let sink = File::options().append(true).open(&role.file).unwrap();
    let sink = Arc::new(Mutex::new(sink));
    let ended = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&ended);
    std::thread::spawn(move || {
        // It is closed when this process is to end.
        drop(std::io::stdin().read(&mut [0]));
        ending.store(true, Ordering::Relaxed);
    });
    let store = role.world.open().await;
    let stop = move || ended.load(Ordering::Relaxed);
    let who = (role.number, role.seed);
    work_on(&store, &role.world, &role.topics, who, Some(sink), stop).await;
    store.close().await.unwrap();
}
