//! The `memory` repository: topics that live as long as the store.
//!
//! Events are kept as records in blocks that grow at the end, so that a reader shares them without
//! copying, and a million small events cost little more than their bytes. Readers hold the lock of
//! a topic only while they collect one page. What it promises of durability (P1) is nothing: all is
//! gone when the store is.

mod factory;
mod log;
mod pages;
mod part;
mod repository;

pub use factory::MemoryFactory;
pub use repository::MemoryRepository;
