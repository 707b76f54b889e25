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
    Create(create::Arguments),
    Update(update::Arguments),
    Move(move_to::Arguments),
    CancelMove(cancel_move::Arguments),
    RemoveFormer(remove_former::Arguments),
    Delete(delete::Arguments),
    Restore(restore::Arguments),
    Purge(purge::Arguments),
    List(list::Arguments),
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
