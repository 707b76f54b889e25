//! All commands, and how they are asked for.

use clap::{Parser, Subcommand};

use super::{
    append, backup, completions, doctor, export, failure::Failure, import, read, session::Session,
    streams, tail, topic, types, verify,
};

/// An event store on the command line, and as a server.
///
/// Topics hold events; each topic is in files, in PostgreSQL or in an object store. A store is opened by
/// its configuration stream, which is in the directory `annals-data` unless `--data`, or
/// `--configuration-adapter` and `--configuration-connection`, name another place.
#[derive(Debug, Parser)]
#[command(
    name = "annals",
    version,
    propagate_version = true,
    after_help = EXAMPLES,
)]
pub(crate) struct Program {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  annals topic create orders
  echo '{\"type\":\"OrderPlaced\",\"data\":{\"total\":42}}' | annals append orders --stream order-1
  annals read orders --stream order-1
  annals tail orders --type OrderPlaced
  annals export orders > orders.ndjson

Exit codes:
  0 done   1 failed   2 wrong usage or input   3 not found   4 conflict with what is there
  5 unavailable, try again   6 damaged data   130 interrupted";

/// Each is described where its arguments are.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Topic(topic::Arguments),
    Append(append::Arguments),
    Read(read::Arguments),
    Tail(tail::Arguments),
    Streams(streams::Arguments),
    Types(types::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Verify(verify::Arguments),
    Doctor(doctor::Arguments),
    Backup(backup::create::Arguments),
    Restore(backup::restore::Arguments),
    Completions(completions::Arguments),
    #[cfg(feature = "server")]
    Serve(super::serve::Arguments),
}

#[cfg(feature = "server")]
type Server = super::serve::Arguments;
#[cfg(not(feature = "server"))]
type Server = std::convert::Infallible;

impl Command {
    /// The server is no command like the others: it has its own way to end.
    pub(crate) fn into_server(self) -> Result<Server, Box<Self>> {
        match self {
            #[cfg(feature = "server")]
            Self::Serve(arguments) => Ok(arguments),
            other => Err(Box::new(other)),
        }
    }

    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Topic(arguments) => arguments.run(session).await,
            Self::Append(arguments) => arguments.run(session).await,
            Self::Read(arguments) => arguments.run(session).await,
            Self::Tail(arguments) => arguments.run(session).await,
            Self::Streams(arguments) => arguments.run(session).await,
            Self::Types(arguments) => arguments.run(session).await,
            Self::Export(arguments) => arguments.run(session).await,
            Self::Import(arguments) => arguments.run(session).await,
            Self::Verify(arguments) => arguments.run(session).await,
            Self::Doctor(arguments) => arguments.run(session).await,
            Self::Backup(arguments) => arguments.run(session).await,
            Self::Restore(arguments) => arguments.run(session).await,
            Self::Completions(arguments) => arguments.run(),
            #[cfg(feature = "server")]
            Self::Serve(_) => Err(Failure::other("the server is started elsewhere")),
        }
    }
}
