//! How the server is run: who is let in, what is limited, how it starts, stops, and tells how it is. The real
//! server and the real program, over loopback.

mod access;
mod browsers;
mod canary;
mod health;
mod limits;
mod measured;
mod program;
mod routes;
mod settings;
mod shutdown;
mod tls;
#[cfg(feature = "otel")]
mod traces;
mod world;
