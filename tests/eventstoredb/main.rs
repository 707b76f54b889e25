//! The streams API of EventStoreDB: a table of requests and exact answers, clients that others have
//! published, subscribers that poll, and what has to hold whatever is done.

mod clients;
mod polling;
mod properties;
mod server;
mod table;
