//! What apps need that work offline: what has changed since they looked last, and a way to hand in
//! what they have made meanwhile.
//!
//! Built on what every user has.

mod changes;
mod push;
