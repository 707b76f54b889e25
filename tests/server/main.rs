//! The HTTP API: topics, events, streams, sync, CloudEvents and the description, against the real
//! server over the loopback.

#[path = "../http/mod.rs"]
mod http;
#[path = "../servers/mod.rs"]
mod servers;

mod append;
mod topics;
