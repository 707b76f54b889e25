//! The program `annals serve` in a process of its own.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long it may take to start, or to end what it has accepted.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that can be killed, stopped and started again at the same address.
#[derive(Debug)]
pub(crate) struct Program {
    data: String,
    pub(crate) address: String,
    process: Child,
}

impl Program {
    pub(crate) fn start(data: &Path) -> Self {
        // A port that is free, and that nobody gets while the server is away for a moment.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let address = port.unwrap().to_string();
        let data = data.to_str().unwrap().to_owned();
        let process = run(&data, &address);
        Self {
            data,
            address,
            process,
        }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.process.id().to_string()])
            .status();
        assert!(status.unwrap().success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "it ended with {status}");
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn start_again(&mut self) {
        self.process = run(&self.data, &self.address);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Starts it, and waits until it says that it listens.
fn run(data: &str, address: &str) -> Child {
    let mut process = Command::new(env!("CARGO_BIN_EXE_annals"))
        .args(["serve", "--data", data, "--listen", address])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let said = lines.find_map(|line| line.ok().filter(|line| line.contains("http://")));
    assert!(said.is_some(), "it did not start at {address}");
    // What else it says is not looked at, and must not stop it.
    std::thread::spawn(move || lines.for_each(drop));
    process
}
