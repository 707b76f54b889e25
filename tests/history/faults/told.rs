//! Faults of what was told of appends that were recorded, and of the notes themselves.

use super::scene::Scene;
use crate::history::record::{
    AppendAnswer, Call, Expected, Filter, Receipt, Refusal, Unless, keyed_id,
};

pub(super) fn wrong_position_in_a_receipt(scene: &mut Scene) -> Option<()> {
    let (index, mut receipt) = scene.recorded(|_, _, _, _| true)?;
    receipt.first += 1;
    receipt.last += 1;
    scene.append(index).answer = AppendAnswer::Recorded(receipt);
    Some(())
}

pub(super) fn wrong_version_in_a_receipt(scene: &mut Scene) -> Option<()> {
    let (index, mut receipt) = scene.recorded(|_, _, _, _| true)?;
    receipt.version += 1;
    scene.append(index).answer = AppendAnswer::Recorded(receipt);
    Some(())
}

pub(super) fn winner_that_expected_other(scene: &mut Scene) -> Option<()> {
    let (index, receipt) = scene.recorded(|_, _, _, _| true)?;
    scene.append(index).expected = Expected::Exact(receipt.version + 1);
    Some(())
}

pub(super) fn unknown_that_expected_other(scene: &mut Scene) -> Option<()> {
    let index = scene.unknown(|scene, call| {
        let id = call.events[0].id;
        scene.is_there(id) && scene.attempts(id) == 1
    })?;
    scene.append(index).expected = Expected::Exact(1_000_000);
    Some(())
}

pub(super) fn two_winners(scene: &mut Scene) -> Option<()> {
    let index = scene.refused(|scene, call, refusal| {
        let own = call.events.iter().any(|event| event.stream == call.stream);
        let won = scene.entries.iter().any(|entry| match &entry.call {
            Call::Append(other) => {
                let own = other
                    .events
                    .iter()
                    .any(|event| event.stream == other.stream);
                let same = (&other.stream, other.expected) == (&call.stream, call.expected);
                own && same
                    && matches!(other.answer, AppendAnswer::Recorded(_))
                    && entry.topic == "t"
            }
            _ => false,
        });
        let exact = matches!(call.expected, Expected::Exact(_) | Expected::NoStream);
        own && won
            && exact
            && matches!(refusal, Refusal::WrongVersion { .. })
            && call.events.iter().all(|event| !scene.is_there(event.id))
    })?;
    let receipt = scene.write_all(index);
    scene.append(index).answer = AppendAnswer::Recorded(receipt);
    Some(())
}

pub(super) fn broken_condition(scene: &mut Scene) -> Option<()> {
    let (index, receipt) = scene.recorded(|_, _, _, receipt| receipt.first > 1)?;
    let before = scene.event(receipt.first - 1);
    let filter = Filter::of_type(before.event_type.as_str());
    let after = receipt.first - 2;
    scene.append(index).unless = Some(Unless { filter, after });
    Some(())
}

pub(super) fn early_acknowledgement(scene: &mut Scene) -> Option<()> {
    // Its end is put before the begin of one that is ahead of it.
    let (index, begin) = scene.pick(|scene, entry| {
        let Call::Append(call) = &entry.call else {
            return None;
        };
        let AppendAnswer::Recorded(receipt) = call.answer else {
            return None;
        };
        let before = scene.event(receipt.first.checked_sub(1).filter(|p| *p > 0)?);
        let ahead = scene.entries.iter().find(|other| match &other.call {
            Call::Append(other) => {
                matches!(other.answer, AppendAnswer::Recorded(_))
                    && other.events.iter().any(|event| event.id == before.id)
            }
            _ => false,
        })?;
        (ahead.begin > entry.begin).then_some(ahead.begin)
    })?;
    scene.entries[index].end = begin - 1;
    Some(())
}

pub(super) fn wrong_receipt_on_a_duplicate(scene: &mut Scene) -> Option<()> {
    let (index, mut receipt) = scene.duplicate()?;
    receipt.first += 1;
    receipt.last += 1;
    scene.append(index).answer = AppendAnswer::Duplicate(receipt);
    Some(())
}

pub(super) fn duplicate_though_the_key_had_more(scene: &mut Scene) -> Option<()> {
    let index = scene.refused(|scene, call, refusal| {
        let count = call.events.len() as u64;
        let key = call.key.as_ref();
        let mut events = call.events.iter();
        matches!(refusal, Refusal::IdConflict { .. })
            && key.is_some_and(|key| scene.is_there(keyed_id(key, count)))
            && events.all(|event| scene.logs["t"].iter().any(|one| event.is_recorded_as(one)))
    })?;
    let call = scene.append(index).clone();
    let first = scene.place_of(call.events[0].id)?;
    let last = first + call.events.len() as u64 - 1;
    let mut own = (first..=last).rev().map(|place| scene.event(place));
    let own = own.find(|event| event.stream.as_str() == call.stream)?;
    let version = own.version.get();
    scene.append(index).answer = AppendAnswer::Duplicate(Receipt {
        first,
        last,
        version,
    });
    Some(())
}

pub(super) fn duplicate_of_nothing(scene: &mut Scene) -> Option<()> {
    let (index, receipt) =
        scene.recorded(|scene, _, call, _| scene.attempts(call.events[0].id) == 1)?;
    scene.append(index).answer = AppendAnswer::Duplicate(receipt);
    Some(())
}

/// A duplicate of an append that had been acknowledged before, or was acknowledged at the same time.
fn acknowledged_twice(scene: &mut Scene, before: bool) -> Option<(usize, Receipt)> {
    scene.pick(|scene, entry| {
        let Call::Append(call) = &entry.call else {
            return None;
        };
        let AppendAnswer::Duplicate(receipt) = call.answer else {
            return None;
        };
        let first = scene.entries.iter().any(|other| match &other.call {
            Call::Append(one) => {
                matches!(one.answer, AppendAnswer::Recorded(_))
                    && one.events == call.events
                    && (!before || other.end < entry.begin)
            }
            _ => false,
        });
        first.then_some(receipt)
    })
}

pub(super) fn duplicate_taken_for_new(scene: &mut Scene) -> Option<()> {
    let (index, receipt) = acknowledged_twice(scene, false)?;
    scene.append(index).answer = AppendAnswer::Recorded(receipt);
    Some(())
}

pub(super) fn refused_retry(scene: &mut Scene) -> Option<()> {
    let (index, receipt) = acknowledged_twice(scene, true)?;
    let call = scene.append(index);
    call.expected = Expected::NoStream;
    call.answer = AppendAnswer::Refused(Refusal::WrongVersion {
        stream: call.stream.clone(),
        expected: call.expected,
        actual: receipt.version,
    });
    Some(())
}

pub(super) fn call_that_ends_before_it_begins(scene: &mut Scene) -> Option<()> {
    let entry = scene.entries.first_mut()?;
    entry.begin = entry.end + 1;
    Some(())
}

pub(super) fn call_noted_twice(scene: &mut Scene) -> Option<()> {
    let entry = scene.entries.first()?.clone();
    scene.entries.push(entry);
    Some(())
}

pub(super) fn topic_without_a_log(scene: &mut Scene) -> Option<()> {
    scene.entries.first_mut()?.topic = "nowhere".to_owned();
    Some(())
}

pub(super) fn wrong_version_on_a_duplicate(scene: &mut Scene) -> Option<()> {
    let (index, mut receipt) = scene.duplicate()?;
    receipt.version += 1_000_000;
    scene.append(index).answer = AppendAnswer::Duplicate(receipt);
    Some(())
}

pub(super) fn duplicate_before_the_first(scene: &mut Scene) -> Option<()> {
    let (index, _) = acknowledged_twice(scene, false)?;
    (scene.entries[index].begin, scene.entries[index].end) = (0, 0);
    Some(())
}
