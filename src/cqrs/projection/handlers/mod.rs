//! Read models elsewhere: handlers that are given events, and checkpoints of what they have handled.

mod failure;
pub(super) mod generations;
mod handle;
mod handler;
mod input;
mod parked;
mod project;
mod seen;
mod settings;
pub(super) mod sink;
mod supervisor;
mod worker;

pub use self::{
    handle::{Projecting, ProjectionStatus},
    handler::Projection,
    parked::ParkedEvent,
    project::Project,
    settings::OnFailure,
};
