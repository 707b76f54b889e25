//! What a client can make a server do at most.

use std::time::Duration;

/// What one client, and all of them together, can make a [`Server`](super::Server) hold, and for how long.
///
/// ```
/// # use annals::server::ServerLimits;
/// let limits = ServerLimits { connections: 100, ..ServerLimits::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// The bytes of a request's body: 32 MiB, which is the largest append, its payloads in base64. More is
    /// answered with 413.
    pub body_bytes: u64,
    /// How deeply arrays and objects of a JSON body may be nested: 128. More is answered with 400.
    pub json_depth: u32,
    /// The bytes of a request's headers: 16 KiB. More is answered with 431.
    pub header_bytes: usize,
    /// The headers of a request: 64. More is answered with 431.
    pub headers: usize,
    /// Connections that are open at once: 4,096. Who comes next waits until one of them is closed.
    pub connections: usize,
    /// Requests that are worked on at once, up to where their answers begin: 2,048. More are answered with
    /// 503.
    pub requests: usize,
    /// Streams of one connection of HTTP/2: 128.
    pub streams: u32,
    /// The bytes of all bodies that are worked on at once: 256 MiB. More are answered with 503.
    pub in_flight_bytes: u64,
    /// How long a client may take to send the headers of a request, and to agree on TLS: 10 s. Then the
    /// connection is closed.
    pub header_timeout: Duration,
    /// How long a client may send nothing of a body that it has begun: 30 s. Then it is answered with 408.
    pub body_timeout: Duration,
    /// The bytes of a body that have to come in a second, after the first [`Self::body_timeout`]: 1,024.
    /// Who sends fewer is answered with 408.
    pub body_rate: u64,
    /// How long a client may take nothing of an answer that waits for it: 60 s. Then the connection is closed.
    pub write_timeout: Duration,
    /// How long a connection stays open between two requests: 75 s.
    pub keep_alive: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            json_depth: 128,
            header_bytes: 16 << 10,
            headers: 64,
            connections: 4_096,
            requests: 2_048,
            streams: 128,
            in_flight_bytes: 256 << 20,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_rate: 1_024,
            write_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
        }
    }
}
