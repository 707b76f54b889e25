//! The streams API of EventStoreDB: a table of requests and exact answers, clients that others have
//! published, subscribers that poll, and what has to hold whatever is done.

mod clients;
mod control;
mod pausing;
mod polling;
mod properties;
mod races;
mod server;
mod table;
