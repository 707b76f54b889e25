//! What `annals serve` is told by flags and by the environment.

use std::{net::SocketAddr, path::PathBuf};

use super::logs::Format;

/// Serve a store over HTTP.
///
/// Everything can be given by flags, by variables of the environment and by a file in TOML; flags win over
/// variables, and variables over the file. Without any of it the store is in the directory `annals-data`, and
/// is served to this machine only.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(super) task: Option<Task>,
    #[command(flatten)]
    pub(super) flags: Flags,
    /// Print what would be served with, as a configuration file, and end.
    #[arg(long)]
    pub(super) print_config: bool,
}

const EXAMPLES: &str = "\
Examples:
  annals serve
  annals serve --data /var/lib/annals --listen 127.0.0.1:8080
  annals serve --listen 0.0.0.0:2116 --tls-certificate cert.pem --tls-key key.pem --access-file access.toml
  annals serve --config /etc/annals.toml --print-config

Exit codes:
  0 stopped, and all that was accepted is done   1 failed   2 wrong usage or settings
  7 stopped, and requests were cut off as they took too long   130, 143 ended at once by a second signal";

/// What can be done beside serving.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Task {
    /// Make a token for an access file: the token itself, and its hash.
    Token,
    /// Hash a password for an access file; it is read from standard input.
    Password,
    /// Ask a server that runs here whether it is ready; ends with 0 if so, and 1 if not.
    Healthcheck {
        /// Where it listens; unless given, what the settings say.
        url: Option<String>,
    },
}

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Flags {
    /// A file of settings, in TOML.
    #[arg(long, value_name = "FILE", env = "ANNALS_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// The directory of the configuration stream, and of topics that name no other place [default:
    /// annals-data].
    #[arg(long, value_name = "DIR", env = "ANNALS_DATA")]
    pub(super) data: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:2116].
    #[arg(long, value_name = "ADDRESS", env = "ANNALS_LISTEN")]
    pub(super) listen: Option<SocketAddr>,
    /// Where the configuration stream is, if it is not in files: `postgres`, `blob`, `memory`.
    #[arg(
        long,
        value_name = "ADAPTER",
        env = "ANNALS_CONFIGURATION_ADAPTER",
        requires = "configuration_connection"
    )]
    pub(super) configuration_adapter: Option<String>,
    /// Its directory or URL; `${NAME}` in it stands for a variable of the environment.
    #[arg(
        long,
        value_name = "CONNECTION",
        env = "ANNALS_CONFIGURATION_CONNECTION",
        hide_env_values = true,
        requires = "configuration_adapter"
    )]
    pub(super) configuration_connection: Option<String>,
    /// An option of its adapter; may be repeated.
    #[arg(
        long = "configuration-option",
        value_name = "KEY=VALUE",
        env = "ANNALS_CONFIGURATION_OPTIONS",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = key_and_value
    )]
    pub(super) configuration_options: Vec<(String, String)>,
    /// Allow passwords that stand in connections as they are; they are recorded then.
    #[arg(long, env = "ANNALS_ALLOW_PLAIN_SECRETS")]
    pub(super) allow_plain_secrets: bool,
    #[command(flatten)]
    pub(super) security: SecurityFlags,
    /// A limit, by its name in the file; may be repeated.
    #[arg(
        long = "limit",
        value_name = "NAME=VALUE",
        env = "ANNALS_LIMITS",
        value_delimiter = ',',
        value_parser = key_and_value
    )]
    pub(super) limits: Vec<(String, String)>,
    /// How long requests that were accepted may take to finish when the server stops [default: 30].
    #[arg(long, value_name = "SECONDS", env = "ANNALS_DRAIN_SECONDS")]
    pub(super) drain_seconds: Option<f64>,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `info,annals=debug` [default: info].
    #[arg(long, value_name = "LEVEL", env = "ANNALS_LOG")]
    pub(super) log: Option<String>,
    /// How it is logged, on standard error [default: text].
    #[arg(long, value_name = "FORMAT", env = "ANNALS_LOG_FORMAT")]
    pub(super) log_format: Option<Format>,
    /// Where traces are sent by OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces. Needs a build with
    /// the feature `otel`.
    #[arg(long, value_name = "URL", env = "ANNALS_TRACES_ENDPOINT")]
    pub(super) traces_endpoint: Option<String>,
}

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Security")]
pub(super) struct SecurityFlags {
    /// The certificate, and those that lead to it, in PEM. It is read again when it changes.
    #[arg(long, value_name = "FILE", env = "ANNALS_TLS_CERTIFICATE")]
    pub(super) tls_certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE", env = "ANNALS_TLS_KEY")]
    pub(super) tls_key: Option<PathBuf>,
    /// Who may do what, in TOML. It is read again when it changes. Without it everybody may do everything.
    #[arg(long, value_name = "FILE", env = "ANNALS_ACCESS_FILE")]
    pub(super) access_file: Option<PathBuf>,
    /// Speak plain HTTP with other machines too: whoever is between sees all events and all credentials.
    #[arg(long, env = "ANNALS_INSECURE_PLAIN_HTTP")]
    pub(super) insecure_plain_http: bool,
    /// Let everybody who reaches the address do everything, from other machines too.
    #[arg(long, env = "ANNALS_INSECURE_OPEN_ACCESS")]
    pub(super) insecure_open_access: bool,
    /// A host, beside this machine's own names, that requests may be sent to; may be repeated.
    #[arg(
        long = "allowed-host",
        value_name = "HOST",
        env = "ANNALS_ALLOWED_HOSTS",
        value_delimiter = ','
    )]
    pub(super) allowed_hosts: Vec<String>,
    /// Show /metrics to everybody who reaches the address.
    #[arg(long, env = "ANNALS_PUBLIC_METRICS")]
    pub(super) public_metrics: bool,
    /// Let webhooks reach addresses that are not public.
    #[arg(long, env = "ANNALS_ALLOW_PRIVATE_WEBHOOKS")]
    pub(super) allow_private_webhooks: bool,
    /// A variable of the environment that connections, options and secrets of webhooks may name as
    /// `${NAME}`, beside those that the server's own settings name; with `*` at its end, all that begin so.
    /// May be repeated.
    #[arg(
        long = "variable",
        value_name = "NAME",
        env = "ANNALS_VARIABLES",
        value_delimiter = ','
    )]
    pub(super) variables: Vec<String>,
}

/// `KEY=VALUE`.
fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE is expected".to_owned()),
    }
}
