//! Imports events from a file of JSON lines into a topic, and looks at what is there.
//!
//! A line is `{"stream", "type", "id", "time", "tags", "data"}`. Lines are appended in order, some
//! hundred at a time; importing a file again records nothing twice.

mod line;
mod look;
mod record;

use std::{path::PathBuf, process::ExitCode};

use annals::{ConfigurationStream, Error, EventStore, EventStoreConfig, TopicConfig};
use clap::Parser;

/// Imports a file of JSON lines into a topic, or looks at what is there.
#[derive(Debug, Parser)]
#[command(name = "import")]
struct Arguments {
    /// The file to import.
    file: Option<PathBuf>,
    /// The topic; it is created if it is not there.
    #[arg(long, default_value = "events")]
    topic: String,
    /// The kind of repository.
    #[arg(long, default_value = "file")]
    adapter: String,
    /// The repository's address: for files, a directory; for postgres, a URL. Passwords stand in it
    /// by reference, as `${DATABASE_URL}`.
    #[arg(long, default_value = "")]
    connection: String,
    /// How many lines are appended together.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Stop at the first bad line instead of skipping it.
    #[arg(long)]
    strict: bool,
    /// List the types of events, with how many there are of each.
    #[arg(long)]
    types: bool,
    /// List the streams, with how many events each has.
    #[arg(long)]
    streams: bool,
    /// Show the events of one stream.
    #[arg(long, value_name = "ID")]
    stream: Option<String>,
    /// Show the events that have a tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl Arguments {
    fn looks(&self) -> bool {
        self.types || self.streams || self.stream.is_some() || self.tag.is_some()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprint!("import: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                eprint!(": {inner}");
                cause = inner.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; `false` where a strict import has stopped at a bad line.
async fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    if arguments.file.is_none() && !arguments.looks() {
        return Err(
            "give a FILE to import, or one of --types, --streams, --stream ID, --tag TAG".into(),
        );
    }
    let stream = ConfigurationStream::new(&arguments.adapter, &arguments.connection);
    let mut config = EventStoreConfig::new(stream);
    if arguments.file.is_none() {
        config = config.read_only();
    }
    let store = EventStore::open(config).await?;
    let mut complete = true;
    if let Some(file) = &arguments.file {
        let topic = TopicConfig::new(&arguments.topic, &arguments.adapter, &arguments.connection);
        match store.create_topic(topic).await {
            Ok(_) | Err(Error::TopicAlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let import = record::Import::new(
            &store,
            &arguments.topic,
            arguments.batch.into(),
            arguments.strict,
        );
        complete = import.run(file).await?;
    }
    look::look(&store, arguments).await?;
    store.close().await?;
    Ok(complete)
}
