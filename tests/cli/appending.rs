//! `annals append`: what is recorded, and what of bad input is not.

use std::io::{BufRead as _, BufReader, Write as _};

use crate::run::{Place, events};

fn with_topic() -> Place {
    let place = Place::new();
    place.good(&["topic", "create", "orders"]);
    place
}

fn count(place: &Place) -> u64 {
    place.json(&["topic", "show", "orders"])[0]["head"]
        .as_u64()
        .unwrap()
}

#[test]
fn lines_become_events_of_a_stream() {
    let place = with_topic();
    let input = "{\"type\":\"Placed\",\"data\":{\"total\" : 42}}\r\n\n{\"type\":\"Paid\",\"stream\":\"other\",\"tags\":[\"a\"]}";
    let arguments = [
        "append",
        "orders",
        "--stream",
        "order-1",
        "--expected",
        "no-stream",
        "--json",
    ];
    let told = place.feed(&arguments, input).good();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["events"], 2);
    assert_eq!((&told["first"], &told["last"]), (&1.into(), &2.into()));
    let read = place.json(&["read", "orders"]);
    assert_eq!(read[0]["stream"], "order-1");
    assert_eq!(read[1]["stream"], "other");
    assert!(
        place.good(&["read", "orders"]).contains("{\"total\" : 42}"),
        "bytes are kept"
    );
    let error = place.feed(&arguments, "{\"type\":\"Placed\"}").bad_json(4);
    assert_eq!(error["error"], "conflict");
    assert_eq!(error["actual"], 1);
    assert_eq!(error["recorded"], 0);
}

#[test]
fn each_batch_expects_what_the_one_before_has_left() {
    let place = with_topic();
    let lines = "{\"type\":\"A\"}\n".repeat(5);
    let append = |expected: &str, batch: &str| {
        let arguments = [
            "append",
            "orders",
            "--stream",
            "s",
            "--expected",
            expected,
            "--batch",
            batch,
        ];
        place.feed(&arguments, &lines)
    };
    append("no-stream", "2").good();
    append("5", "1").good();
    append("exists", "3").good();
    append("5", "1").bad(4);
    assert_eq!(count(&place), 15);
}

#[test]
fn a_key_records_the_same_input_once() {
    let place = with_topic();
    let input = events(25);
    let arguments = [
        "append",
        "orders",
        "--idempotency-key",
        "load",
        "--batch",
        "10",
    ];
    assert!(
        place
            .feed(&arguments, &input)
            .good()
            .contains("25 events recorded")
    );
    let again = place.feed(&arguments, &input).good();
    assert!(again.contains("25 events recorded before"), "{again}");
    assert_eq!(count(&place), 25);
    // The beginning of it, then all of it: as after an interruption.
    let error = place
        .feed(&arguments, events(25).replace("Kind 3", "Kind X"))
        .bad(4);
    assert!(error.contains("line"), "{error}");
    let own = "{\"type\":\"A\",\"id\":\"01989f3e-7a54-7d2b-9d54-3a6c6a1b2c3d\"}";
    place.feed(&arguments, own).bad(2);
    let empty = ["append", "orders", "--idempotency-key", ""];
    place.feed(&empty, &input).bad(2);
    assert_eq!(count(&place), 25);
}

#[test]
fn events_are_as_large_as_a_store_takes_them_and_no_larger() {
    let place = with_topic();
    let event = |bytes: usize| format!(r#"{{"type":"A","data":"{}"}}"#, "x".repeat(bytes));
    place.feed(&["append", "orders"], event(2 << 20)).good();
    let append = ["append", "orders", "--json"];
    let error = place.feed(&append, event(17 << 20)).bad_json(2);
    assert!(error["limit"].as_u64().unwrap() >= 2 << 20, "{error}");
    let error = place.feed(&append, event(48 << 20)).bad_json(2);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("line 1: it is longer than"), "{message}");
    assert_eq!(count(&place), 1);
}

#[test]
fn a_topic_that_is_not_there_is_told_before_any_line_is_awaited() {
    let place = with_topic();
    let mut child = place.start(&["append", "ordres"]);
    // Its input stays open.
    let input = child.stdin.take().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    drop(input);
}

#[test]
fn a_bad_line_is_named_and_nothing_of_its_batch_is_recorded() {
    for (bad, what) in [
        ("nonsense", "expected"),
        ("{\"type\":\"A\",\"dta\":1}", "unknown field `dta`"),
        ("{\"data\":1}", "missing field `type`"),
        ("[]", "invalid"),
        ("{\"type\":\"A\",\"dataBase64\":\"?\"}", "base64"),
        (
            "{\"type\":\"A\",\"data\":1,\"dataBase64\":\"AA==\"}",
            "give one of them",
        ),
        ("{\"type\":\"A\",\"id\":\"7\"}", "UUID"),
        ("{\"type\":\"$stream-deleted\"}", "$"),
        ("{\"type\":\"\"}", "event"),
        ("{\"type\":\"A\",\"stream\":\"a\\u0000b\"}", "control"),
        ("{\"type\":\"A\"} {\"type\":\"B\"}", "trailing"),
    ] {
        let place = with_topic();
        let good = "{\"type\":\"A\"}\n";
        let input = format!("{}{bad}\n{good}", good.repeat(6));
        let error = place
            .feed(&["append", "orders", "--batch", "4", "--json"], input)
            .bad_json(2);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(what), "{bad}: {message}");
        assert!(
            message.contains("line 7") || message.contains("lines 5 to"),
            "{message}"
        );
        assert_eq!(error["recorded"], 4, "{bad}");
        assert_eq!(count(&place), 4, "{bad}");
    }
    let place = with_topic();
    let raw = [b"{\"type\":\"\xff\"}\n".as_slice()].concat();
    place.feed(&["append", "orders"], raw).bad(2);
    assert_eq!(count(&place), 0);
}

#[test]
fn a_line_is_recorded_before_the_next_one_is_awaited() {
    let place = with_topic();
    let mut tail = place.start(&["tail", "orders"]);
    let mut seen = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut child = place.start(&["append", "orders"]);
    let mut input = child.stdin.take().unwrap();
    for number in 1..=3 {
        writeln!(input, "{{\"type\":\"A\",\"data\":{number}}}").unwrap();
        let line = seen.next().unwrap().unwrap();
        assert!(line.contains(&format!("\"position\":{number},")), "{line}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    tail.kill().unwrap();
    tail.wait().unwrap();
}
