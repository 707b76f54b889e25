//! The HTTP API: topics, events, streams, sync, CloudEvents and the description, against the real
//! server over the loopback.

#[path = "../http/mod.rs"]
mod http;
#[path = "../servers/mod.rs"]
mod servers;

mod append;
mod cloud_events;
mod connections;
mod errors;
mod exact;
mod lines;
mod moves;
mod openapi;
mod outage;
mod read;
mod streams;
mod sync;
mod topics;

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
