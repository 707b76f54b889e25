//! `annals topic create`.

use super::super::{
    common::{Access, Common},
    failure::Failure,
    place::Place,
    session::{Session, answer},
    show::{Topic, repository},
};

/// Create a topic.
///
/// It is where the configuration stream is, unless `--adapter` and `--connection` name another place. The
/// store itself is made where there is none yet.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Its name: letters, digits, `.`, `_` and `-`.
    name: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals topic create orders
  annals topic create orders --data /var/lib/annals --option sync=always
  annals topic create audit --adapter postgres --connection '${DATABASE_URL}' --option schema=audit
  annals topic create logs --adapter blob --connection s3://bucket/logs";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let config = self.place.topic(&self.name, &self.common)?;
        let store = session.open(&self.common, Access::Create).await?;
        let topic = Topic::of(&store, store.create_topic(config).await?).await;
        answer(&self.common, &topic.json(), || {
            let place = repository(&topic.info.placement);
            format!("topic {} created in {place}", topic.info.name)
        })
    }
}
