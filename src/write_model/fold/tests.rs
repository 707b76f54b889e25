//! The fold gives the same model however it is cut, and refuses what contradicts it.

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::models::{ContentType, EventType, Options, StreamId, Tags, Version};
use crate::write_model::events::StoreCreated;

fn recorded(position: u64, event: &ConfigurationEvent) -> RecordedEvent {
    let event = event.to_event().unwrap();
    RecordedEvent {
        topic: TopicName::configuration(),
        position: Position::new(position),
        stream: StreamId::default(),
        version: Version::new(position),
        id: event.id,
        event_type: EventType::new(event.event_type).unwrap(),
        payload: event.payload,
        content_type: ContentType::JSON,
        metadata: Bytes::new(),
        tags: Tags::default(),
        recorded_at: Timestamp::default(),
    }
}

fn placement(name: &str, storage: u128) -> Placement {
    Placement {
        topic: TopicName::new(name).unwrap(),
        adapter: "memory".to_owned(),
        connection: String::new(),
        options: Options::new(),
        storage: StorageId::new(Uuid::from_u128(storage)),
        store: StoreId::NONE,
    }
}

fn created(name: &str, storage: u128) -> ConfigurationEvent {
    let extra = Extra::from_iter([("later".to_owned(), serde_json::json!({ "a": 1 }))]);
    ConfigurationEvent::TopicCreated(TopicCreated {
        placement: placement(name, storage),
        created_at: Timestamp::from_micros(5),
        extra,
    })
}

fn named(name: &str, storage: u128) -> TopicNamed {
    TopicNamed::of(&placement(name, storage))
}

fn started(name: &str, storage: u128, target: u128) -> ConfigurationEvent {
    ConfigurationEvent::MoveStarted(MoveStarted {
        topic: TopicName::new(name).unwrap(),
        storage: StorageId::new(Uuid::from_u128(storage)),
        target: Placement {
            connection: "there".to_owned(),
            ..placement(name, target)
        },
        mover: Uuid::from_u128(1),
        extra: Extra::new(),
    })
}

fn step(name: &str, storage: u128, mover: u128) -> MoveStep {
    MoveStep {
        topic: TopicName::new(name).unwrap(),
        storage: StorageId::new(Uuid::from_u128(storage)),
        mover: Uuid::from_u128(mover),
        copied: Position::new(7),
        extra: Extra::new(),
    }
}

fn aborted(name: &str, storage: u128) -> ConfigurationEvent {
    ConfigurationEvent::MoveAborted(MoveAborted {
        topic: TopicName::new(name).unwrap(),
        storage: StorageId::new(Uuid::from_u128(storage)),
        reason: "why".to_owned(),
        extra: Extra::new(),
    })
}

fn removed(name: &str, storage: u128, former: u128) -> ConfigurationEvent {
    ConfigurationEvent::FormerRemoved(FormerRemoved {
        topic: TopicName::new(name).unwrap(),
        storage: StorageId::new(Uuid::from_u128(storage)),
        former: StorageId::new(Uuid::from_u128(former)),
        extra: Extra::new(),
    })
}

fn any_event() -> impl Strategy<Value = ConfigurationEvent> {
    let name = prop_oneof!["a", "b", "c"];
    (name, 0..6_u128, 0..6_u128, 0..14_u8).prop_map(|(name, storage, other, kind)| match kind {
        6 | 7 => started(&name, storage, other),
        8 => ConfigurationEvent::MoveRenewed(step(&name, storage, other)),
        9 | 10 => ConfigurationEvent::MoveSealing(step(&name, storage, 1)),
        11 => ConfigurationEvent::MoveCompleted(step(&name, storage, 1)),
        12 => aborted(&name, storage),
        13 => removed(&name, storage, other),
        0 | 1 => created(&name, storage),
        2 => ConfigurationEvent::TopicUpdated(TopicUpdated {
            topic: TopicName::new(&name).unwrap(),
            storage: StorageId::new(Uuid::from_u128(storage)),
            connection: "elsewhere".to_owned(),
            options: Options::from([("k".to_owned(), "v".to_owned())]),
            extra: Extra::new(),
        }),
        3 => ConfigurationEvent::TopicDeleted(named(&name, storage)),
        4 => ConfigurationEvent::TopicRestored(named(&name, storage)),
        _ => ConfigurationEvent::TopicPurged(named(&name, storage)),
    })
}

proptest! {
    #[test]
    fn folding_anew_after_every_step_gives_the_same_model(events in prop::collection::vec(any_event(), 0..60)) {
        let mut model = Model::default();
        let mut stream = Vec::new();
        for event in events {
            let event = recorded(stream.len() as u64 + 1, &event);
            let before = model.clone();
            // What contradicts the model is not recorded, and leaves the model as it is.
            if model.apply(&event).is_err() {
                prop_assert_eq!(&model, &before);
                continue;
            }
            stream.push(event);
            let mut anew = Model::default();
            stream.iter().try_for_each(|event| anew.apply(event)).unwrap();
            prop_assert_eq!(&model, &anew);
            let topics = anew.topics();
            let topics = topics.iter().chain(anew.deleted_topics());
            let storages: Vec<_> = topics.flat_map(|one| one.storages()).collect();
            prop_assert!(storages.iter().all(|storage| anew.uses(*storage)));
            prop_assert!(storages.iter().all(|storage| storages.iter().filter(|other| *other == storage).count() == 1));
        }
    }
}

#[test]
fn a_name_can_be_used_again_and_the_old_topic_comes_back_last_deleted_first() {
    let mut model = Model::default();
    let events = [
        created("a", 1),
        ConfigurationEvent::TopicDeleted(named("a", 1)),
        created("a", 2),
        ConfigurationEvent::TopicDeleted(named("a", 2)),
    ];
    for (event, position) in events.iter().zip(1..) {
        model.apply(&recorded(position, event)).unwrap();
    }
    assert_eq!(
        model
            .deleted("a")
            .last()
            .unwrap()
            .placement
            .storage
            .uuid()
            .as_u128(),
        2
    );
    model
        .apply(&recorded(
            5,
            &ConfigurationEvent::TopicRestored(named("a", 2)),
        ))
        .unwrap();
    assert_eq!(
        model.topic("a").unwrap().placement.storage.uuid().as_u128(),
        2
    );
    assert_eq!(model.deleted("a").len(), 1);
}

#[test]
fn a_repository_in_which_a_topic_was_purged_is_known_once() {
    let mut model = Model::default();
    let events = [
        created("a", 1),
        created("b", 2),
        ConfigurationEvent::TopicDeleted(named("a", 1)),
        ConfigurationEvent::TopicDeleted(named("b", 2)),
        ConfigurationEvent::TopicPurged(named("a", 1)),
        ConfigurationEvent::TopicPurged(named("b", 2)),
    ];
    for (event, position) in events.iter().zip(1..) {
        model.apply(&recorded(position, event)).unwrap();
    }
    let purged: Vec<_> = model.left().collect();
    assert_eq!(purged, [&placement("b", 2)]);
    assert!(model.topics().is_empty() && model.deleted_topics().next().is_none());
}

#[test]
fn a_topic_moves_only_by_all_steps_and_can_do_nothing_else_meanwhile() {
    let mut model = Model::default();
    let mut apply = |event: &ConfigurationEvent| {
        let position = model.position.next().get();
        model
            .apply(&recorded(position, event))
            .map(|()| model.clone())
    };
    let renewed = ConfigurationEvent::MoveRenewed(step("a", 1, 9));
    let sealing = ConfigurationEvent::MoveSealing(step("a", 1, 9));
    let completed = ConfigurationEvent::MoveCompleted(step("a", 1, 9));
    apply(&created("a", 1)).unwrap();
    assert!(apply(&renewed).is_err() && apply(&aborted("a", 1)).is_err());
    apply(&started("a", 1, 2)).unwrap();
    assert!(apply(&started("a", 1, 3)).is_err());
    assert!(apply(&completed).is_err(), "it is not sealed");
    assert!(apply(&ConfigurationEvent::TopicDeleted(named("a", 1))).is_err());
    apply(&aborted("a", 1)).unwrap();
    apply(&started("a", 1, 2)).unwrap();
    assert_eq!(
        apply(&renewed)
            .unwrap()
            .topic("a")
            .unwrap()
            .moving
            .as_ref()
            .unwrap()
            .mover,
        Uuid::from_u128(9)
    );
    let sealed = apply(&sealing).unwrap();
    assert_eq!(
        sealed.topic("a").unwrap().moving.as_ref().unwrap().sealing,
        Some(sealed.position)
    );
    let moved = apply(&completed).unwrap();
    let topic = moved.topic("a").unwrap();
    assert_eq!(topic.placement.storage.uuid().as_u128(), 2);
    assert_eq!(topic.created_position, Position::new(1));
    assert_eq!(topic.former, [placement("a", 1)]);
    assert!(topic.moving.is_none());
    assert!(apply(&removed("a", 2, 3)).is_err());
    let removed = apply(&removed("a", 2, 1)).unwrap();
    assert!(removed.topic("a").unwrap().former.is_empty());
    assert!(!removed.uses(StorageId::new(Uuid::from_u128(1))));
    assert!(
        removed
            .left()
            .any(|one| one.storage == StorageId::new(Uuid::from_u128(1)))
    );
}

#[test]
fn fields_that_are_not_known_are_kept() {
    let mut model = Model::default();
    model.apply(&recorded(1, &created("a", 1))).unwrap();
    assert_eq!(model.topic("a").unwrap().extra["later"]["a"], 1);
}

#[test]
fn an_unknown_type_and_a_second_store_are_refused_by_position() {
    let mut model = Model::default();
    let store = ConfigurationEvent::StoreCreated(StoreCreated {
        store: StoreId::NONE,
        extra: Extra::new(),
    });
    model.apply(&recorded(1, &store)).unwrap();
    let error = model.apply(&recorded(2, &store)).unwrap_err().to_string();
    assert!(error.contains("position 2"), "{error}");
    let mut unknown = recorded(2, &store);
    unknown.event_type = EventType::new("TopicPainted").unwrap();
    let error = model.apply(&unknown).unwrap_err();
    assert!(
        matches!(error, Error::UnknownConfigurationEvent { event_type, position } if event_type == "TopicPainted" && position == Position::new(2))
    );
}
