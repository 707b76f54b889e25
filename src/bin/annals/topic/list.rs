//! `annals topic list`.

use super::super::{
    common::{Access, Common},
    failure::Failure,
    session::{Output, Session},
    show::{Topic, repository, table},
};

/// List topics: where they are, and how many events they have.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Those that were deleted, instead of those in use.
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals topic list
  annals topic list --deleted
  annals topic list --json | jq -r .name";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Read).await?;
        let topics = if self.deleted {
            store.list_deleted_topics().await?
        } else {
            store.list_topics().await?
        };
        let mut out = Output::new();
        let mut shown = table(["topic", "status", "events", "repository", "created"]);
        for info in topics {
            let topic = Topic::of(&store, info).await;
            if self.common.json {
                out.line(topic.json().to_string().as_bytes())?;
                continue;
            }
            shown.add_row([
                topic.info.name.to_string(),
                topic.status().to_owned(),
                topic.head(),
                repository(&topic.info.placement),
                topic.info.created_at.to_string(),
            ]);
        }
        if !self.common.json {
            out.line(shown.to_string().as_bytes())?;
        }
        out.flush()
    }
}
