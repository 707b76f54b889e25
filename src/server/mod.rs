//! The HTTP server: the store for those who do not write Rust.
//!
//! [`Server`] serves an [`EventStore`](crate::EventStore) that the caller has opened, and closes. It is
//! built over nothing but the public API of the library. What it answers is described in `docs/http.md`
//! of the repository, and by the server itself at `/api/v1/openapi.json`.

mod access;
mod api;
mod config;
mod eventstoredb;
mod files;
mod groups;
mod limits;
mod live;
mod operations;
mod page;
mod problem;
mod serve;
mod state;
mod webhooks;

pub use access::{NewToken, hash_password, new_token};
pub use config::ServerConfig;
pub use limits::ServerLimits;
pub use serve::{Reload, Server};
