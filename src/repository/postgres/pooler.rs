//! Whether a session is one: poolers stand before servers and may give each transaction another
//! connection to the server.
//!
//! Behind such a pooler a prepared statement may be another client's, what was set is forgotten or
//! falls to others, and notifications reach nobody. It can be told by the processes of the server:
//! two sessions that are open at once never share one, and none ever changes its own.
//!
//! All of this is asked before anything is set, and in the simple protocol, of which each question
//! is one message: so it is right, and leaves no traces, also behind such a pooler.

use tokio::time::Instant;

use super::{
    connection::{Address, ServerProcess, Session, serving},
    errors::Failure,
};
use crate::models::{Error, Result};

/// Which of two connections is asked, in order. A pooler that is not busy is found out by the first
/// three questions, whether it takes the connection that was used last, or the one that was not used
/// for longest. In a busy one it takes chance to answer all of them as a server would.
const QUESTIONS: [usize; 6] = [0, 1, 1, 0, 0, 1];
/// How often all of it is asked where a process is older than our connection to it, so that there is
/// a pooler, of whatever kind.
const ROUNDS: usize = 6;

/// Two sessions, or why the way to the server has none.
pub(super) async fn sessions(address: &Address, repository: &str) -> Result<[Session; 2]> {
    let failed = |failure: Failure| failure.error(repository, None);
    let began = Instant::now();
    let mut pair = [
        address.dial().await.map_err(failed)?,
        address.dial().await.map_err(failed)?,
    ];
    let mut seen: [Option<ServerProcess>; 2] = [None, None];
    let mut rounds = 1;
    let mut round = 0;
    while round < rounds {
        for which in QUESTIONS {
            let (Some(connection), Some(mine)) = (pair.get_mut(which), seen.get(which)) else {
                continue;
            };
            let (process, age) = address.bounded(serving(connection)).await.map_err(failed)?;
            let changed = mine.as_ref().is_some_and(|mine| *mine != process);
            let shared = seen
                .get(1 - which)
                .is_some_and(|other| other.as_ref() == Some(&process));
            if changed || shared {
                return Err(refusal(repository));
            }
            if age > began.elapsed() {
                rounds = ROUNDS;
            }
            if let Some(mine) = seen.get_mut(which) {
                *mine = Some(process);
            }
        }
        round += 1;
    }
    let [first, second] = pair;
    Ok([
        address.set_up(first).await.map_err(failed)?,
        address.set_up(second).await.map_err(failed)?,
    ])
}

fn refusal(repository: &str) -> Error {
    Error::InvalidConfig {
        key: format!("connection {repository}"),
        reason: "there is a connection pooler before the server which gives each transaction another \
                 connection (transaction pooling), and prepared statements, settings and \
                 notifications need sessions; connect to the server itself, or to a pool that keeps \
                 sessions (`pool_mode = session` in PgBouncer)"
            .to_owned(),
    }
}
