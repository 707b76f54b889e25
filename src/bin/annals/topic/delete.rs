//! `annals topic delete`.

use serde_json::json;

use super::super::{
    common::{Access, Common},
    failure::Failure,
    session::{Session, answer},
};

/// Delete a topic: it is hidden, its events stay, and `annals topic restore` brings it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals topic delete orders")]
pub(crate) struct Arguments {
    /// The topic.
    name: String,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Write).await?;
        store.delete_topic(&self.name).await?;
        let name = &self.name;
        answer(
            &self.common,
            &json!({ "name": name, "status": "deleted" }),
            || format!("topic {name} deleted; `annals topic restore {name}` brings it back"),
        )
    }
}
