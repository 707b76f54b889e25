//! `annals topic restore`.

use super::super::{
    common::{Access, Common},
    failure::Failure,
    session::{Session, answer},
    show::Topic,
};

/// Bring back a deleted topic; of several of one name, the one that was deleted last.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals topic restore orders")]
pub(crate) struct Arguments {
    /// The topic.
    name: String,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Write).await?;
        let topic = Topic::of(&store, store.restore_topic(&self.name).await?).await;
        answer(&self.common, &topic.json(), || {
            format!("topic {} restored", topic.info.name)
        })
    }
}
