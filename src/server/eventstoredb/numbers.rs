//! Event numbers, which count from 0, and how many events are asked for.

use super::answer::Refusal;
use crate::RecordedEvent;

/// How many events the head page has.
pub(super) const PAGE: u64 = 20;
/// The most events of a page.
const MOST: u64 = 4096;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// At the newest event.
    Head,
    Number(u64),
}

/// The number of an event in its stream.
pub(super) fn number_of(event: &RecordedEvent) -> u64 {
    event.version.get().saturating_sub(1)
}

pub(super) fn event_number(text: &str) -> Result<From, Refusal> {
    if text == "head" {
        return Ok(From::Head);
    }
    let number = text.parse::<i64>().ok();
    let number = number.and_then(|number| u64::try_from(number).ok());
    number
        .map(From::Number)
        .ok_or_else(|| Refusal::bad_request(&format!("'{text}' is not valid event number")))
}

/// A number in a path that may not be `head`.
pub(super) fn plain_number(text: &str) -> Result<u64, Refusal> {
    match event_number(text)? {
        From::Number(number) => Ok(number),
        From::Head => Err(Refusal::bad_request("'head' is not valid event number")),
    }
}

pub(super) fn count(text: &str) -> Result<u64, Refusal> {
    let count = text.parse::<u64>().ok();
    count
        .filter(|count| (1..=MOST).contains(count))
        .ok_or_else(|| {
            Refusal::bad_request(&format!(
                "'{text}' is not valid count. Should be positive integer"
            ))
        })
}
