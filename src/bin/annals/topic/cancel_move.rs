//! `annals topic cancel-move`.

use serde_json::json;

use super::super::{
    common::{Access, Common},
    failure::Failure,
    session::{Session, answer},
};

/// End the move of a topic, whichever process moves it: it stays where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals topic cancel-move orders")]
pub(crate) struct Arguments {
    /// The topic.
    name: String,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Write).await?;
        store.cancel_move(&self.name).await?;
        answer(
            &self.common,
            &json!({ "name": self.name, "cancelled": true }),
            || format!("the move of topic {} is cancelled", self.name),
        )
    }
}
