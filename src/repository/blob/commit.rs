//! Puts an object that somebody else may put too, and finds out who did.
//!
//! After any error, and where an object is there already, the object is read: it is our own or it is
//! not. Stores that try again by themselves, and answers that are lost, make an own object look like
//! another's, and the other way round.

use std::time::Duration;

use bytes::Bytes;
use object_store::{PutPayload, path::Path};
use tokio::time::{Instant, sleep};

use super::{
    failure::Failure,
    objects::{Created, Objects},
};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The object is there, and it is ours.
    Won,
    /// It is there, and it is somebody else's.
    Lost,
    /// It was not found out in time.
    Unknown(Failure),
    /// It was never sent, or it is known not to be there.
    NotSent(Failure),
}

/// Puts the object, or finds out that another one is there.
pub(super) async fn put_or_lose(
    objects: &Objects,
    key: &Path,
    payload: &PutPayload,
    is_own: impl Fn(&Bytes) -> bool,
    patience: Duration,
) -> Outcome {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    let mut may_be_there = false;
    loop {
        let failure = match objects.create(key, payload.clone()).await {
            Ok(Created::Yes) => return Outcome::Won,
            Ok(Created::Exists) => None,
            Err(failure) => {
                may_be_there |= !matches!(failure, Failure::Unavailable { sent: false, .. });
                Some(failure)
            }
        };
        if let Some(failure) = &failure
            && !may_be_there
        {
            // The store cannot be reached: that need not be waited for.
            return Outcome::NotSent(failure.clone());
        }
        let asked = loop {
            match objects.get(key).await {
                Ok(Some(object)) if is_own(&object) => return Outcome::Won,
                Ok(Some(_)) => return Outcome::Lost,
                // It is not there, so putting it once more does no harm.
                Ok(None) => break failure,
                Err(failure) if Instant::now() + pause > deadline => {
                    return Outcome::Unknown(failure);
                }
                Err(_) => rest(&mut pause).await,
            }
        };
        if Instant::now() + pause > deadline {
            let failure =
                asked.unwrap_or_else(|| Failure::unsent("the store refuses to put an object"));
            // What was sent may still arrive.
            return Outcome::Unknown(failure);
        }
        rest(&mut pause).await;
    }
}

async fn rest(pause: &mut Duration) {
    sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}
