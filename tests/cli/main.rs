//! The program `annals`, run as a person or a script runs it: real processes, real files, a real database.

#![cfg(test)]

#[path = "../kinds/mod.rs"]
mod kinds;
#[path = "../servers/mod.rs"]
mod servers;

mod appending;
mod backups;
mod doctoring;
mod exporting;
mod import_events;
mod interrupted;
mod reading;
mod run;
mod topics;
mod usage;
