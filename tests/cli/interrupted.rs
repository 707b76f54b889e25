//! Ctrl-C: every command ends in order, and says what stays.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::Child,
};

use crate::run::{Place, events};

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn a_tail_ends_well() {
    let place = Place::new();
    place.good(&["topic", "create", "orders"]);
    place.feed(&["append", "orders"], "{\"type\":\"A\"}").good();
    let mut child = place.start(&["tail", "orders"]);
    let mut seen = BufReader::new(child.stdout.take().unwrap()).lines();
    seen.next().unwrap().unwrap();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_append_says_what_is_recorded_and_lets_go_of_the_store() {
    let place = Place::new();
    place.good(&["topic", "create", "orders"]);
    let mut tail = place.start(&["tail", "orders"]);
    let mut seen = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut child = place.start(&["append", "orders"]);
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{{\"type\":\"A\"}}").unwrap();
    seen.next().unwrap().unwrap();
    interrupt(&child);
    // Its input stays open: it does not wait for that.
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert!(told.contains("recorded before: 1 event"), "{told}");
    place.feed(&["append", "orders"], events(3)).good();
    interrupt(&tail);
    tail.wait().unwrap();
}
