//! Sagas: whatever happens, each is done or undone to the end, and each of its effects counts once.

#![cfg(all(
    feature = "cqrs",
    feature = "file",
    feature = "postgres",
    feature = "blob",
    feature = "testing"
))]
#![cfg(test)]

mod kills;
#[path = "../kinds/mod.rs"]
mod kinds;
mod odd;
mod pure;
mod restarts;
mod run;
#[path = "../servers/mod.rs"]
mod servers;
mod world;
