//! Refusals without a reason, and states that were not.

use super::scene::{Scene, new_event};
use crate::history::record::{
    AppendAnswer, AppendCall, Call, ChangeAnswer, Expected, Filter, Refusal, Unless,
};

/// Gives a refusal by version another version.
fn refuse_by(scene: &mut Scene, version: impl Fn(u64, &AppendCall) -> Option<u64>) -> Option<()> {
    let index = scene.refused(|_, call, refusal| match refusal {
        Refusal::WrongVersion { actual, .. } => version(*actual, call).is_some(),
        _ => false,
    })?;
    let call = scene.append(index);
    let AppendAnswer::Refused(Refusal::WrongVersion { actual, .. }) = &call.answer else {
        return None;
    };
    let actual = version(*actual, call)?;
    call.answer = AppendAnswer::Refused(Refusal::WrongVersion {
        stream: call.stream.clone(),
        expected: call.expected,
        actual,
    });
    Some(())
}

pub(super) fn refusal_by_a_version_that_never_was(scene: &mut Scene) -> Option<()> {
    refuse_by(scene, |actual, _| Some(actual + 1_000_000))
}

pub(super) fn refusal_by_a_version_of_before(scene: &mut Scene) -> Option<()> {
    refuse_by(scene, |actual, call| {
        let other = !matches!(call.expected, Expected::NoStream | Expected::Exact(0));
        (actual > 9 && other).then_some(0)
    })
}

pub(super) fn refusal_of_the_expected_version(scene: &mut Scene) -> Option<()> {
    refuse_by(scene, |_, call| match call.expected {
        Expected::Exact(version) => Some(version),
        _ => None,
    })
}

/// Gives a refusal by condition another event.
fn refuse_for(scene: &mut Scene, other: impl Fn(&Scene, u64) -> Option<u64>) -> Option<()> {
    let index = scene.refused(|scene, _, refusal| match refusal {
        Refusal::ConditionFailed { position } => other(scene, *position).is_some(),
        _ => false,
    })?;
    let AppendAnswer::Refused(Refusal::ConditionFailed { position }) = scene.append(index).answer
    else {
        return None;
    };
    let position = other(scene, position)?;
    scene.append(index).answer = AppendAnswer::Refused(Refusal::ConditionFailed { position });
    Some(())
}

pub(super) fn refusal_by_another_event(scene: &mut Scene) -> Option<()> {
    refuse_for(scene, |_, position| Some(position + 1))
}

pub(super) fn refusal_by_an_event_to_come(scene: &mut Scene) -> Option<()> {
    // An append that has ended is refused for an event that comes after all that it can know.
    let end = scene.entries.iter().map(|entry| entry.end).max()?;
    let head = scene.head();
    let begin = scene.begin_of(head)?;
    let index = scene.refused(|scene, _, refusal| {
        matches!(refusal, Refusal::WrongVersion { .. }) && end > scene.head()
    })?;
    if scene.entries[index].end >= begin {
        return None;
    }
    let filter = Filter::all();
    let call = scene.append(index);
    call.expected = Expected::Any;
    call.unless = Some(Unless {
        filter,
        after: head - 1,
    });
    call.answer = AppendAnswer::Refused(Refusal::ConditionFailed { position: head });
    Some(())
}

pub(super) fn refusal_without_deletion(scene: &mut Scene) -> Option<()> {
    let index = scene.refused(|scene, call, refusal| {
        matches!(refusal, Refusal::WrongVersion { .. })
            && !scene.was_deleted(&call.events[0].stream)
    })?;
    let call = scene.append(index);
    let stream = call.events[0].stream.clone();
    call.answer = AppendAnswer::Refused(Refusal::StreamDeleted { stream });
    Some(())
}

pub(super) fn conflict_of_new_ids(scene: &mut Scene) -> Option<()> {
    let index = scene.refused(|scene, call, refusal| {
        matches!(refusal, Refusal::WrongVersion { .. }) && !scene.is_there(call.events[0].id)
    })?;
    scene.append(index).answer = AppendAnswer::Refused(Refusal::IdConflict { position: 1 });
    Some(())
}

pub(super) fn conflict_of_the_same_append(scene: &mut Scene) -> Option<()> {
    let (index, receipt) = scene.duplicate()?;
    let position = receipt.first;
    // A conflict is judged by what is recorded, and this is the same.
    scene.append(index).answer = AppendAnswer::Refused(Refusal::IdConflict { position });
    Some(())
}

pub(super) fn sealed_without_a_move(scene: &mut Scene) -> Option<()> {
    let index = scene.refused(|_, _, refusal| matches!(refusal, Refusal::Other(_)))?;
    scene
        .entries
        .retain(|entry| !matches!(entry.call, Call::Move(_)) || entry.topic != "t");
    let index = index.min(scene.entries.len() - 1);
    let index = (0..=index)
        .rev()
        .find(|index| match &scene.entries[*index].call {
            Call::Append(call) => matches!(call.answer, AppendAnswer::Refused(Refusal::Other(_))),
            _ => false,
        })?;
    scene.append(index).answer = AppendAnswer::Refused(Refusal::Sealed);
    Some(())
}

pub(super) fn old_state(scene: &mut Scene) -> Option<()> {
    let (index, _) = scene.pick(|_, entry| match &entry.call {
        Call::State(call) => call.answer.filter(|state| state.version > 12),
        _ => None,
    })?;
    if let Call::State(call) = &mut scene.entries[index].call {
        call.answer.as_mut()?.version = 1;
    }
    Some(())
}

pub(super) fn unchanged_stream(scene: &mut Scene) -> Option<()> {
    let (index, _) = scene.pick(|_, entry| match &entry.call {
        Call::State(call) => call.answer.filter(|state| state.version > 0),
        _ => None,
    })?;
    let Call::State(call) = &mut scene.entries[index].call else {
        return None;
    };
    let state = call.answer.as_mut()?;
    state.deleted = !state.deleted;
    Some(())
}

pub(super) fn stream_not_found(scene: &mut Scene) -> Option<()> {
    let (index, ()) = scene.pick(|_, entry| match &entry.call {
        Call::Change(call) => match call.answer {
            ChangeAnswer::Done { version } => (version > 12).then_some(()),
            _ => None,
        },
        _ => None,
    })?;
    let Call::Change(call) = &mut scene.entries[index].call else {
        return None;
    };
    call.answer = ChangeAnswer::NotFound;
    Some(())
}

pub(super) fn version_of_a_deleted_stream(scene: &mut Scene) -> Option<()> {
    let (stream, now) = scene.deleted_for_good()?;
    let actual = scene.version(&stream);
    let call = AppendCall {
        expected: Expected::NoStream,
        unless: None,
        events: vec![new_event(scene, &stream)],
        key: None,
        answer: AppendAnswer::Refused(Refusal::WrongVersion {
            stream: stream.clone(),
            expected: Expected::NoStream,
            actual,
        }),
        stream,
    };
    scene.note((now, now + 1), Call::Append(call));
    Some(())
}

pub(super) fn refusal_that_tells_another_expectation(scene: &mut Scene) -> Option<()> {
    let other = Expected::Exact(1_000_000);
    let index = scene.refused(|_, _, refusal| matches!(refusal, Refusal::WrongVersion { .. }))?;
    let call = scene.append(index);
    if let AppendAnswer::Refused(Refusal::WrongVersion { expected, .. }) = &mut call.answer {
        *expected = other;
    }
    Some(())
}

pub(super) fn condition_told_instead_of_the_version(scene: &mut Scene) -> Option<()> {
    let index = scene.refused(|_, call, refusal| {
        matches!(refusal, Refusal::WrongVersion { actual, .. } if *actual > 9)
            && matches!(call.expected, Expected::Exact(_))
    })?;
    let call = scene.append(index);
    call.expected = Expected::Exact(1);
    let filter = Filter::all();
    call.unless = Some(Unless { filter, after: 0 });
    call.answer = AppendAnswer::Refused(Refusal::ConditionFailed { position: 1 });
    Some(())
}

pub(super) fn conflict_of_ids_to_come(scene: &mut Scene) -> Option<()> {
    let index = scene.refused(|_, _, refusal| matches!(refusal, Refusal::IdConflict { .. }))?;
    (scene.entries[index].begin, scene.entries[index].end) = (0, 0);
    Some(())
}

pub(super) fn other_version_of_a_change(scene: &mut Scene) -> Option<()> {
    let (index, ()) = scene.pick(|_, entry| match &entry.call {
        Call::Change(call) => match call.answer {
            ChangeAnswer::Done { version } => (version > 12).then_some(()),
            _ => None,
        },
        _ => None,
    })?;
    if let Call::Change(call) = &mut scene.entries[index].call {
        call.answer = ChangeAnswer::Done { version: 1 };
    }
    Some(())
}
