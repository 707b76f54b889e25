//! The `postgres` repository: topics in a PostgreSQL database, 14 or newer.
//!
//! A connection is a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`. Each topic has a
//! table of its own that can be read in SQL, beside a table of all topics, in one schema. Any number
//! of processes append to a topic at once. A pooler on the way to the server has to keep sessions
//! (`pool_mode = session` in PgBouncer); one that does not is refused.
//!
//! | option | values | default |
//! | --- | --- | --- |
//! | `schema` | the schema in which the tables are; made where it is missing | `annals` |
//! | `table` | what the table of the topic is called, up to 40 bytes; where the name is taken, a number follows it | the topic's name |
//! | `read_connections` | 1 to 1000: the most connections that reads take | 8 |
//! | `append_connections` | 1 to 1000: the most connections that appends take | 4 |
//! | `connect_timeout_ms` | 100 to 600000: how long a call waits for a connection | 5000 |
//! | `statement_timeout_ms` | 100 to 3600000: how long a statement may take | 30000 |
//! | `lock_timeout_ms` | 100 to 3600000: how long an append waits for those of other processes | 10000 |
//! | `outcome_timeout_ms` | 0 to 600000: how long the outcome of an append is looked for after its connection was lost | 5000 |
//! | `application_name` | what the server shows of the connections | `annals` |
//! | `unsafe_allow_not_durable` | `true`, `false`: use a server although a crash of it may lose what was acknowledged | `false` |
//!
//! All but `table` belong to the repository: topics in which they differ have connections of their
//! own. They may also stand in the URL, as `?annals.schema=…`.
//!
//! A newer build brings the schema to its version when it opens the repository, and a topic when it uses it
//! first. End processes of older builds before: from then on their calls fail, or find a topic that they do
//! not know. A read-only store changes nothing, and tells where something has to be upgraded.
//!
//! `ARCHITECTURE.md` shows the tables, and tells how an append goes and what happens when a
//! connection is lost.

mod catalog;
mod checkpoints;
mod codec;
mod connection;
mod errors;
mod factory;
mod facts;
mod filter;
mod group;
mod health;
mod import;
mod listener;
mod names;
mod notifier;
mod options;
mod pages;
mod pooler;
mod reader;
mod reading;
mod repository;
mod rows;
mod schema;
mod sessions;
mod shared;
mod topic;
mod topics;
mod upgrade;
mod verify;
mod wait;
mod way;
mod writer;

pub use checkpoints::PostgresCheckpoints;
pub use factory::PostgresFactory;
pub use repository::PostgresRepository;
/// The package with whose transactions [`PostgresCheckpoints`] works.
pub use sqlx;
