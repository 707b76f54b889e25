//! `annals topic move`.

use annals::{FormerStorage, MoveOptions, MovePhase};

use super::super::{
    common::{Access, Common},
    failure::Failure,
    place::Place,
    progress,
    session::{Session, answer},
    show::{Topic, many, repository},
};

/// Move a topic with all its events to another repository, while it is in use.
///
/// Positions, versions, ids, times and bytes stay as they are. Where it is interrupted, the topic stays
/// where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The topic.
    name: String,
    #[command(flatten)]
    place: Place,
    /// Remove the storage that it has left, which is kept otherwise.
    #[arg(long)]
    remove_former: bool,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  annals topic move orders --adapter postgres --connection '${DATABASE_URL}'
  annals topic move orders --adapter file --connection /mnt/large --remove-former";

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        if !self.place.is_given() {
            return Err(Failure::usage("where to? give --adapter and --connection"));
        }
        let config = self.place.topic(&self.name, &self.common)?;
        let store = session.open(&self.common, Access::Write).await?;
        let bar = progress::events(&self.common, "copying", 0);
        let former = if self.remove_former {
            FormerStorage::Remove
        } else {
            FormerStorage::Keep
        };
        let shown = bar.clone();
        let options = MoveOptions::default()
            .former(former)
            .on_progress(move |progress| {
                shown.set_message(match progress.phase {
                    MovePhase::Copying => "copying",
                    MovePhase::Comparing => "comparing",
                    _ => "finishing",
                });
                shown.set_length(progress.head.get());
                shown.set_position(progress.copied.get());
            });
        let _uncut = session.uncut().await;
        let moved = tokio::select! {
            biased;
            moved = store.move_topic(config, options) => moved,
            () = session.interrupted() => {
                // It would go on for as long as this process lives.
                store.cancel_move(&self.name).await?;
                return Err(Failure::interrupted().then("the topic is where it was"));
            }
        };
        bar.finish_and_clear();
        let topic = Topic::of(&store, moved?).await;
        answer(&self.common, &topic.json(), || {
            let place = repository(&topic.info.placement);
            let events = topic.head.as_ref().ok().copied().flatten().unwrap_or(0);
            let events = many(events, "event");
            format!("topic {} moved to {place}, {events}", topic.info.name)
        })
    }
}
