//! `annals serve`.

mod arguments;
mod credentials;
mod healthcheck;
mod logs;
mod settings;
mod signals;
#[cfg(feature = "otel")]
mod traces;
mod variables;

use std::{io, process::ExitCode};

use annals::{
    ConfigurationStream, EventStore, EventStoreConfig, Limits,
    server::{Server, ServerConfig},
};

pub(crate) use self::arguments::Arguments;
use self::{
    arguments::Task,
    settings::{Settings, Wrong},
    signals::Signals,
    variables::Variables,
};

/// The server could not be started, or broke.
const FAILED: u8 = 1;
/// What it was told makes no sense.
const WRONG: u8 = 2;
/// It was stopped, and requests were cut off because they took too long to finish.
const CUT_OFF: u8 = 7;

/// Why the server ended, other than as it should.
enum Failure {
    Wrong(Wrong),
    Failed(String),
    CutOff(io::Error),
}

pub(crate) async fn serve(arguments: Arguments) -> ExitCode {
    let done = match arguments.task {
        Some(Task::Token) => credentials::token(),
        Some(Task::Password) => credentials::password(),
        Some(Task::Healthcheck { ref url }) => {
            let url = url.clone();
            return healthcheck::check(&arguments.flags, url).await;
        }
        None => run(arguments).await,
    };
    let (code, text) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Wrong(wrong)) => (WRONG, wrong.to_string()),
        Err(Failure::Failed(text)) => (FAILED, text),
        Err(Failure::CutOff(error)) => (CUT_OFF, error.to_string()),
    };
    eprintln!("annals: {text}");
    ExitCode::from(code)
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<annals::Error> for Failure {
    fn from(error: annals::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = Settings::gather(arguments.flags)?;
    if arguments.print_config {
        print!("{}", settings.to_toml()?);
        return Ok(());
    }
    // Heard from the beginning: a store can take a while to open.
    let signals = Signals::listen()?;
    let _logs = logs::begin(&settings)?;
    let store = tokio::select! {
        biased;
        () = signals.stop() => return Ok(()),
        store = EventStore::open(store_config(&settings)?) => store?,
    };
    let served = listen(&store, &settings, signals).await;
    let closed = store.close().await;
    served?;
    Ok(closed?)
}

async fn listen(store: &EventStore, settings: &Settings, signals: Signals) -> Result<(), Failure> {
    let server = Server::bind(store, server_config(settings)?).await;
    let server = server.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => {
            Failure::Wrong(Wrong::new(error.to_string()))
        }
        _ => Failure::Failed(format!("{}: {error}", settings.listen())),
    })?;
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let address = server.address()?;
    println!("listening on {scheme}://{address}");
    tracing::info!(%address, scheme, "the server listens");
    let stop = signals.stop();
    signals.reload_with(server.reload());
    let served = server.serve(stop).await;
    served.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::CutOff(error),
        _ => error.into(),
    })
}

fn store_config(settings: &Settings) -> Result<EventStoreConfig, Wrong> {
    let place = settings.configuration()?;
    let mut stream = ConfigurationStream::new(place.adapter, place.connection);
    for (key, value) in place.options {
        stream = stream.option(key, value);
    }
    let mut limits = Limits::default();
    if let Some(bytes) = settings.limits.payload_bytes {
        limits.payload_bytes = bytes;
    }
    let variables = Variables::of(settings)?;
    let config = EventStoreConfig::new(stream)
        .limits(limits)
        .resolver(move |name| variables.get(name));
    Ok(if settings.allow_plain_secrets {
        config.allow_plain_secrets()
    } else {
        config
    })
}

fn server_config(settings: &Settings) -> Result<ServerConfig, Wrong> {
    let place = settings.default_placement()?;
    let variables = Variables::of(settings)?;
    let mut config = ServerConfig::new()
        .webhook_secrets(move |name| variables.get(name))
        .listen(settings.listen())
        .limits(settings.limits.server()?)
        .drain(settings.drain()?)
        .default_placement(place.adapter, place.connection)
        .allow_private_webhooks(settings.allow_private_webhooks);
    if let Some(tls) = &settings.tls {
        config = config.tls(&tls.certificate, &tls.key);
    }
    if let Some(path) = &settings.access_file {
        config = config.access_file(path);
    }
    if settings.insecure_plain_http {
        config = config.insecure_plain_http();
    }
    if settings.insecure_open_access {
        config = config.insecure_open_access();
    }
    if settings.public_metrics {
        config = config.public_metrics();
    }
    for host in &settings.allowed_hosts {
        config = config.allow_host(host);
    }
    Ok(config)
}
