//! Topics in an object store: Amazon S3 and what speaks like it, Azure Blob Storage, Google Cloud
//! Storage, a local directory, or memory.
//!
//! A connection is a URL: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` (and
//! their usual variants), `file:///DIRECTORY` or `memory:///NAME`. Any number of processes append to a
//! topic at once, with nothing else than the store: it has to refuse to put an object where there is
//! one (conditional put), which is asked when the repository is opened.
//!
//! Options stand in the URL's query or with the topic. Those of the store are what the
//! [`object_store`] crate knows for its kind, such as `region`, `endpoint`, `access_key_id`,
//! `secret_access_key`, `account_name`, `account_key`, `service_account`, `allow_http`. What is not
//! given is taken from the environment (`AWS_ACCESS_KEY_ID` and so on), and from the machine's own
//! credentials. These are the repository's own:
//!
//! | option | values | default |
//! | --- | --- | --- |
//! | `grace_ms` | 1,000 to 604,800,000 | 3,600,000; `file` 600,000; `memory` 60,000 |
//! | `outcome_timeout_ms` | 0 to 600,000 | 20,000 |
//! | `retry_timeout_ms` | 0 to 600,000 | 20,000 |
//! | `request_timeout_ms` | 100 to 600,000 | 30,000 |
//! | `connect_timeout_ms` | 100 to 600,000 | 5,000 |
//! | `compact_slots` | 2 to 4,096 | 256 |
//! | `compact_bytes` | 4,096 to 67,108,864 | 8,388,608 |
//!
//! `grace_ms` is how long what was merged is kept for those who do not know that yet. A process that
//! stands still for longer than a quarter of it asks the store before it acknowledges anything. A topic
//! keeps the one that it was created with.

mod collection;
mod commit;
mod committer;
mod compaction;
mod connection;
mod core;
mod deciding;
mod desk;
mod factory;
mod failure;
mod import;
mod keys;
mod looks;
mod manifest;
mod mark;
mod merge;
mod objects;
mod options;
mod pace;
mod pages;
mod part;
mod removal;
mod repository;
mod request;
mod segment;
mod shared;
mod slot;
mod slots;
mod streams;
mod tail;
mod topic;
mod verify;
mod view;

pub use factory::BlobFactory;
pub use repository::BlobRepository;
