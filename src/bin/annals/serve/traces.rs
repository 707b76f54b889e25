//! Traces, sent to an OpenTelemetry collector by OTLP over HTTP.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::Level;
use tracing_subscriber::{Layer, Registry, filter::Targets};

use super::settings::Wrong;

/// Sends traces until it is dropped, and then what still waits.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    pub(super) fn begin(endpoint: &str) -> Result<Self, Wrong> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| Wrong::new(format!("traces: {error}")))?;
        let resource = Resource::builder().with_service_name("annals").build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// The spans of requests, and of what the store does for them.
    pub(super) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let spans = Targets::new().with_target("annals", Level::DEBUG);
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("annals"))
            .with_filter(spans)
            .boxed()
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // A collector that is gone does not keep the server from ending; that it was gone is in the log.
        let _ = self.0.shutdown();
    }
}
