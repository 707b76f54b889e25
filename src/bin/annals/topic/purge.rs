//! `annals topic purge`.

use serde_json::json;

use super::super::{
    common::{Access, Common},
    failure::Failure,
    session::{Session, answer},
};

/// Erase the deleted topics of a name, with their events, for good.
///
/// A topic that is in use has to be deleted first. There is no way back, so it wants `--yes`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  annals topic delete orders && annals topic purge orders --yes"
)]
pub(crate) struct Arguments {
    /// The topic.
    name: String,
    /// Yes, erase the events.
    #[arg(long, required = true)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Write).await?;
        store.purge_topic(&self.name).await?;
        answer(
            &self.common,
            &json!({ "name": self.name, "status": "purged" }),
            || format!("topic {} purged", self.name),
        )
    }
}
