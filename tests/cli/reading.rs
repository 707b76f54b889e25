//! `annals read`, `tail`, `streams`, `types` and `verify`, also beside a process that writes.

use std::io::{BufRead as _, BufReader, Write as _};

use crate::{
    exporting::odd_topic,
    run::{Place, events, text},
};

fn with_events() -> Place {
    let place = Place::new();
    place.good(&["topic", "create", "orders"]);
    place
        .feed(&["append", "orders", "--batch", "100"], events(200))
        .good();
    place
}

fn positions(place: &Place, arguments: &[&str]) -> Vec<u64> {
    let mut all = vec!["read", "orders"];
    all.extend(arguments);
    let read = place.json(&all);
    read.iter()
        .map(|event| event["position"].as_u64().unwrap())
        .collect()
}

#[test]
fn filters_and_bounds_choose_events() {
    let place = with_events();
    assert_eq!(positions(&place, &[]), (1..=200).collect::<Vec<_>>());
    assert_eq!(
        positions(&place, &["--after", "195"]),
        [196, 197, 198, 199, 200]
    );
    assert_eq!(positions(&place, &["--after", "5", "--up-to", "7"]), [6, 7]);
    assert_eq!(positions(&place, &["--backward", "-n", "2"]), [200, 199]);
    assert_eq!(
        positions(&place, &["--type", "Kind 0", "--limit", "2"]),
        [1, 8]
    );
    assert_eq!(
        positions(&place, &["--tag", "a:1", "--tag", "b \"2\"", "-n", "1"]),
        [4]
    );
    assert_eq!(
        positions(&place, &["--stream", "order-1"]),
        [2, 6, 10, 14, 18]
    );
    assert_eq!(
        positions(&place, &["--stream", "order-1", "--after-version", "3"]),
        [14, 18]
    );
    assert_eq!(
        positions(&place, &["--stream", "", "--up-to-version", "2"]),
        [1, 5]
    );
    assert_eq!(
        positions(
            &place,
            &["--stream", "order-1", "--stream", "order-2", "-n", "3"]
        ),
        [2, 3, 6]
    );
    assert_eq!(
        positions(&place, &["--stream-prefix", "order-1", "-n", "6"]),
        [2, 6, 10, 14, 18, 43]
    );
    assert!(positions(&place, &["--until", "2001-01-01T00:00:00Z"]).is_empty());
    assert_eq!(
        positions(&place, &["--since", "2001-01-01T00:00:00Z"]).len(),
        200
    );
    let two = [
        "read",
        "orders",
        "--stream",
        "a",
        "--stream",
        "b",
        "--after-version",
        "1",
    ];
    place.run(&two).bad(2);
    assert!(
        place
            .good(&["read", "orders", "--stream", "nobody"])
            .is_empty()
    );
}

#[test]
fn a_deleted_stream_is_read_where_that_is_asked_for() {
    let place = Place::new();
    odd_topic(&place, "odd", 20);
    let gone = ["read", "odd", "--stream", "order-2"];
    place.run(&gone).bad(3);
    let read = place.json(&[&gone[..], &["--include-deleted"]].concat());
    assert_eq!(read.len(), 6);
    assert_eq!(read[5]["type"], "$stream-deleted");
}

#[test]
fn a_table_shows_no_control_characters() {
    let place = Place::new();
    place.good(&["topic", "create", "orders"]);
    let input = r#"{"type":"A","contentType":"text/plain","dataBase64":"G1szMW1yZWQKbmV4dA=="}"#;
    place.feed(&["append", "orders"], input).good();
    let table = place.good(&["read", "orders", "--format", "table"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(
        table.contains("red next") && !table.contains('\u{1b}'),
        "{table}"
    );
    let long = format!(r#"{{"type":"A","data":"{}"}}"#, "x".repeat(500));
    place.feed(&["append", "orders"], long).good();
    let table = place.good(&["read", "orders", "--format", "table"]);
    let last = table.lines().last().unwrap();
    assert!(last.ends_with('…') && last.chars().count() < 250, "{last}");
}

#[test]
fn streams_and_types_are_listed() {
    let place = with_events();
    let all = place.json(&["streams", "orders"]);
    assert_eq!(all.len(), 31);
    assert_eq!(all[0]["stream"], "");
    assert_eq!(all[0]["version"], 50);
    assert_eq!(all[1]["stream"], "order-1");
    assert_eq!(
        (&all[1]["version"], &all[1]["createdPosition"]),
        (&5.into(), &2.into())
    );
    let some = place.json(&["streams", "orders", "--prefix", "order-2", "--limit", "2"]);
    assert_eq!(some.len(), 2);
    assert_eq!(some[0]["stream"], "order-2");
    let shown = place.good(&["streams", "orders", "--limit", "1"]);
    assert!(shown.contains("(default stream)"), "{shown}");
    let types = place.json(&["types", "orders"]);
    assert_eq!(types.len(), 7);
    let total: u64 = types.iter().map(|one| one["count"].as_u64().unwrap()).sum();
    assert_eq!(total, 200);
    assert_eq!(types[0]["type"], "Kind 0");
    let later = place.json(&["streams", "orders", "--after", "2", "--limit", "1"]);
    assert_eq!(later[0]["stream"], "order-2");
    // The most frequent first.
    let rest = place.json(&["types", "orders", "--after", "5"]);
    assert_eq!(
        (&rest[6]["type"], &rest[6]["count"]),
        (&"Kind 4".into(), &27.into())
    );
    let some = place.json(&["types", "orders", "--type", "Kind 3", "--after", "100"]);
    assert_eq!(some.len(), 1);
    assert_eq!(some[0]["count"], 15);
}

#[test]
fn damage_is_found_and_named() {
    let place = with_events();
    place.good(&["topic", "create", "whole"]);
    let verified = place.json(&["verify"]);
    assert_eq!(verified[0]["events"], 200);
    assert_eq!(verified[1]["whole"], true);
    let storage = place.json(&["topic", "show", "orders"])[0]["storage"].clone();
    let topic = place.data().join("topics").join(storage.as_str().unwrap());
    let log = std::fs::read_dir(&topic)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "log"))
        .unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[4000] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let ran = place.run(&["verify", "--json"]);
    let lines = crate::run::objects(std::str::from_utf8(&ran.out).unwrap());
    assert_eq!(lines[0]["whole"], false);
    assert_eq!(
        lines[1]["whole"], true,
        "the others are checked all the same"
    );
    assert_eq!(ran.bad_json(6)["error"], "corruption");
    place.good(&["verify", "whole"]);
    // Damage is the worst that there is to tell.
    place.run(&["verify", "none", "orders", "none"]).bad(6);
    place.run(&["verify", "none", "whole"]).bad(3);
}

#[test]
fn what_reads_works_beside_what_writes_and_what_writes_says_so() {
    let place = with_events();
    // It has the store for as long as its input is open.
    let mut writer = place.start(&["append", "orders"]);
    let mut input = writer.stdin.take().unwrap();
    let mut tail = place.start(&["tail", "orders", "--after", "200"]);
    let mut seen = BufReader::new(tail.stdout.take().unwrap()).lines();
    writeln!(input, "{{\"type\":\"New\"}}").unwrap();
    assert!(seen.next().unwrap().unwrap().contains("\"position\":201"));
    assert_eq!(place.json(&["read", "orders", "--type", "New"]).len(), 1);
    for command in [
        &["topic", "list"][..],
        &["topic", "show", "orders"],
        &["streams", "orders"],
        &["types", "orders"],
        &["verify"],
        &["doctor"],
        &["export", "orders"],
        &["backup", text(&place.path("backup"))],
    ] {
        place.good(command);
    }
    for command in [
        &["topic", "create", "b"][..],
        &["append", "orders"],
        &["doctor", "--fix"],
    ] {
        let error = place.run(command).bad(5);
        assert!(error.contains("in use by another process"), "{error}");
        assert!(error.contains("commands that only read"), "{error}");
    }
    drop(input);
    assert!(writer.wait().unwrap().success());
    place.good(&["topic", "create", "b"]);
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn a_tail_begins_where_it_is_told_to() {
    let place = with_events();
    let lines = |arguments: &[&str]| {
        let mut all = vec!["tail", "orders"];
        all.extend(arguments);
        place
            .json(&all)
            .iter()
            .map(|event| event["position"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&["--limit", "10"]), (191..=200).collect::<Vec<_>>());
    assert_eq!(lines(&["--after", "7", "--limit", "2"]), [8, 9]);
    assert_eq!(lines(&["-n", "3", "--limit", "3"]), [198, 199, 200]);
    assert_eq!(
        lines(&["--after", "0", "--stream", "order-1", "--limit", "2"]),
        [2, 6]
    );
    assert_eq!(
        lines(&["--after", "0", "--type", "Kind 6", "--limit", "1"]),
        [7]
    );
    place.run(&["tail", "orders", "--after", "201"]).bad(2);
}
