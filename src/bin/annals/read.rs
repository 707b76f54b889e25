//! `annals read`.

use annals::{Position, Read, Version};
use futures_util::TryStreamExt as _;

use super::{
    common::{Access, Common},
    failure::Failure,
    filter::Filter,
    session::Session,
    show::{Format, Printer},
};

/// Read events.
///
/// Prints one JSON object a line, in the order of the topic, and ends at the event that was the last when
/// it began. Works beside a process that writes to the store.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// Only events of this stream ('' is the default stream); may be repeated.
    #[arg(long = "stream", value_name = "STREAM")]
    streams: Vec<String>,
    /// Only events after this position.
    #[arg(
        long,
        value_name = "POSITION",
        default_value_t = 0,
        hide_default_value = true
    )]
    after: u64,
    /// Only events up to this position.
    #[arg(long, value_name = "POSITION")]
    up_to: Option<u64>,
    /// Only events after this version of the one stream.
    #[arg(long, value_name = "VERSION", requires = "streams")]
    after_version: Option<u64>,
    /// Only events up to this version of the one stream.
    #[arg(long, value_name = "VERSION", requires = "streams")]
    up_to_version: Option<u64>,
    /// From the last to the first.
    #[arg(long)]
    backward: bool,
    /// At most this many events.
    #[arg(long, short = 'n', value_name = "EVENTS")]
    limit: Option<u64>,
    /// Read a stream although it was deleted.
    #[arg(long)]
    include_deleted: bool,
    /// How to print them.
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    format: Format,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals read orders
  annals read orders --stream order-42 --format table
  annals read orders --type OrderPaid --since 2026-11-01T00:00:00Z | jq .data
  annals read orders --tag customer:7 --backward --limit 10";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let read = self.read()?;
        let store = session.open(&self.common, Access::Read).await?;
        let mut events = store.read_events(&self.topic, read);
        let mut printer: Option<Printer> = None;
        while let Some(event) = events.try_next().await? {
            let printer = match &mut printer {
                Some(printer) => printer,
                none => none.insert(Printer::new(self.format)?),
            };
            printer.event(&event)?;
        }
        match printer {
            Some(mut printer) => printer.out.flush(),
            None => Ok(()),
        }
    }

    fn read(&self) -> Result<Read, Failure> {
        let filter = self.filter.events();
        let mut read = match self.streams.as_slice() {
            [] => Read::all().filter(filter),
            [stream] => Read::stream(stream).filter(filter),
            streams if self.after_version.is_none() && self.up_to_version.is_none() => {
                Read::all().filter(filter.streams(streams))
            }
            _ => return Err(Failure::usage("versions are those of one stream")),
        };
        read = read.after(Position::new(self.after));
        if let Some(up_to) = self.up_to {
            read = read.up_to(Position::new(up_to));
        }
        if let Some(version) = self.after_version {
            read = read.after_version(Version::new(version));
        }
        if let Some(version) = self.up_to_version {
            read = read.up_to_version(Version::new(version));
        }
        if self.backward {
            read = read.backward();
        }
        if let Some(limit) = self.limit {
            read = read.limit(limit);
        }
        Ok(if self.include_deleted {
            read.include_deleted()
        } else {
            read
        })
    }
}
