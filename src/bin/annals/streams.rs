//! `annals streams`.

use annals::{EventFilter, EventStore, Position, Read, RecordedEvent, StreamState, Version};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use super::{
    common::{Access, Common},
    failure::Failure,
    session::{Output, Session},
};

/// How many streams are asked for their state at a time.
const AT_ONCE: usize = 16;

/// List the streams of a topic, in the order in which they began.
///
/// Each with its version, when it began, and whether it is deleted. Memory does not grow with their
/// number.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// Only streams whose id begins with this.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Only streams that began after this position.
    #[arg(
        long,
        value_name = "POSITION",
        default_value_t = 0,
        hide_default_value = true
    )]
    after: u64,
    /// At most this many streams.
    #[arg(long, short = 'n', value_name = "STREAMS")]
    limit: Option<usize>,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals streams orders
  annals streams orders --prefix order- --limit 20
  annals streams orders --json | jq -r 'select(.deleted | not) | .stream'";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Read).await?;
        let mut filter = EventFilter::all();
        if let Some(prefix) = &self.prefix {
            filter = filter.stream_prefix(prefix);
        }
        let read = Read::all().after(Position::new(self.after)).filter(filter);
        let first = Version::NONE.next();
        // A stream is met at its first event, so those that were met need not be remembered.
        let mut streams = store
            .read_events(&self.topic, read)
            .try_filter(|event| std::future::ready(event.version == first))
            .take(self.limit.unwrap_or(usize::MAX))
            .map_ok(|event| self.with_state(&store, event))
            .try_buffered(AT_ONCE);
        let mut out = Output::new();
        while let Some((event, state)) = streams.try_next().await? {
            out.line(self.line(&event, state).as_bytes())?;
        }
        out.flush()
    }

    async fn with_state(
        &self,
        store: &EventStore,
        event: RecordedEvent,
    ) -> annals::Result<(RecordedEvent, StreamState)> {
        let state = store.get_stream(&self.topic, event.stream.as_str()).await?;
        Ok((event, state))
    }

    fn line(&self, event: &RecordedEvent, state: StreamState) -> String {
        if self.common.json {
            return json!({
                "stream": event.stream.as_str(),
                "version": state.version.get(),
                "deleted": state.deleted,
                "createdAt": event.recorded_at.to_string(),
                "createdPosition": event.position.get(),
            })
            .to_string();
        }
        let deleted = if state.deleted { "  deleted" } else { "" };
        let name = if event.stream.is_default() {
            "(default stream)"
        } else {
            event.stream.as_str()
        };
        let version = state.version.get();
        format!("{version:>10}  {}  {name}{deleted}", event.recorded_at)
    }
}
