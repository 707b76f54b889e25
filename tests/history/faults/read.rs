//! Faults of reads.

use annals::STREAM_DELETED;
use uuid::Uuid;

use super::scene::{Scene, moment, new_event};
use crate::history::record::{
    AppendAnswer, AppendCall, Ask, Call, Expected, NEVER, ReadAnswer, ReadCall,
};

pub(super) fn foreign_event_read(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(1, |_, _, _| true)?;
    scene.read(index).seen[0].id = Uuid::from_u128(7);
    Some(())
}

pub(super) fn other_bytes_read(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(1, |scene, entry, _| !scene.moved_after(entry.end))?;
    scene.read(index).seen[0].digest ^= 1;
    Some(())
}

pub(super) fn other_bytes_read_before_a_move(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(1, |scene, entry, _| scene.moved_after(entry.end))?;
    scene.read(index).seen[0].digest ^= 1;
    Some(())
}

pub(super) fn read_from_the_future(scene: &mut Scene) -> Option<()> {
    let head = scene.head();
    let begin = scene.begin_of(head)?;
    scene.read_all((begin - 1, begin - 1), head - 1, head);
    Some(())
}

pub(super) fn read_beyond_the_filter(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(1, |_, _, call| call.ask.stream.is_some())?;
    let call = scene.read(index);
    call.ask.stream = Some("another".to_owned());
    call.ask.include_deleted = true;
    Some(())
}

pub(super) fn read_beyond_the_limit(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(2, |_, _, _| true)?;
    let call = scene.read(index);
    call.ask.limit = Some(call.seen.len() as u64 - 1);
    Some(())
}

pub(super) fn read_out_of_order(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(2, |_, _, _| true)?;
    scene.read(index).seen.swap(0, 1);
    Some(())
}

pub(super) fn read_with_a_hole(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(3, |_, _, _| true)?;
    scene.read(index).seen.remove(1);
    Some(())
}

pub(super) fn read_of_half_an_append(scene: &mut Scene) -> Option<()> {
    let (index, receipt) = scene.recorded(|_, _, _, receipt| receipt.first < receipt.last)?;
    let times = (scene.entries[index].begin, scene.entries[index].end);
    scene.read_all(times, receipt.first - 1, receipt.first);
    Some(())
}

pub(super) fn stale_read(scene: &mut Scene) -> Option<()> {
    let (now, receipt) = moment(scene)?;
    scene.read_all((now, now), receipt.first - 1, receipt.first - 1);
    Some(())
}

pub(super) fn stale_head(scene: &mut Scene) -> Option<()> {
    let (now, receipt) = moment(scene)?;
    scene.note((now, now), Call::Head(Some(receipt.first - 1)));
    Some(())
}

pub(super) fn head_that_goes_back(scene: &mut Scene) -> Option<()> {
    // While nobody knows yet whether the last append is there, one finds it and another does not.
    let head = scene.head();
    let event = new_event(scene, "s-0-1");
    scene.write(&event);
    let end = scene.entries.iter().map(|entry| entry.end).max()? + 10;
    let call = AppendCall {
        stream: event.stream.clone(),
        expected: Expected::Any,
        unless: None,
        events: vec![event],
        key: None,
        answer: AppendAnswer::Unknown,
    };
    scene.note((end, NEVER), Call::Append(call));
    scene.note((end + 1, end + 2), Call::Head(Some(head + 1)));
    scene.note((end + 3, end + 4), Call::Head(Some(head)));
    Some(())
}

pub(super) fn looked_too_far(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(1, |_, _, call| {
        !call.ask.backward && call.looked_to.is_some_and(|to| to < call.ask.up_to)
    })?;
    scene.read(index).looked_to = Some(1_000_000);
    Some(())
}

pub(super) fn read_of_a_deleted_stream(scene: &mut Scene) -> Option<()> {
    let (index, ()) = scene.pick(|_, entry| match &entry.call {
        Call::Read(call) => (call.answer == ReadAnswer::StreamDeleted).then_some(()),
        _ => None,
    })?;
    // It is given an end at which it must have known.
    let entry = &scene.entries[index];
    let end = scene.entries.iter().map(|entry| entry.end).max()?;
    let Call::Read(call) = &entry.call else {
        return None;
    };
    let stream = call.ask.stream.clone()?;
    let log = scene.logs["t"].iter();
    let last = log
        .filter(|event| event.stream.as_str() == stream && event.event_type.is_reserved())
        .last()?;
    if last.event_type != STREAM_DELETED {
        return None;
    }
    let position = last.position.get();
    let known = scene.entries.iter().any(|entry| {
        matches!(entry.call, Call::Head(Some(head)) if head >= position) && entry.topic == "t"
    });
    if !known {
        return None;
    }
    let call = ReadCall {
        ask: Ask {
            stream: Some(stream),
            after: 0,
            limit: Some(0),
            ..Ask::all()
        },
        seen: Vec::new(),
        looked_to: None,
        answer: ReadAnswer::Ended,
    };
    scene.note((end + 1, end + 2), Call::Read(call));
    Some(())
}

pub(super) fn deletion_that_was_not(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(1, |scene, _, call| {
        call.ask
            .stream
            .as_ref()
            .is_some_and(|stream| !scene.was_deleted(stream))
    })?;
    let call = scene.read(index);
    call.answer = ReadAnswer::StreamDeleted;
    call.ask.include_deleted = false;
    Some(())
}
