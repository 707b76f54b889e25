//! Ctrl-C: every command ends in order, and says what stays.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::Child,
};

use annals::repository::postgres::sqlx::{self, AssertSqlSafe, Connection as _, PgConnection};

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
    let told = said(child);
    assert!(told.contains("recorded before: 1 event"), "{told}");
    place.feed(&["append", "orders"], events(3)).good();
    interrupt(&tail);
    tail.wait().unwrap();
}

fn said(mut child: Child) -> String {
    let mut told = String::new();
    let mut error = child.stderr.take().unwrap();
    error.read_to_string(&mut told).unwrap();
    told
}

#[test]
fn an_import_says_what_is_recorded_and_can_be_gone_on_with() {
    let place = Place::new();
    place.good(&["topic", "create", "orders"]);
    let append = ["append", "orders", "--batch", "1000"];
    place.feed(&append, events(3_000)).good();
    let exported = place.good(&["export", "orders"]);
    let import = ["import", "copy", "--create"];
    let mut child = place.start(&import);
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(&exported.as_bytes()[..exported.len() / 2])
        .unwrap();
    let tail = ["tail", "copy", "--after", "0", "--limit", "1"];
    // It is there when the first events are.
    while place.run(&["topic", "show", "copy"]).code != Some(0) {}
    place.good(&tail);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(input);
    let told = said(child);
    assert!(told.contains("repeat the import to go on"), "{told}");
    place.feed(&import, &exported).good();
    let copied = place.good(&["export", "copy"]);
    assert!(copied.replace("\"copy\"", "\"orders\"") == exported);
}

#[test]
fn a_move_leaves_the_topic_where_it_was() {
    let mut place = Place::new();
    let server = crate::servers::postgres();
    let url = server.fresh();
    place.set("DATABASE", &url);
    let there = ["--adapter", "postgres", "--connection", "${DATABASE}"];
    place.good(&["topic", "create", "orders"]);
    place.feed(&["append", "orders"], events(5)).good();
    place.good(&[&["topic", "create", "first"][..], &there].concat());
    // Nothing can be moved there for now.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_, schema) = url.split_once("annals.schema=").unwrap();
    let lock = format!("BEGIN; LOCK TABLE {schema}.topics IN ACCESS EXCLUSIVE MODE");
    let held = runtime.block_on(async {
        let mut held = PgConnection::connect(server.url()).await.unwrap();
        let locked = sqlx::raw_sql(AssertSqlSafe(lock));
        locked.execute(&mut held).await.unwrap();
        held
    });
    let shown = || place.json(&["topic", "show", "orders"])[0].clone();
    let before = shown();
    let mut child = place.start(&[&["topic", "move", "orders"][..], &there].concat());
    while shown()["moving"].is_null() {}
    interrupt(&child);
    while !shown()["moving"].is_null() {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it has gone, and the move goes on");
    }
    runtime.block_on(held.close()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let told = said(child);
    assert!(told.contains("the topic is where it was"), "{told}");
    assert_eq!(shown(), before);
    place.feed(&["append", "orders"], events(1)).good();
}
