//! What a server is told when it starts.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{ServerLimits, problem::Problem};

/// How a [`Server`](super::Server) listens, whom it lets in, and what it allows them.
///
/// The defaults are a server for this machine only: it listens on the loopback address, without TLS and
/// without access control. [`Server::bind`](super::Server::bind) refuses any other address unless there is
/// [TLS](Self::tls) and [access control](Self::access_file), or the application says that it means it.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub(super) listen: SocketAddr,
    pub(super) tls: Option<TlsFiles>,
    pub(super) plain_http: bool,
    pub(super) access_file: Option<PathBuf>,
    pub(super) open_access: bool,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) public_metrics: bool,
    pub(super) default_placement: Option<DefaultPlacement>,
    pub(super) limits: ServerLimits,
    pub(super) drain: Duration,
    pub(super) reload_interval: Duration,
    pub(super) private_webhooks: bool,
    pub(super) live_heartbeat: Duration,
    pub(super) live_write_timeout: Duration,
    pub(super) secrets: Secrets,
}

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where the secrets of webhooks are; in the environment where nothing is set.
#[derive(Clone, Default)]
pub(super) struct Secrets(Option<Arc<Lookup>>);

impl Secrets {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        match &self.0 {
            Some(lookup) => lookup(name),
            None => std::env::var(name).ok(),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// Where topics are put that name no adapter.
#[derive(Clone, Debug)]
pub(super) struct DefaultPlacement {
    pub(super) adapter: String,
    pub(super) connection: String,
}

/// The files of a certificate and its key.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl ServerConfig {
    /// The port that is listened on unless another one is given.
    pub const PORT: u16 = 2116;

    /// A server on the loopback address, at [`Self::PORT`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), Self::PORT),
            tls: None,
            plain_http: false,
            access_file: None,
            open_access: false,
            allowed_hosts: Vec::new(),
            public_metrics: false,
            default_placement: None,
            limits: ServerLimits::default(),
            drain: Duration::from_secs(30),
            reload_interval: Duration::from_secs(5),
            private_webhooks: false,
            live_heartbeat: Duration::from_secs(15),
            live_write_timeout: Duration::from_secs(60),
            secrets: Secrets(None),
        }
    }

    /// Listens on this address; port 0 takes any that is free.
    #[must_use]
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Speaks TLS, with this certificate (and those that lead to it) and its key, both files in PEM. They
    /// are read again when they change.
    #[must_use]
    pub fn tls(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = Some(TlsFiles {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// Speaks plain HTTP with other machines too: whoever is between sees all events and all credentials.
    /// For networks where something else encrypts.
    #[must_use]
    pub const fn insecure_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Lets in whom this file names, and nobody else. It is read again when it changes; what it holds is
    /// described in `docs/server.md` of the repository.
    #[must_use]
    pub fn access_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.access_file = Some(path.into());
        self
    }

    /// Lets everybody who reaches the address do everything, other machines too.
    #[must_use]
    pub const fn insecure_open_access(mut self) -> Self {
        self.open_access = true;
        self
    }

    /// Answers requests that are sent to this host (a name or an address, without a port), beside those to
    /// the loopback names. Once a host is allowed, requests to all others are refused; without any, only
    /// servers on the loopback address without access control refuse, as a page in a browser of this machine
    /// could have a name of its own lead there.
    #[must_use]
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.allowed_hosts.push(host.into().to_ascii_lowercase());
        self
    }

    /// Shows `/metrics` to everybody who reaches the address. Metrics name topics.
    #[must_use]
    pub const fn public_metrics(mut self) -> Self {
        self.public_metrics = true;
        self
    }

    /// Puts topics that are created without an adapter there.
    #[must_use]
    pub fn default_placement(
        mut self,
        adapter: impl Into<String>,
        connection: impl Into<String>,
    ) -> Self {
        self.default_placement = Some(DefaultPlacement {
            adapter: adapter.into(),
            connection: connection.into(),
        });
        self
    }

    /// What clients can make the server do at most.
    #[must_use]
    pub const fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How long requests that were accepted may take to finish once the server stops; 30 s unless given.
    #[must_use]
    pub const fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// How often it is looked whether the certificate and the access file have changed; every 5 s unless
    /// given.
    #[must_use]
    pub const fn reload_interval(mut self, interval: Duration) -> Self {
        self.reload_interval = interval;
        self
    }

    /// Sends live subscribers a comment where nothing else was sent for this time; 15 s unless set, at
    /// least 10 ms.
    #[must_use]
    pub fn live_heartbeat(mut self, every: Duration) -> Self {
        self.live_heartbeat = every.max(Duration::from_millis(10));
        self
    }

    /// Cuts off live subscribers that take nothing of what waits for them for this time; 60 s unless
    /// set, at least 10 ms.
    #[must_use]
    pub fn live_write_timeout(mut self, after: Duration) -> Self {
        self.live_write_timeout = after.max(Duration::from_millis(10));
        self
    }

    /// Looks up the secrets that webhooks name by `${NAME}` here, and not in the environment.
    #[must_use]
    pub fn webhook_secrets(
        mut self,
        lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.secrets = Secrets(Some(Arc::new(lookup)));
        self
    }

    /// Lets webhooks reach addresses that are not public: loopback, private and link-local ones. Who may
    /// register webhooks can reach everything then that this machine can.
    #[must_use]
    pub const fn allow_private_webhooks(mut self, allow: bool) -> Self {
        self.private_webhooks = allow;
        self
    }
}

impl ServerConfig {
    /// Where a topic is put that is asked for with this adapter and this connection.
    pub(super) fn place(
        &self,
        adapter: Option<String>,
        connection: Option<String>,
    ) -> Result<(String, String), Problem> {
        match (adapter, connection, &self.default_placement) {
            (Some(adapter), connection, _) => Ok((adapter, connection.unwrap_or_default())),
            (None, None, Some(place)) => Ok((place.adapter.clone(), place.connection.clone())),
            (None, Some(_), _) => Err(Problem::bad_request("a connection needs its adapter")),
            (None, None, None) => Err(Problem::bad_request(
                "an adapter is needed: this server has no place of its own for topics",
            )),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self::new()
    }
}
