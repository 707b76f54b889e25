//! Starts sagas from the events of a topic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::sync::watch;

use super::{driver::closed, worker::with_source};
use crate::{
    Consume, Consumer, Error, RecordedEvent, Result,
    cqrs::saga::{SagaClient, SagaData, next::panicked},
};

/// How many events are handled before it is recorded.
const BATCH: u32 = 100;
/// The pauses after failures, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Follows a topic until it is closed, and begins again where something has failed.
pub(super) async fn start_on<D: SagaData>(
    sagas: SagaClient<D>,
    topic: String,
    consume: Consume,
    choose: impl Fn(&RecordedEvent) -> Option<(String, D)> + Send + Sync,
    mut closing: watch::Receiver<bool>,
) {
    let mut pause = PAUSES.0;
    loop {
        let begun = Instant::now();
        let following = async {
            let mut consumer = sagas.log.store.consume(&topic, consume.clone()).await?;
            follow(&sagas, &mut consumer, &choose).await
        };
        let followed = tokio::select! {
            followed = following => followed,
            () = closed(&mut closing) => return,
        };
        match followed {
            Ok(()) | Err(Error::Closed) => return,
            Err(error) => {
                let error = with_source(&error);
                tracing::warn!(
                    topic,
                    error,
                    "no sagas are started from events; trying again"
                );
            }
        }
        if begun.elapsed() > PAUSES.1 {
            pause = PAUSES.0;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = closed(&mut closing) => return,
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Starts a saga for each event that is chosen. One that was started before stays the same.
async fn follow<D: SagaData>(
    sagas: &SagaClient<D>,
    consumer: &mut Consumer,
    choose: &(impl Fn(&RecordedEvent) -> Option<(String, D)> + Send + Sync),
) -> Result<()> {
    let mut pending = 0;
    loop {
        let idle = tokio::time::sleep(Duration::from_millis(500));
        let event = tokio::select! {
            event = consumer.next() => event,
            () = idle, if pending > 0 => {
                consumer.commit().await?;
                pending = 0;
                continue;
            }
        };
        let Some(event) = event else {
            return Ok(());
        };
        let event = event?;
        let chosen = catch_unwind(AssertUnwindSafe(|| choose(&event)));
        let chosen = chosen.map_err(|panic| Error::Serialization {
            what: format!("the event at position {} to a saga", event.position),
            source: panicked(&*panic).into(),
        })?;
        if let Some((id, data)) = chosen {
            sagas.start(&id, data).await?;
        }
        pending += 1;
        if pending >= BATCH {
            consumer.commit().await?;
            pending = 0;
        }
    }
}
