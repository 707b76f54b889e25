//! Faults of subscriptions.

use super::scene::{Scene, moment};
use crate::history::record::{Delivery, Filter, Seen, Start};

pub(super) fn double_delivery(scene: &mut Scene) -> Option<()> {
    let index = scene.following(2, |_, _, _| true)?;
    let delivered = &mut scene.live(index).delivered;
    delivered.insert(1, delivered[0]);
    Some(())
}

pub(super) fn missed_delivery(scene: &mut Scene) -> Option<()> {
    let index = scene.following(3, |_, _, _| true)?;
    scene.live(index).delivered.remove(1);
    Some(())
}

pub(super) fn missed_last_delivery(scene: &mut Scene) -> Option<()> {
    let index = scene.following(2, |_, _, _| true)?;
    scene.live(index).delivered.pop();
    Some(())
}

pub(super) fn reordered_delivery(scene: &mut Scene) -> Option<()> {
    let index = scene.following(2, |_, _, call| call.delivered[0].at == call.delivered[1].at)?;
    scene.live(index).delivered.swap(0, 1);
    Some(())
}

pub(super) fn delivery_beyond_the_filter(scene: &mut Scene) -> Option<()> {
    let index = scene.following(1, |_, _, _| true)?;
    scene.live(index).stream = Some("another".to_owned());
    Some(())
}

pub(super) fn delivery_from_before_the_start(scene: &mut Scene) -> Option<()> {
    let index = scene.following(1, |_, _, call| matches!(call.start, Start::After(_)))?;
    let call = scene.live(index);
    call.start = Start::After(call.delivered[0].seen.position);
    Some(())
}

pub(super) fn now_that_was_before(scene: &mut Scene) -> Option<()> {
    let (now, receipt) = moment(scene)?;
    let index = scene.following(1, |_, entry, call| {
        entry.begin > now
            && call.start == Start::Now
            && call.filter == Filter::all()
            && call.stream.is_none()
    })?;
    let seen = Seen::of(scene.event(receipt.last));
    let first = scene.live(index).delivered[0].seen.position;
    let between: Vec<_> = (receipt.last + 1..first)
        .map(|place| Seen::of(scene.event(place)))
        .collect();
    let call = scene.live(index);
    let at = call.delivered[0].at;
    let earlier = [seen].into_iter().chain(between);
    let earlier = earlier.map(|seen| Delivery { at, seen });
    let delivered: Vec<_> = earlier.chain(call.delivered.drain(..)).collect();
    call.delivered = delivered;
    Some(())
}

pub(super) fn checkpoint_before_a_delivery(scene: &mut Scene) -> Option<()> {
    let index = scene.following(1, |_, _, _| true)?;
    let call = scene.live(index);
    call.position = call.delivered.last()?.seen.position - 1;
    Some(())
}

pub(super) fn checkpoint_in_the_future(scene: &mut Scene) -> Option<()> {
    let index = scene.following(0, |_, _, _| true)?;
    scene.live(index).position = 1_000_000;
    Some(())
}

pub(super) fn subscription_that_stands_still(scene: &mut Scene) -> Option<()> {
    let index = scene.following(0, |scene, _, call| call.position < scene.head())?;
    scene.live(index).to_the_end = true;
    Some(())
}

pub(super) fn delivery_from_the_future(scene: &mut Scene) -> Option<()> {
    let index = scene.following(1, |_, _, _| true)?;
    scene.live(index).delivered[0].at = 0;
    Some(())
}

pub(super) fn other_bytes_delivered(scene: &mut Scene) -> Option<()> {
    let index = scene.following(1, |scene, _, call| !scene.moved_after(call.delivered[0].at))?;
    scene.live(index).delivered[0].seen.digest ^= 1;
    Some(())
}

pub(super) fn silence_from_now_on(scene: &mut Scene) -> Option<()> {
    // What was begun only after it had started can not have been there before.
    let index = scene.following(1, |scene, _, call| {
        let last = call.delivered[call.delivered.len() - 1].seen.position;
        let later = scene
            .begin_of(last)
            .is_some_and(|begin| begin > call.started);
        call.start == Start::Now && later
    })?;
    scene.live(index).delivered.clear();
    Some(())
}
