//! Annals, an embeddable event store.

pub mod models;
pub mod repository;

pub use models::*;
