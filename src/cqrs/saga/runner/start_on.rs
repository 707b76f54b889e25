//! Starts sagas from the events of a topic.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;

use super::{driver::closed, lease::lease};
use crate::{
    Consume, Consumer, Error, RecordedEvent, Result,
    cqrs::saga::{SagaClient, SagaData},
};

/// How many events are handled before it is recorded.
const BATCH: u32 = 100;

/// Follows a topic until it is closed, and begins again where something has failed.
pub(super) async fn start_on<D: SagaData>(
    sagas: SagaClient<D>,
    topic: String,
    consume: Consume,
    choose: impl Fn(&RecordedEvent) -> Option<(String, D)> + Send + Sync,
    mut closing: watch::Receiver<bool>,
) {
    let mut pause = Duration::from_millis(100);
    loop {
        let following = async {
            let mut consumer = lease(&sagas.log.store, &topic, consume.clone()).await?;
            follow(&sagas, &mut consumer, &choose).await
        };
        let followed = tokio::select! {
            followed = following => followed,
            () = closed(&mut closing) => return,
        };
        match followed {
            Ok(()) | Err(Error::Closed) => return,
            Err(error) => {
                tracing::warn!(topic, %error, "no sagas are started from events; trying again");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
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
        if let Some((id, data)) = choose(&event?) {
            sagas.start(&id, data).await?;
        }
        pending += 1;
        if pending >= BATCH {
            consumer.commit().await?;
            pending = 0;
        }
    }
}
