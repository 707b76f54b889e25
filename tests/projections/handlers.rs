//! Handlers with checkpoints.
