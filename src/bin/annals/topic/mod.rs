//! `annals topic`: the topics of a store.

mod cancel_move;
mod create;
mod delete;
mod list;
mod move_to;
mod purge;
mod remove_former;
mod restore;
mod show;
mod update;

use clap::Subcommand;

use super::{failure::Failure, session::Session};

/// Create, change, move, delete and list topics.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a topic.
    Create(create::Arguments),
    /// Change the options of a topic.
    Update(update::Arguments),
    /// Move a topic with all its events to another repository, while it is in use.
    Move(move_to::Arguments),
    /// End the move of a topic: it stays where it was.
    CancelMove(cancel_move::Arguments),
    /// Remove the storage that a topic has left by moving.
    RemoveFormer(remove_former::Arguments),
    /// Delete a topic: it is hidden, and can be restored.
    Delete(delete::Arguments),
    /// Bring back a deleted topic.
    Restore(restore::Arguments),
    /// Erase the deleted topics of a name, with their events, for good.
    Purge(purge::Arguments),
    /// List topics.
    List(list::Arguments),
    /// Show one topic.
    Show(show::Arguments),
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self.command {
            Command::Create(arguments) => arguments.run(session).await,
            Command::Update(arguments) => arguments.run(session).await,
            Command::Move(arguments) => arguments.run(session).await,
            Command::CancelMove(arguments) => arguments.run(session).await,
            Command::RemoveFormer(arguments) => arguments.run(session).await,
            Command::Delete(arguments) => arguments.run(session).await,
            Command::Restore(arguments) => arguments.run(session).await,
            Command::Purge(arguments) => arguments.run(session).await,
            Command::List(arguments) => arguments.run(session).await,
            Command::Show(arguments) => arguments.run(session).await,
        }
    }
}
