//! What a server is told when it starts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// How a [`Server`](super::Server) listens.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub(super) listen: SocketAddr,
    pub(super) private_webhooks: bool,
    pub(super) live_heartbeat: Duration,
    pub(super) live_write_timeout: Duration,
    pub(super) default_placement: Option<DefaultPlacement>,
}

/// Where topics are put that name no adapter.
#[derive(Clone, Debug)]
pub(super) struct DefaultPlacement {
    pub(super) adapter: String,
    pub(super) connection: String,
}

impl ServerConfig {
    /// The port that is listened on unless another one is given.
    pub const PORT: u16 = 2116;

    /// A server on the loopback address, at [`Self::PORT`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            listen: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), Self::PORT),
            private_webhooks: false,
            live_heartbeat: Duration::from_secs(15),
            live_write_timeout: Duration::from_secs(60),
            default_placement: None,
        }
    }

    /// Listens on this address; port 0 takes any that is free.
    #[must_use]
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
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

    /// Lets webhooks reach addresses that are not public: loopback, private and link-local ones. Who may
    /// register webhooks can reach everything then that this machine can.
    #[must_use]
    pub const fn allow_private_webhooks(mut self, allow: bool) -> Self {
        self.private_webhooks = allow;
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
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self::new()
    }
}
