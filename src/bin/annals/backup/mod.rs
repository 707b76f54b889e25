//! Backups of a whole store: `annals backup` writes one, `annals restore` reads it.

pub(crate) mod create;
mod digest;
mod manifest;
pub(crate) mod restore;
