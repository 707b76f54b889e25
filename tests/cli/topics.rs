//! `annals topic`: the life of a topic, and what scripts get to see of it.

use crate::run::{Place, text};

#[test]
fn a_topic_lives_and_dies() {
    let place = Place::new();
    let created = place.json(&["topic", "create", "orders"]);
    assert_eq!(created[0]["name"], "orders");
    assert_eq!(created[0]["status"], "active");
    assert_eq!(created[0]["head"], 0);
    // The directory is recorded so that the store can be opened from anywhere.
    assert_eq!(created[0]["connection"], text(&place.data()));
    place.run(&["topic", "create", "orders"]).bad(4);
    place.good(&["topic", "update", "orders", "--option", "sync=interval:50"]);
    let shown = place.json(&["topic", "show", "orders"]);
    assert_eq!(shown[0]["options"]["sync"], "interval:50");
    place.run(&["topic", "purge", "orders"]).bad(2);
    place.run(&["topic", "purge", "orders", "--yes"]).bad(4);
    place.good(&["topic", "delete", "orders"]);
    assert!(place.json(&["topic", "list"]).is_empty());
    let deleted = place.json(&["topic", "list", "--deleted"]);
    assert_eq!(deleted[0]["status"], "deleted");
    assert!(deleted[0]["head"].is_null());
    place.run(&["topic", "show", "orders"]).bad(3);
    place.run(&["read", "orders"]).bad(3);
    place.good(&["topic", "restore", "orders"]);
    place.run(&["topic", "restore", "orders"]).bad(4);
    place.good(&["topic", "delete", "orders"]);
    place.good(&["topic", "purge", "orders", "--yes"]);
    place.run(&["topic", "restore", "orders"]).bad(3);
}

#[test]
fn a_topic_moves_to_another_place_with_its_events() {
    let mut place = Place::new();
    place.set("ELSEWHERE", text(&place.path("elsewhere")));
    place.good(&["topic", "create", "orders"]);
    let input = crate::run::events(50);
    place
        .feed(&["append", "orders", "--batch", "50"], input)
        .good();
    let before = place.good(&["export", "orders"]);
    place.run(&["topic", "move", "orders"]).bad(2);
    let to = ["--adapter", "file", "--connection", "${ELSEWHERE}"];
    let moved = place.json(&[&["topic", "move", "orders"][..], &to].concat());
    assert_eq!(moved[0]["head"], 50);
    assert_eq!(moved[0]["connection"], "${ELSEWHERE}");
    assert_eq!(moved[0]["former"].as_array().unwrap().len(), 1);
    assert_eq!(place.good(&["export", "orders"]), before);
    let removed = place.json(&["topic", "remove-former", "orders"]);
    assert_eq!(removed[0]["removed"][0]["connection"], text(&place.data()));
    place.run(&["topic", "cancel-move", "orders"]).bad(3);
    let back = ["--adapter", "file", "--connection", "back"];
    let back = [&["topic", "move", "orders", "--remove-former"][..], &back].concat();
    assert_eq!(place.json(&back)[0]["former"], serde_json::json!([]));
    assert_eq!(place.good(&["export", "orders"]), before);
}

#[test]
fn a_password_that_is_not_told_is_not_lost_by_an_update() {
    let place = Place::new();
    let url = crate::servers::postgres().fresh();
    let url = url.replace("//annals@", "//annals:hunter2@");
    let create = ["topic", "create", "audit", "--adapter", "postgres"];
    let there = ["--connection", &url, "--allow-plain-secrets"];
    place.good(&[&create[..], &there].concat());
    let update = [
        "topic",
        "update",
        "audit",
        "--option",
        "statement_timeout_ms=5000",
    ];
    let error = place.run(&update).bad(2);
    assert!(error.contains("topic move"), "{error}");
    place.feed(&["append", "audit"], r#"{"type":"A"}"#).good();
}

#[test]
fn lists_are_for_people_and_for_programs() {
    let place = Place::new();
    for topic in ["a", "b"] {
        place.good(&["topic", "create", topic]);
    }
    let table = place.good(&["topic", "list"]);
    assert!(
        table.contains("repository") && table.contains(" a "),
        "{table}"
    );
    let names: Vec<_> = place
        .json(&["topic", "list"])
        .iter()
        .map(|topic| topic["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn the_configuration_can_be_anywhere() {
    let mut place = Place::new();
    let objects = format!("file://{}", text(&place.path("objects")));
    place.set("ANNALS_CONFIGURATION_ADAPTER", "blob");
    place.set("ANNALS_CONFIGURATION_CONNECTION", &objects);
    std::fs::create_dir(place.path("objects")).unwrap();
    let created = place.json(&["topic", "create", "orders"]);
    assert_eq!(created[0]["adapter"], "blob");
    assert!(!place.data().exists(), "nothing else is made");
    assert_eq!(place.json(&["topic", "list"]).len(), 1);
    // Its options are those of its adapter.
    let misspelt = ["topic", "list", "--configuration-option", "snyc=always"];
    assert!(place.run(&misspelt).bad(2).contains("snyc"));
}
