//! `annals types`.

use std::{cmp::Reverse, collections::BTreeMap};

use annals::{Position, Read};
use futures_util::TryStreamExt as _;
use serde_json::json;

use super::{
    common::{Access, Common},
    failure::Failure,
    filter::Filter,
    progress,
    session::{Output, Session},
    show::count,
};

/// The most types that are counted, so that memory is bounded whatever a topic holds.
const MOST: usize = 100_000;

/// Count the events of a topic by type, the most frequent first.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// Only events after this position.
    #[arg(
        long,
        value_name = "POSITION",
        default_value_t = 0,
        hide_default_value = true
    )]
    after: u64,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals types orders
  annals types orders --stream-prefix order- --since 2026-11-01T00:00:00Z";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Read).await?;
        let head = store.get_latest_version(&self.topic).await?;
        let bar = progress::events(&self.common, "counting", head.get());
        let read = Read::all()
            .after(Position::new(self.after))
            .filter(self.filter.events());
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut events = store.read_events(&self.topic, read);
        while let Some(event) = events.try_next().await? {
            bar.set_position(event.position.get());
            let kind = event.event_type.as_str();
            if let Some(count) = counts.get_mut(kind) {
                *count += 1;
                continue;
            }
            if counts.len() >= MOST {
                let reason = format!("the topic has more than {MOST} types; use a filter");
                return Err(Failure::other(reason));
            }
            counts.insert(kind.to_owned(), 1);
        }
        bar.finish_and_clear();
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(*count));
        let mut out = Output::new();
        for (kind, number) in counts {
            let line = if self.common.json {
                json!({ "type": kind, "count": number }).to_string()
            } else {
                format!("{:>14}  {kind}", count(number))
            };
            out.line(line.as_bytes())?;
        }
        out.flush()
    }
}
