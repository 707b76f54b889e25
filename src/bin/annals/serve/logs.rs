//! What the server does is logged on standard error, and sent on as traces where that is asked for.

use std::io::{self, IsTerminal as _};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::settings::{Settings, Wrong};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    #[default]
    Text,
    Json,
}

#[cfg(feature = "otel")]
type Traces = super::traces::Traces;
#[cfg(not(feature = "otel"))]
type Traces = ();

type Boxed = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// Begins to log. What is returned is kept until the program ends: it sends on what waits.
pub(super) fn begin(settings: &Settings) -> Result<Option<Traces>, Wrong> {
    let level = settings.log.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(directives(level))
        .map_err(|error| Wrong::new(format!("log: {error}")))?;
    let layer = fmt::layer().with_writer(io::stderr);
    let lines: Boxed = match settings.log_format.unwrap_or_default() {
        Format::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => layer.json().boxed(),
    };
    let mut layers = vec![lines.with_filter(filter).boxed()];
    let traces = traces(settings, &mut layers)?;
    let begun = tracing_subscriber::registry().with(layers).try_init();
    begun.map_err(|error| Wrong::new(format!("log: {error}")))?;
    Ok(traces)
}

/// A mere level is one of our own: what libraries below say in detail drowns it.
fn directives(level: &str) -> String {
    match level {
        "debug" | "trace" => format!("info,annals={level}"),
        other => other.to_owned(),
    }
}

#[cfg(feature = "otel")]
fn traces(settings: &Settings, layers: &mut Vec<Boxed>) -> Result<Option<Traces>, Wrong> {
    let Some(endpoint) = &settings.traces_endpoint else {
        return Ok(None);
    };
    let traces = Traces::begin(endpoint)?;
    layers.push(traces.layer());
    Ok(Some(traces))
}

#[cfg(not(feature = "otel"))]
fn traces(settings: &Settings, _layers: &mut Vec<Boxed>) -> Result<Option<Traces>, Wrong> {
    match settings.traces_endpoint {
        Some(_) => Err(Wrong::new(
            "this program was built without traces: it needs the feature `otel`",
        )),
        None => Ok(None),
    }
}
