//! The streams API of EventStoreDB: a table of requests and exact answers, clients that others have
//! published, and what has to hold whatever is done.

mod server;
mod table;
