//! Servers that speak the protocols of object stores: S3 (moto) and Azure Blob Storage (azurite).
//!
//! `scripts/test` installs both below `target/test-servers`. Without them a test fails, loudly.

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Own, free_port};

/// The key of the one account that azurite has, which is in its documentation.
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    S3,
    Azure,
}

/// A server.
#[derive(Debug)]
pub(crate) struct StoreServer {
    protocol: Protocol,
    port: u16,
    own: Mutex<Own>,
}

/// The server for this protocol that all tests of this program share.
pub(crate) fn store_server(protocol: Protocol) -> &'static StoreServer {
    static S3: OnceLock<StoreServer> = OnceLock::new();
    static AZURE: OnceLock<StoreServer> = OnceLock::new();
    let server = match protocol {
        Protocol::S3 => &S3,
        Protocol::Azure => &AZURE,
    };
    server.get_or_init(|| StoreServer::start(protocol))
}

fn installed(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("target/test-servers")
        .join(name);
    assert!(
        path.exists(),
        "{} is not there; `scripts/test` installs it",
        path.display()
    );
    path
}

impl StoreServer {
    pub(crate) fn start(protocol: Protocol) -> Self {
        let port = free_port();
        let mut command = Command::new(installed("venv/bin/python"));
        command.args(["-c", include_str!("object_store.py")]);
        match protocol {
            Protocol::S3 => command.args(["s3", &port.to_string()]),
            Protocol::Azure => {
                command.args(["azure", &port.to_string()]);
                command.arg(installed("azurite"))
            }
        };
        Self {
            protocol,
            port,
            own: Mutex::new(Own::run(command, &[])),
        }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// A connection to a bucket that nobody else uses.
    pub(crate) fn fresh(&self) -> String {
        self.fresh_through(self.port)
    }

    /// The same through a proxy at a port.
    pub(crate) fn fresh_through(&self, port: u16) -> String {
        static BUCKETS: AtomicU64 = AtomicU64::new(0);
        let number = BUCKETS.fetch_add(1, Ordering::Relaxed);
        let bucket = format!("annals-{}-{number}", std::process::id());
        let mut own = self.own.lock().expect("no test has failed with it");
        own.order(&bucket);
        match self.protocol {
            Protocol::S3 => format!(
                "s3://{bucket}/some/prefix?endpoint=http://127.0.0.1:{port}&allow_http=true\
                 &region=us-east-1&access_key_id=test&secret_access_key=test"
            ),
            Protocol::Azure => format!(
                "az://{bucket}/some/prefix?endpoint=http://127.0.0.1:{port}/devstoreaccount1\
                 &allow_http=true&account_name=devstoreaccount1&account_key={}",
                AZURE_KEY.replace('+', "%2B")
            ),
        }
    }
}
