//! Servers for tests: a real PostgreSQL, and object stores, started by the test itself.
//!
//! `DATABASE_URL` names one to use instead. Where there is neither, the test fails, loudly.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "no test program uses all of it"
)]

#[cfg(feature = "blob")]
pub(crate) mod object_store;
pub(crate) mod proxy;

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Postgres {
    url: String,
    /// None for a server that was given.
    own: Option<Mutex<Own>>,
}

/// What of a server is on a small disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnSmallDisk {
    Data,
    Log,
}

/// The script that runs a server. It ends, and takes the server with it, when its standard input
/// is closed: also where this program dies.
#[derive(Debug)]
struct Own {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _script: Child,
}

/// The server that all tests of this program share.
pub(crate) fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| match std::env::var("DATABASE_URL") {
        Ok(url) => Postgres { url, own: None },
        Err(_) => Postgres::start(&[]),
    })
}

impl Postgres {
    /// Starts a server with these settings beside the usual ones.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::run(unprivileged(), settings)
    }

    /// Starts a server that has its data, or its write-ahead log, on a disk of 128 MiB which can be
    /// filled.
    pub(crate) fn start_on_small_disk(what: OnSmallDisk) -> Self {
        let mut command = on_small_disk();
        let (small, large) = (PathBuf::from(SMALL_DISK), std::env::temp_dir());
        let (data, log) = match what {
            OnSmallDisk::Data => (&small, &large),
            OnSmallDisk::Log => (&large, &small),
        };
        command.env("SMALL_DISK", &small);
        command.env("TMPDIR", data).env("LOG_IN", log);
        // No room is made but by the test.
        Self::run(command, &[("autovacuum", "off"), ("min_wal_size", "2MB")])
    }

    fn run(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        // The account that runs the server may not be able to look into this directory.
        let script = include_str!("start.sh");
        command.args(["sh", "-c", script, "start.sh"]);
        command.arg(binaries()).arg(port.to_string());
        let own = Own::run(command, settings);
        Self {
            url: format!("postgres://annals@127.0.0.1:{port}/postgres?sslmode=disable"),
            own: Some(Mutex::new(own)),
        }
    }

    /// The URL of its database.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The URL with a schema that nobody else uses.
    pub(crate) fn fresh(&self) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let schema = format!("site_{}_{number}", std::process::id());
        self.with("schema", &schema)
    }

    /// The URL with an option of the repository.
    pub(crate) fn with(&self, option: &str, value: &str) -> String {
        let mark = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{mark}annals.{option}={value}", self.url)
    }

    /// The port on which it listens.
    pub(crate) fn port(&self) -> u16 {
        let behind = self.url.rsplit_once(':').expect("it has a port").1;
        let digits = behind.split('/').next().expect("it has a port");
        digits.parse().expect("it has a port")
    }

    /// Kills the server, as a crash would.
    pub(crate) fn kill(&self) {
        self.order("kill");
    }

    /// Stops the server; what it does is broken off.
    pub(crate) fn stop(&self) {
        self.order("stop");
    }

    /// Starts the server again.
    pub(crate) fn start_again(&self) {
        self.order("start");
    }

    /// Fills the disk of [`Self::start_on_small_disk`].
    pub(crate) fn fill_disk(&self) {
        self.order("fill");
    }

    /// Makes room on it.
    pub(crate) fn free_disk(&self) {
        self.order("free");
    }

    fn order(&self, order: &str) {
        let own = self.own.as_ref().expect("it is a server of the test's own");
        let mut own = own.lock().expect("no test has failed with it");
        writeln!(own.orders, "{order}").expect("the script runs");
        assert_eq!(own.answer(), "done");
    }
}

/// A PgBouncer before a server. It ends with its standard input.
#[derive(Debug)]
pub(crate) struct Pooler {
    url: String,
    _own: Own,
}

impl Pooler {
    /// Starts one with these settings beside the usual ones.
    pub(crate) fn before(server: &Postgres, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let script = include_str!("pooler.sh");
        let mut command = unprivileged();
        command.args(["sh", "-c", script, "pooler.sh"]);
        command.arg(server.port().to_string()).arg(port.to_string());
        let own = Own::run(command, settings);
        let there = format!(":{}/", server.port());
        let url = server.url().replace(&there, &format!(":{port}/"));
        Self { url, _own: own }
    }

    /// The URL of the server's database through the pooler, and an option of the repository.
    pub(crate) fn with(&self, option: &str, value: &str) -> String {
        format!("{}&annals.{option}={value}", self.url)
    }
}

impl Own {
    /// Runs a script, with these settings as its last arguments, until it is ready.
    fn run(mut command: Command, settings: &[(&str, &str)]) -> Self {
        for (name, value) in settings {
            command.arg(format!("{name}={value}"));
        }
        let mut script = command
            .current_dir("/")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server can be started");
        let mut own = Self {
            orders: script.stdin.take().expect("it is piped"),
            answers: BufReader::new(script.stdout.take().expect("it is piped")),
            _script: script,
        };
        assert_eq!(
            own.answer(),
            "ready",
            "the server does not start; see above"
        );
        own
    }

    /// Sends an order, and waits until it is done.
    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("the script reads");
        assert_eq!(self.answer(), "done", "{order}");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .expect("the script answers");
        line.trim_end().to_owned()
    }
}

/// The programs of the newest PostgreSQL that is installed.
pub(crate) fn binaries() -> PathBuf {
    if let Ok(given) = std::env::var("POSTGRES_BIN") {
        return given.into();
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, path)| path.join("postgres").exists())
        .collect();
    versions.sort();
    let (_, newest) = versions.pop().expect(
        "PostgreSQL is not installed (in /usr/lib/postgresql, or where POSTGRES_BIN says), \
         and DATABASE_URL names no server; `scripts/test` installs it",
    );
    newest
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Runs what follows as somebody who is not root.
const AS_POSTGRES: [&str; 5] = [
    "setpriv",
    "--reuid=postgres",
    "--regid=postgres",
    "--clear-groups",
    "--",
];

/// A command that runs what follows as somebody who is not root: PostgreSQL refuses root.
fn unprivileged() -> Command {
    let mut command = Command::new("env");
    if is_root() {
        command.args(AS_POSTGRES);
    }
    command
}

/// Where those of [`on_small_disk`] see a small disk.
const SMALL_DISK: &str = "/mnt";

/// A command that does the same, with a disk of 128 MiB that nobody else sees. It is gone with the
/// last of its processes. Where it cannot be had, the command fails.
fn on_small_disk() -> Command {
    let mount = format!(r#"mount -t tmpfs -o size=128m,mode=1777 tmpfs {SMALL_DISK} && exec "$@""#);
    let mut command = Command::new("unshare");
    // Who is not root is made root of a world of its own, and in that somebody else again.
    let rights = if is_root() { "-m" } else { "-rm" };
    command.args([rights, "sh", "-c", &mount, "sh"]);
    if is_root() {
        command.args(AS_POSTGRES);
    } else {
        command.args(["unshare", "--user", "--map-user=1000", "--map-group=1000"]);
    }
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}
