//! `annals topic update`.

use annals::TopicConfig;

use super::super::{
    common::{Access, Common, key_and_value},
    failure::Failure,
    place::with_options,
    session::{Session, answer},
    show::Topic,
};

/// Change the options of a topic.
///
/// The options that are given replace all that it had; those that are not given go back to their defaults.
/// `annals topic move` brings it to another repository.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    name: String,
    /// An option of its adapter; may be repeated.
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = key_and_value)]
    options: Vec<(String, String)>,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals topic update orders --option sync=interval:50
  annals topic update orders";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Write).await?;
        let place = store.get_topic(&self.name).await?.placement;
        if place.connection.contains("***") {
            return Err(Failure::usage(
                "its connection has a password as it is, which is not told here; use `topic move` with the connection that it has",
            ));
        }
        let config = TopicConfig::new(&self.name, place.adapter, place.connection);
        let config = with_options(config, &self.options);
        let topic = Topic::of(&store, store.update_topic(config).await?).await;
        answer(&self.common, &topic.json(), || {
            format!("topic {} updated", topic.info.name)
        })
    }
}
