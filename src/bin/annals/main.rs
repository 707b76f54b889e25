//! The program `annals`: an event store on the command line, and as a server.

mod append;
mod backup;
mod command;
mod common;
mod completions;
mod doctor;
mod export;
mod failure;
mod filter;
mod import;
mod lines;
mod place;
mod progress;
mod read;
#[cfg(feature = "server")]
mod serve;
mod session;
mod show;
mod streams;
mod tail;
mod topic;
mod types;
mod verify;

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;

use self::{command::Program, failure::Failure, session::Session};

/// How long what still runs in the background may take when all is done. What was accepted is
/// recorded by then; only a read of the terminal may still wait for its next line.
const LEFTOVERS: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => return failure::of_arguments(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::other(format!("the runtime cannot be started: {error}")).report();
        }
    };
    let code = runtime.block_on(run(program));
    runtime.shutdown_timeout(LEFTOVERS);
    code
}

async fn run(program: Program) -> ExitCode {
    let command = match program.command.into_server() {
        #[cfg(feature = "server")]
        Ok(arguments) => return serve::serve(arguments).await,
        #[cfg(not(feature = "server"))]
        Ok(never) => match never {},
        Err(command) => command,
    };
    let session = Session::new();
    let done = tokio::select! {
        biased;
        done = command.run(&session) => done,
        () = session.cut() => Err(Failure::interrupted()),
    };
    let closed = session.close().await;
    match done.and(closed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
