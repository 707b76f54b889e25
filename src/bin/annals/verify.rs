//! `annals verify`.

use annals::repository::Verified;
use serde_json::json;

use super::{
    common::{Access, Common},
    failure::{Failure, Kind},
    progress,
    session::{Output, Session},
    show::{count, many},
};

/// Read and check everything that is stored for topics.
///
/// All topics in use, unless some are named. A topic that is damaged leaves the others to be checked; the
/// exit code is 6 then.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals verify\n  annals verify orders invoices")]
pub(crate) struct Arguments {
    /// The topics.
    topics: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Read).await?;
        let mut topics = self.topics.clone();
        if topics.is_empty() {
            let all = store.list_topics().await?;
            topics.extend(all.into_iter().map(|info| info.name.to_string()));
        }
        let mut worst: Option<Failure> = None;
        for topic in &topics {
            let bar = progress::spinner(&self.common, topic);
            let verified = store.verify_topic(topic).await.map_err(Failure::from);
            bar.finish_and_clear();
            let mut out = Output::new();
            out.line(self.line(topic, &verified).as_bytes())?;
            out.flush()?;
            let Err(failure) = verified else { continue };
            let is_worst = worst
                .as_ref()
                .is_none_or(|worst| worst.kind() != Kind::Corruption);
            if is_worst {
                worst = Some(failure.context(topic));
            }
        }
        worst.map_or(Ok(()), Err)
    }

    fn line(&self, topic: &str, verified: &Result<Verified, Failure>) -> String {
        match (verified, self.common.json) {
            (Ok(whole), true) => json!({
                "topic": topic, "whole": true, "events": whole.events,
                "bytes": whole.bytes, "parts": whole.parts,
            })
            .to_string(),
            (Ok(whole), false) => format!(
                "{topic}: whole, {} in {} bytes",
                many(whole.events, "event"),
                count(whole.bytes)
            ),
            (Err(failure), true) => {
                json!({ "topic": topic, "whole": false, "problem": failure.message() }).to_string()
            }
            (Err(failure), false) => format!("{topic}: {}", failure.message()),
        }
    }
}
