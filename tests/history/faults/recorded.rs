//! Faults of a log: what is recorded is not what was appended.

use annals::{
    EventType, RecordedEvent, STREAM_DELETED, STREAM_RESTORED, Tags, Timestamp, TopicName,
};

use super::scene::{Scene, new_event};
use crate::history::record::{AppendAnswer, AppendCall, Call, ChangeAnswer, Event};

pub(super) fn lost_event(scene: &mut Scene) -> Option<()> {
    let (_, receipt) = scene.recorded(|_, _, _, _| true)?;
    scene.log().remove(usize::try_from(receipt.last).ok()? - 1);
    scene.renumber();
    Some(())
}

pub(super) fn lost_end_of_the_log(scene: &mut Scene) -> Option<()> {
    let head = scene.head();
    scene.recorded(|_, _, _, receipt| receipt.last == head)?;
    scene.log().pop();
    Some(())
}

pub(super) fn lost_change_of_a_stream(scene: &mut Scene) -> Option<()> {
    let (_, (stream, version)) = scene.pick(|scene, entry| match &entry.call {
        Call::Change(call) => match call.answer {
            ChangeAnswer::Done { version } if version == scene.version(&call.stream) => {
                Some((call.stream.clone(), version))
            }
            _ => None,
        },
        _ => None,
    })?;
    let log = scene.log();
    log.retain(|event| event.stream.as_str() != stream || event.version.get() != version);
    scene.renumber();
    Some(())
}

pub(super) fn doubled_event(scene: &mut Scene) -> Option<()> {
    let at = scene.somewhere()?;
    let event = scene.log()[at].clone();
    scene.log().insert(at + 1, event);
    scene.renumber();
    Some(())
}

pub(super) fn forgotten_id(scene: &mut Scene) -> Option<()> {
    let (index, _) = scene.duplicate()?;
    let receipt = scene.write_all(index);
    scene.append(index).answer = AppendAnswer::Recorded(receipt);
    Some(())
}

pub(super) fn gap_in_positions(scene: &mut Scene) -> Option<()> {
    let at = scene.somewhere()?;
    for event in scene.log().iter_mut().skip(at) {
        event.position = event.position.next();
    }
    Some(())
}

pub(super) fn gap_in_versions(scene: &mut Scene) -> Option<()> {
    let at = scene.somewhere()?;
    let event = &mut scene.log()[at];
    event.version = event.version.next();
    Some(())
}

pub(super) fn time_going_back(scene: &mut Scene) -> Option<()> {
    let at = scene.somewhere()?.max(1);
    let before = scene.log()[at - 1].recorded_at.as_micros();
    scene.log()[at].recorded_at = Timestamp::from_micros(before - 1);
    Some(())
}

pub(super) fn event_of_another_topic(scene: &mut Scene) -> Option<()> {
    let at = scene.somewhere()?;
    scene.log()[at].topic = TopicName::new("u").unwrap();
    Some(())
}

pub(super) fn stream_that_grew_when_deleted(scene: &mut Scene) -> Option<()> {
    let mut log = scene.log().iter_mut();
    let restored = log.find(|event| event.event_type == STREAM_RESTORED)?;
    restored.event_type = EventType::new("New").unwrap();
    Some(())
}

pub(super) fn swapped_appends(scene: &mut Scene) -> Option<()> {
    let (_, receipt) = scene.recorded(|scene, _, _, receipt| {
        receipt.first == receipt.last && receipt.last < scene.head()
    })?;
    let at = usize::try_from(receipt.first).ok()?;
    scene.log().swap(at - 1, at);
    let (one, other) = (scene.log()[at - 1].recorded_at, scene.log()[at].recorded_at);
    (scene.log()[at - 1].recorded_at, scene.log()[at].recorded_at) = (other, one);
    scene.renumber();
    Some(())
}

pub(super) fn changed_byte(scene: &mut Scene) -> Option<()> {
    let event = acknowledged(scene)?;
    let mut payload = event.payload.to_vec();
    *payload.last_mut()? ^= 1;
    event.payload = payload.into();
    Some(())
}

/// An event that was acknowledged.
fn acknowledged(scene: &mut Scene) -> Option<&mut RecordedEvent> {
    let (_, receipt) = scene.recorded(|_, _, _, _| true)?;
    scene.log().get_mut(usize::try_from(receipt.last).ok()? - 1)
}

pub(super) fn changed_metadata(scene: &mut Scene) -> Option<()> {
    acknowledged(scene)?.metadata = b"{ }".to_vec().into();
    Some(())
}

pub(super) fn changed_tag(scene: &mut Scene) -> Option<()> {
    acknowledged(scene)?.tags = Tags::new(&["another"]).unwrap();
    Some(())
}

pub(super) fn changed_type(scene: &mut Scene) -> Option<()> {
    acknowledged(scene)?.event_type = EventType::new("Another").unwrap();
    Some(())
}

pub(super) fn changed_unknown(scene: &mut Scene) -> Option<()> {
    let there = |scene: &Scene, call: &AppendCall| {
        let id = call.events[0].id;
        scene.is_there(id) && scene.attempts(id) == 1
    };
    let index = scene.unknown(there)?;
    let id = scene.append(index).events[0].id;
    let mut log = scene.log().iter_mut();
    log.find(|event| event.id == id)?.payload = b"else".to_vec().into();
    Some(())
}

pub(super) fn split_append(scene: &mut Scene) -> Option<()> {
    let (_, receipt) = scene.recorded(|_, _, _, receipt| receipt.first < receipt.last)?;
    let moved = scene.log().remove(usize::try_from(receipt.last).ok()? - 1);
    scene.log().push(moved);
    scene.renumber();
    Some(())
}

pub(super) fn unknown_half_there(scene: &mut Scene) -> Option<()> {
    let index = scene.unknown(|scene, call| {
        call.events.len() > 1
            && call
                .events
                .iter()
                .all(|event| scene.attempts(event.id) == 1 && !scene.is_there(event.id))
    })?;
    let event = scene.append(index).events[0].clone();
    scene.write(&event);
    Some(())
}

pub(super) fn invented_event(scene: &mut Scene) -> Option<()> {
    let event = new_event(scene, "s-0-1");
    scene.write(&event);
    Some(())
}

pub(super) fn invented_deletion(scene: &mut Scene) -> Option<()> {
    let event = new_event(scene, "nobody-asked");
    scene.write(&event);
    let deletion = Event {
        event_type: STREAM_DELETED.to_owned(),
        ..new_event(scene, "nobody-asked")
    };
    scene.write(&deletion);
    Some(())
}

pub(super) fn refused_but_recorded(scene: &mut Scene) -> Option<()> {
    let index = scene.refused(|scene, call, _| {
        call.events.iter().all(|event| !scene.is_there(event.id))
            && call
                .events
                .iter()
                .all(|event| scene.attempts(event.id) == 1)
    })?;
    scene.write_all(index);
    Some(())
}
