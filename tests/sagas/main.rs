//! Sagas: whatever happens, each is done or undone to the end, and each of its effects counts once.

#![cfg(all(feature = "cqrs", feature = "file", feature = "testing"))]
#![cfg(test)]

mod pure;
