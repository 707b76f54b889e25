//! P8: subscriptions over the repository. What each is given is an exact run of what is recorded,
//! wherever it begins, whatever it asks for, and however slow it is.

use futures_util::{FutureExt, StreamExt};

use super::{
    case::case_table,
    draft::{Draft, stream_id},
    scene::{Scene, soon},
    wish::{Wish, next, subscribe, take_to},
};
use crate::{
    models::{EventFilter, Position, RecordedEvent, Signal},
    subscription::Signals,
};

case_table! { Live:
    a_subscription_delivers_history_and_then_what_comes,
    a_subscription_begins_after_any_position,
    a_subscription_of_a_filter_moves_on_where_nothing_matches,
    a_subscription_of_a_stream_delivers_its_deletion,
    large_appends_are_delivered_in_portions,
    a_slow_subscriber_falls_behind_and_loses_nothing,
    a_subscription_tells_when_it_has_caught_up,
}

async fn a_subscription_delivers_history_and_then_what_comes(scene: Scene) {
    for history in [0, 1] {
        let wish = Wish {
            history,
            ..Wish::after(0)
        };
        let (mut live, mut delivered) = (subscribe(&scene, &wish), wish.delivered());
        let before = scene.head().await;
        scene.write(Draft::to("s").events(300, "Given")).await;
        take_to(&mut live, &mut delivered, before + 300).await;
        for head in before + 300..before + 330 {
            assert!(live.next().now_or_never().is_none(), "nothing is there");
            scene.write(Draft::to("s").event("Given")).await;
            delivered.take(&next(&mut live).await);
            assert_eq!(live.position().get(), head + 1);
        }
        delivered.check(&scene.log().await, Position::new(before + 330));
    }
}

async fn a_subscription_begins_after_any_position(scene: Scene) {
    for number in 0..20 {
        let stream = format!("s-{}", number % 3);
        scene.write(Draft::to(&stream).events(2, "Given")).await;
    }
    let log = scene.log().await;
    for after in 0..=40 {
        let wish = Wish::after(after);
        let (mut live, mut delivered) = (subscribe(&scene, &wish), wish.delivered());
        assert_eq!(live.position().get(), after);
        take_to(&mut live, &mut delivered, 40).await;
        delivered.check(&log, Position::new(40));
        assert!(live.next().now_or_never().is_none());
    }
}

async fn a_subscription_of_a_filter_moves_on_where_nothing_matches(scene: Scene) {
    let filters = [
        EventFilter::all().types(["Wanted"]),
        EventFilter::all().tags(["wanted"]),
        EventFilter::all().stream_prefix("wanted-"),
        EventFilter::all().streams(["wanted-1", "none"]),
        EventFilter::all().types(["NeverThere"]),
    ];
    let mut subscriptions = Vec::new();
    for filter in filters {
        let wish = Wish {
            filter,
            ..Wish::after(0)
        };
        subscriptions.push((subscribe(&scene, &wish), wish.delivered()));
    }
    for round in 0..12 {
        let stream = if round % 4 == 0 { "wanted-1" } else { "other" };
        let draft = Draft::to(stream)
            .events(3, "Other")
            .event(if round % 3 == 0 { "Wanted" } else { "Other" })
            .tags(if round % 5 == 0 { &["wanted"] } else { &[] });
        let head = scene.write(draft).await.last;
        for (live, delivered) in &mut subscriptions {
            take_to(live, delivered, head.get()).await;
            assert_eq!(live.position(), head);
        }
    }
    let log = scene.log().await;
    for (live, delivered) in subscriptions {
        delivered.check(&log, live.position());
    }
}

async fn a_subscription_of_a_stream_delivers_its_deletion(scene: Scene) {
    let wish = Wish {
        stream: Some(stream_id("s")),
        ..Wish::after(0)
    };
    let (mut live, mut delivered) = (subscribe(&scene, &wish), wish.delivered());
    scene.write(Draft::to("s").events(2, "Given")).await;
    scene.write(Draft::to("other").event("Given")).await;
    scene.write(Draft::to("s").event("$stream-deleted")).await;
    take_to(&mut live, &mut delivered, 4).await;
    scene.write(Draft::to("s").event("$stream-restored")).await;
    scene.write(Draft::to("s").event("Given")).await;
    take_to(&mut live, &mut delivered, 6).await;
    // One who comes late gets the same, also while the stream is deleted.
    scene.write(Draft::to("s").event("$stream-deleted")).await;
    take_to(&mut live, &mut delivered, 7).await;
    let (mut late, mut to_late) = (subscribe(&scene, &wish), wish.delivered());
    take_to(&mut late, &mut to_late, 7).await;
    let log = scene.log().await;
    for delivered in [delivered, to_late] {
        assert_eq!(delivered.count(), 6);
        delivered.check(&log, Position::new(7));
    }
}

async fn large_appends_are_delivered_in_portions(scene: Scene) {
    // The one has a permit to hold whole pages, the others take small portions.
    let wishes = [1, 0, 0].map(|history| Wish {
        history,
        behind: 100,
        ..Wish::after(0)
    });
    let mut subscriptions = wishes.map(|wish| (subscribe(&scene, &wish), wish.delivered()));
    for (round, events) in [3000_usize, 64, 65, 128, 1, 1000].into_iter().enumerate() {
        let stream = format!("s-{round}");
        let head = scene
            .write(Draft::to(&stream).events(events, "Given"))
            .await;
        for (live, delivered) in &mut subscriptions {
            take_to(live, delivered, head.last.get()).await;
        }
    }
    let log = scene.log().await;
    for (live, delivered) in subscriptions {
        assert_eq!(delivered.count(), log.len());
        delivered.check(&log, live.position());
    }
}

async fn a_slow_subscriber_falls_behind_and_loses_nothing(scene: Scene) {
    let wish = Wish {
        behind: 10,
        ..Wish::after(0)
    };
    let mut signals = subscribe(&scene, &wish).signals();
    let mut delivered = wish.delivered();
    assert_eq!(
        signal(&mut signals).await,
        Signal::CaughtUp(Position::START)
    );
    let mut head = Position::START;
    for round in 0..5 {
        // Up to the number that it may leave undelivered, it is not behind.
        scene.write(Draft::to("s").events(10, "Given")).await;
        for _ in 0..10 {
            delivered.take(&event(signal(&mut signals).await));
        }
        for _ in 0..=round {
            let stream = format!("s-{round}");
            head = scene
                .write(Draft::to(&stream).events(11, "Given"))
                .await
                .last;
        }
        let fell = Signal::FellBehind(delivered.last());
        assert_eq!(signal(&mut signals).await, fell);
        assert!(!signals.subscription().is_caught_up());
        while delivered.last() < head {
            delivered.take(&event(signal(&mut signals).await));
        }
        assert_eq!(signal(&mut signals).await, Signal::CaughtUp(head));
        assert!(signals.subscription().is_caught_up());
    }
    delivered.check(&scene.log().await, head);
}

async fn signal(signals: &mut Signals) -> Signal {
    let item = soon("a signal", signals.next()).await;
    item.expect("it goes on").expect("nothing is in the way")
}

fn event(signal: Signal) -> RecordedEvent {
    match signal {
        Signal::Event(event) => event,
        other => panic!("{other:?} in place of an event"),
    }
}

async fn a_subscription_tells_when_it_has_caught_up(scene: Scene) {
    scene.write(Draft::to("s").events(500, "Given")).await;
    for after in [0, 250, 500] {
        for history in [0, 1] {
            let wish = Wish {
                history,
                ..Wish::after(after)
            };
            let mut signals = subscribe(&scene, &wish).signals();
            let mut delivered = wish.delivered();
            for _ in after..500 {
                assert!(!signals.subscription().is_caught_up());
                delivered.take(&event(signal(&mut signals).await));
            }
            let caught_up = Signal::CaughtUp(Position::new(500));
            assert_eq!(signal(&mut signals).await, caught_up);
            assert!(signals.next().now_or_never().is_none());
        }
    }
    // Where nothing matches, it has caught up all the same.
    let wish = Wish {
        filter: EventFilter::all().types(["NeverThere"]),
        ..Wish::after(0)
    };
    let mut signals = subscribe(&scene, &wish).signals();
    let caught_up = Signal::CaughtUp(Position::new(500));
    assert_eq!(signal(&mut signals).await, caught_up);
}
