//! `annals doctor`: what it finds, and what it repairs.

use annals::{
    Placement, StorageId, SystemClock, TopicName,
    repository::{OpenRequest, RepositoryFactory, file::FileFactory},
};

use crate::run::{Place, text};

/// Leaves storage that no topic uses, as a crash in the midst of creating a topic does.
fn leave_storage(place: &Place) -> StorageId {
    let store = place.json(&["doctor"]);
    assert_eq!(store[0]["unused"], serde_json::json!([]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stream = annals::ConfigurationStream::file(text(&place.data()));
        let store = annals::EventStore::open(annals::EventStoreConfig::new(stream))
            .await
            .unwrap();
        let id = store.id();
        store.close().await.unwrap();
        let request = OpenRequest {
            connection: text(&place.data()).to_owned(),
            name: "file".to_owned(),
            options: Default::default(),
            read_only: false,
            clock: std::sync::Arc::new(SystemClock),
        };
        let repository = FileFactory.open(request).await.unwrap();
        let placement = Placement {
            topic: TopicName::new("half").unwrap(),
            adapter: "file".to_owned(),
            connection: text(&place.data()).to_owned(),
            options: Default::default(),
            storage: StorageId::generate(),
            store: id,
        };
        repository.prepare(&placement).await.unwrap();
        repository.close().await.unwrap();
        placement.storage
    })
}

#[test]
fn storage_that_no_topic_uses_is_found_and_removed_when_asked_to() {
    let place = Place::new();
    place.good(&["topic", "create", "orders"]);
    let left = leave_storage(&place).to_string();
    // It may belong to a topic that is just being created.
    let young = place.json(&["doctor"]);
    assert_eq!(young[0]["unused"], serde_json::json!([]));
    for _ in 0..2 {
        let found = place.run(&["doctor", "--older-than", "0", "--json"]);
        let told = crate::run::objects(std::str::from_utf8(&found.out).unwrap());
        assert_eq!(told[0]["unused"][0]["storage"], left.as_str());
        assert_eq!(told[0]["status"], "up");
        found.bad(1);
    }
    let fixed = place.json(&["doctor", "--older-than", "0", "--fix"]);
    assert_eq!(fixed[0]["removed"][0]["storage"], left.as_str());
    assert!(
        place
            .good(&["doctor", "--older-than", "0"])
            .contains("no storage is unused")
    );
    place.good(&["verify", "orders"]);
}

#[test]
fn a_repository_that_is_down_is_told_and_the_others_are_up() {
    let mut place = Place::new();
    place.set("ELSEWHERE", text(&place.path("elsewhere")));
    place.good(&["topic", "create", "orders"]);
    let there = [
        "topic",
        "create",
        "there",
        "--adapter",
        "file",
        "--connection",
        "${ELSEWHERE}",
    ];
    place.good(&there);
    std::fs::rename(place.path("elsewhere"), place.path("away")).unwrap();
    let ran = place.run(&["doctor", "--json"]);
    let told = crate::run::objects(std::str::from_utf8(&ran.out).unwrap());
    assert_eq!(told[0]["status"], "degraded", "{told:?}");
    let states: Vec<_> = told[0]["repositories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        states.iter().filter(|state| **state == "up").count(),
        1,
        "{told:?}"
    );
    assert_eq!(ran.bad_json(5)["error"], "unavailable");
    let listed = place.json(&["topic", "list"]);
    assert_eq!(listed[0]["head"], 0);
    assert!(
        listed[1]["head"].is_null() && listed[1]["problem"].is_string(),
        "{listed:?}"
    );
}
