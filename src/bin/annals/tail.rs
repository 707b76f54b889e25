//! `annals tail`.

use annals::{Position, Signal, Subscribe};
use futures_util::TryStreamExt as _;

use super::{
    common::{Access, Common},
    failure::Failure,
    filter::Filter,
    session::Session,
    show::{Format, Printer},
};

/// Follow a topic: print new events as they are recorded.
///
/// Begins with the last ten events unless it is told where to begin, and goes on until it is interrupted.
/// It follows what other processes record, also through restarts of a database, and prints no event twice.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// Begin after this position.
    #[arg(long, value_name = "POSITION", conflicts_with = "last")]
    after: Option<u64>,
    /// Begin with this many of the topic's last events, matching or not.
    #[arg(long, short = 'n', value_name = "EVENTS", default_value_t = 10)]
    last: u64,
    /// Only events of this stream ('' is the default stream).
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// End after this many events.
    #[arg(long, value_name = "EVENTS")]
    limit: Option<u64>,
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
  annals tail orders
  annals tail orders --type OrderPaid --format table
  annals tail orders --after 1000 --limit 1";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let _uncut = session.uncut().await;
        tokio::select! {
            biased;
            followed = self.follow(session) => followed,
            // It has no other end, so this one is good.
            () = session.interrupted() => Ok(()),
        }
    }

    async fn follow(&self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Read).await?;
        let after = match self.after {
            Some(after) => after,
            None => {
                let head = store.get_latest_version(&self.topic).await?;
                head.get().saturating_sub(self.last)
            }
        };
        let mut from = Subscribe::after(Position::new(after)).filter(self.filter.events());
        if let Some(stream) = &self.stream {
            from = from.stream(stream);
        }
        let mut signals = store.subscribe(&self.topic, from).await?.signals();
        let mut printer = Printer::new(self.format)?;
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 {
            // What is printed is seen before more is waited for.
            let signal = match futures_util::FutureExt::now_or_never(signals.try_next()) {
                Some(signal) => signal,
                None => {
                    printer.out.flush()?;
                    signals.try_next().await
                }
            };
            match signal? {
                Some(Signal::Event(event)) => {
                    printer.event(&event)?;
                    left -= 1;
                }
                Some(_) => printer.out.flush()?,
                None => break,
            }
        }
        printer.out.flush()
    }
}
