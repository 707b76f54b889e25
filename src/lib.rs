//! Annals, an embeddable event store.

pub mod models;
pub mod repository;
#[cfg(feature = "testing")]
pub mod testing;

pub use models::*;
