//! Reads the slots of a log that a view does not have yet, and tells which of them count.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{
    core::{ATTEMPTS, Core},
    failure::Failure,
    shared::Moment,
    slot::Slot,
};

/// The most slots that are asked for at once.
pub(super) const WINDOW: u64 = 64;
/// What came of reading slots.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// So far all that were asked for.
    All,
    /// One is not there: the log ends before it.
    End,
    /// What the view knows is too old to tell slots that count from others.
    TooLate,
}

impl Core {
    /// Reads the slots that are new, until one is not there.
    ///
    /// What is found and what is missing counts only where the slot cannot have been collected. It
    /// can, where this process stood still, or the store was slow: then it goes on from the newest
    /// manifest.
    pub(super) async fn read_slots(self: &Arc<Self>) -> Result<(), Failure> {
        let mut window = 1;
        let mut reloads = 0;
        loop {
            match self.read_window(window).await? {
                Found::All => window = (window * 2).min(WINDOW),
                Found::End => return Ok(()),
                Found::TooLate if reloads < ATTEMPTS => {
                    reloads += 1;
                    window = 1;
                    self.reload().await?;
                }
                Found::TooLate => {
                    let reason = "the log cannot be read within the grace period";
                    return Err(Failure::unsent(reason));
                }
            }
        }
    }

    /// Reads so many slots at once.
    async fn read_window(&self, window: u64) -> Result<Found, Failure> {
        let began = Moment::now();
        let next = self.with(|view| view.next)?;
        let numbers = next..next.saturating_add(window);
        let gets = numbers.map(|slot| async move { (slot, self.get_slot(slot).await) });
        let mut slots = stream::iter(gets).buffered(WINDOW as usize);
        let mut found = Found::All;
        while let Some((number, object)) = slots.next().await {
            // What follows one that is missing came while we asked. It is waited for all the same:
            // a request that is dropped takes its connection with it.
            if !matches!(found, Found::All) {
                continue;
            }
            found = match object? {
                Some(object) => self.apply(number, &object)?,
                None => self.end_at(number, began)?,
            };
        }
        Ok(found)
    }

    /// A slot was not there when that was asked.
    fn end_at(&self, number: u64, asked: Moment) -> Result<Found, Failure> {
        self.with(|view| {
            if view.may_be_collected() {
                return Found::TooLate;
            }
            // What came since is ours, or was read by another look, and is behind this one.
            if view.next >= number {
                view.prove(asked);
            }
            Found::End
        })
    }

    /// Adds a slot that was read.
    fn apply(&self, number: u64, object: &Bytes) -> Result<Found, Failure> {
        if object.is_empty() {
            // What is left of a storage that was removed.
            return Err(Failure::Gone);
        }
        let key = self.keys.slot(number);
        let slot = Slot::decode(object, number).map_err(|reason| Failure::corrupt(&key, reason))?;
        let own = *self.putting.lock();
        self.with(|view| {
            if view.may_be_collected() {
                return Ok(Found::TooLate);
            }
            view.apply(&slot, own, &self.keys).map(|()| Found::All)
        })?
    }
}
