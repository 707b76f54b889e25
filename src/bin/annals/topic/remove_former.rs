//! `annals topic remove-former`.

use serde_json::json;

use super::super::{
    common::{Access, Common},
    failure::Failure,
    session::{Session, answer},
    show::{place, repository},
};

/// Remove the storage that a topic has left by moving.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals topic remove-former orders")]
pub(crate) struct Arguments {
    /// The topic.
    name: String,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let store = session.open(&self.common, Access::Write).await?;
        let removed = store.remove_former(&self.name).await?;
        let places: Vec<_> = removed.iter().map(place).collect();
        answer(
            &self.common,
            &json!({ "name": self.name, "removed": places }),
            || match removed.as_slice() {
                [] => "nothing was left behind".to_owned(),
                removed => {
                    let places: Vec<_> = removed.iter().map(repository).collect();
                    format!("removed from {}", places.join(", "))
                }
            },
        )
    }
}
