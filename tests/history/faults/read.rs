//! Faults of reads.

use uuid::Uuid;

use super::scene::{Scene, moment, new_event};
use crate::history::record::{
    AppendAnswer, AppendCall, Ask, Call, Expected, Filter, NEVER, ReadAnswer, ReadCall, Seen,
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
    let (stream, now) = scene.deleted_for_good()?;
    let call = ReadCall {
        ask: Ask {
            stream: Some(stream),
            limit: Some(0),
            ..Ask::all()
        },
        seen: Vec::new(),
        looked_to: None,
        answer: ReadAnswer::Ended,
    };
    scene.note((now, now + 1), Call::Read(call));
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

pub(super) fn head_from_the_future(scene: &mut Scene) -> Option<()> {
    let head = scene.head();
    let begin = scene.begin_of(head)?;
    scene.note((begin - 1, begin - 1), Call::Head(Some(head)));
    Some(())
}

pub(super) fn read_beyond_its_versions(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(1, |_, _, call| call.ask.stream.is_some())?;
    let last = scene
        .read(index)
        .seen
        .iter()
        .map(|seen| seen.position)
        .max()?;
    let version = scene.event(last).version.get();
    scene.read(index).ask.up_to_version = version - 1;
    Some(())
}

pub(super) fn read_beyond_its_end(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(1, |_, _, _| true)?;
    let call = scene.read(index);
    call.ask.up_to = call.seen.iter().map(|seen| seen.position).max()? - 1;
    Some(())
}

pub(super) fn backward_read_that_ends_early(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(2, |_, _, call| {
        call.ask.backward && call.ask.limit.is_none()
    })?;
    scene.read(index).seen.pop();
    Some(())
}

/// A read that gave nothing, and says up to where it has looked.
fn read_nothing(scene: &mut Scene, now: u64, looked_to: u64) {
    let call = ReadCall {
        ask: Ask {
            filter: Filter::tag("nowhere"),
            ..Ask::all()
        },
        seen: Vec::new(),
        looked_to: Some(looked_to),
        answer: ReadAnswer::Ended,
    };
    scene.note((now, now), Call::Read(call));
}

pub(super) fn looked_too_little(scene: &mut Scene) -> Option<()> {
    let (now, receipt) = moment(scene)?;
    let before = receipt.first - 1;
    (before > 0).then(|| read_nothing(scene, now, before))
}

pub(super) fn looked_to_half_an_append(scene: &mut Scene) -> Option<()> {
    let end = scene.after_all()?;
    let head = scene.head();
    let events = vec![new_event(scene, "s-0-1"), new_event(scene, "s-0-1")];
    events.iter().for_each(|event| scene.write(event));
    let call = AppendCall {
        stream: "s-0-1".to_owned(),
        expected: Expected::Any,
        unless: None,
        events,
        key: None,
        answer: AppendAnswer::Unknown,
    };
    scene.note((end, NEVER), Call::Append(call));
    read_nothing(scene, end + 1, head + 1);
    Some(())
}

pub(super) fn looked_behind_what_it_gave(scene: &mut Scene) -> Option<()> {
    let index = scene.ended(2, |_, _, call| {
        !call.ask.backward && call.looked_to.is_some()
    })?;
    let call = scene.read(index);
    call.looked_to = Some(call.seen[0].position);
    Some(())
}

pub(super) fn looked_to_the_future(scene: &mut Scene) -> Option<()> {
    let head = scene.head();
    let begin = scene.begin_of(head)?;
    read_nothing(scene, begin - 1, head);
    Some(())
}

pub(super) fn looked_past_what_it_did_not_give(scene: &mut Scene) -> Option<()> {
    let now = scene.after_all()?;
    let call = ReadCall {
        ask: Ask {
            limit: Some(1),
            ..Ask::all()
        },
        seen: vec![Seen::of(scene.event(1))],
        looked_to: Some(2),
        answer: ReadAnswer::Ended,
    };
    scene.note((now, now), Call::Read(call));
    Some(())
}
