//! `annals topic show`.

use super::super::{
    common::{Access, Common},
    failure::Failure,
    session::{Session, answer},
    show::{Topic, repository},
};

/// Show one topic.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    name: String,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals topic show orders
  annals topic show orders --json | jq .head";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Read).await?;
        let topic = Topic::of(&store, store.get_topic(&self.name).await?).await;
        answer(&self.common, &topic.json(), || text(&topic))
    }
}

fn text(topic: &Topic) -> String {
    let info = &topic.info;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("{name:<12}{value}\n"));
    };
    line("topic", info.name.as_str());
    line("status", topic.status());
    line("events", &topic.head());
    line("repository", &repository(&info.placement));
    line("storage", &info.placement.storage.to_string());
    line("created", &info.created_at.to_string());
    for (key, value) in &info.placement.options {
        line("option", &format!("{key}={value}"));
    }
    if let Some(moving) = &info.moving {
        let to = repository(&moving.target);
        line(
            "moves to",
            &format!("{to}, {} events copied", moving.copied),
        );
    }
    for former in &info.former {
        line("left behind", &repository(former));
    }
    if let Err(failure) = &topic.head {
        line("problem", failure.message());
    }
    text
}
