//! Which events a command looks at.

use annals::{EventFilter, Timestamp};

/// Which events: all criteria are met together.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Filter")]
pub(crate) struct Filter {
    /// Only events of this type; may be repeated: any of them.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only events with this tag; may be repeated: all of them.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only events of streams whose id begins with this.
    #[arg(long, value_name = "PREFIX")]
    stream_prefix: Option<String>,
    /// Only events recorded at this moment or later (RFC 3339, like 2026-11-21T14:20:00Z).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only events recorded at this moment or earlier.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

impl Filter {
    pub(crate) fn events(&self) -> EventFilter {
        let mut filter = EventFilter::all()
            .types(self.types.clone())
            .tags(self.tags.clone());
        if let Some(prefix) = &self.stream_prefix {
            filter = filter.stream_prefix(prefix);
        }
        if let Some(since) = self.since {
            filter = filter.recorded_since(since);
        }
        match self.until {
            Some(until) => filter.recorded_until(until),
            None => filter,
        }
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "a moment like 2026-11-21T14:20:00Z is expected".to_owned())
}
