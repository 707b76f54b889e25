//! `annals export` and `import`: nothing is lost on the way, and nothing wrong gets in.

use std::{io::Write as _, process::Stdio};

use crate::run::{Place, events, text};

/// A topic with events of all kinds, some of them in streams that were deleted and restored.
pub(crate) fn odd_topic(place: &Place, name: &str, count: u64) {
    place.good(&["topic", "create", name]);
    place
        .feed(&["append", name, "--batch", "500"], events(count))
        .good();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stream = annals::ConfigurationStream::file(text(&place.data()));
        let store = annals::EventStore::open(annals::EventStoreConfig::new(stream))
            .await
            .unwrap();
        for stream in ["order-1", "order-2"] {
            store.delete_stream(name, stream).await.unwrap();
        }
        store.restore_stream(name, "order-1").await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn an_import_of_an_export_is_exact() {
    let place = Place::new();
    odd_topic(&place, "orders", 300);
    let exported = place.good(&["export", "orders"]);
    assert_eq!(exported.lines().count(), 303);
    assert!(exported.contains("dataBase64") && exported.contains("$stream-restored"));
    // All of each event is in it, as it is read.
    assert_eq!(
        exported,
        place.good(&["read", "orders", "--include-deleted"])
    );
    let fourth = &crate::run::objects(&exported)[3];
    assert_eq!(fourth["tags"], serde_json::json!(["a:1", "b \"2\""]));
    assert_eq!(fourth["metadata"]["user"], "eve");
    let file = place.path("orders.ndjson");
    place.good(&["export", "orders", "--output", text(&file)]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), exported);
    let copy = text(&place.path("copy")).to_owned();
    let import = ["import", "orders", text(&file), "--create", "--data", &copy];
    let done = place.json(&import);
    assert_eq!(
        (&done[0]["imported"], &done[0]["known"]),
        (&303.into(), &0.into())
    );
    assert_eq!(place.good(&["export", "orders", "--data", &copy]), exported);
    // Again: nothing is new.
    let again = place.json(&import);
    assert_eq!(
        (&again[0]["imported"], &again[0]["known"]),
        (&0.into(), &303.into())
    );
    // Deleted streams are deleted there.
    place
        .run(&["read", "orders", "--stream", "order-2", "--data", &copy])
        .bad(3);
    place.good(&["read", "orders", "--stream", "order-1", "--data", &copy]);
    let deleted = [
        "read",
        "orders",
        "--stream",
        "order-2",
        "--include-deleted",
        "--data",
        &copy,
    ];
    assert!(!place.good(&deleted).is_empty());
    place.good(&["verify", "--data", &copy]);
    // And what is appended there goes on from there.
    let append = [
        "append",
        "orders",
        "--stream",
        "order-1",
        "--expected",
        "7",
        "--data",
        &copy,
    ];
    place.feed(&append, "{\"type\":\"More\"}").good();
}

#[test]
fn a_topic_of_many_megabytes_goes_through_a_pipe() {
    let place = Place::new();
    place.good(&["topic", "create", "large"]);
    let payload = "x".repeat(20_000);
    let line = format!("{{\"type\":\"A\",\"stream\":\"s\",\"data\":\"{payload}\"}}\n");
    place
        .feed(&["append", "large", "--batch", "100"], line.repeat(600))
        .good();
    let copy = text(&place.path("copy")).to_owned();
    let mut export = place.command(&["export", "large"]).spawn().unwrap();
    let mut import = place.command(&["import", "other-name", "-", "--create", "--data", &copy]);
    import.stdin(Stdio::from(export.stdout.take().unwrap()));
    assert!(import.status().unwrap().success());
    assert!(export.wait().unwrap().success());
    let there = place.good(&["export", "other-name", "--data", &copy]);
    assert!(there.replace("\"other-name\"", "\"large\"") == place.good(&["export", "large"]));
}

#[test]
fn an_export_is_gone_on_with() {
    let place = Place::new();
    odd_topic(&place, "orders", 30);
    let all = place.good(&["export", "orders"]);
    let rest = place.good(&["export", "orders", "--after", "20"]);
    assert!(all.ends_with(&rest));
    assert_eq!(rest.lines().count(), 13);
    let first: String = all
        .lines()
        .take(20)
        .map(|line| format!("{line}\n"))
        .collect();
    let import = |input: &str| place.feed(&["import", "copy", "--create"], input);
    import(&first).good();
    import(&rest).good();
    let copied = place.good(&["export", "copy"]);
    assert_eq!(
        copied.replace("\"topic\":\"copy\"", "\"topic\":\"orders\""),
        all
    );
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_of_it_recorded() {
    let place = Place::new();
    odd_topic(&place, "orders", 40);
    let exported = place.good(&["export", "orders"]);
    let lines: Vec<&str> = exported.lines().collect();
    let join = |lines: &[&str]| lines.join("\n");
    place.good(&["topic", "create", "copy"]);
    let refuse = |input: String, code: i32, what: &str| {
        let error = place
            .feed(&["import", "copy", "--json"], input)
            .bad_json(code);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(what), "{message}");
        assert_eq!(
            place.json(&["topic", "show", "copy"])[0]["head"],
            error["head"]
        );
        error
    };
    refuse(join(&lines[1..]), 2, "events between are missing");
    let holed = [&lines[..10], &lines[11..]].concat();
    refuse(join(&holed), 2, "they have to follow one another");
    assert_eq!(
        refuse(format!("{}\nnonsense", join(&lines[..5])), 2, "line 6")["head"],
        0
    );
    let misspelt = lines[1].replace("\"version\":1", "\"version\":2");
    assert_ne!(misspelt, lines[1]);
    refuse(
        join(&[lines[0], &misspelt]),
        2,
        "has version 2 of the stream",
    );
    let twice = lines[1].replace(&id(lines[1]), &id(lines[0]));
    refuse(join(&[lines[0], &twice]), 2, "is given to two events");
    let early = lines[1].replace("\"recordedAt\":\"2", "\"recordedAt\":\"1");
    refuse(join(&[lines[0], &early]), 2, "was recorded before");
    place.feed(&["import", "copy"], join(&lines[..20])).good();
    // Another event where one is.
    let other = lines[5].replace("\"type\":\"Kind 5\"", "\"type\":\"Kind X\"");
    assert_ne!(other, lines[5]);
    let error = refuse(join(&[lines[4], &other]), 4, "has another type");
    assert_eq!(error["position"], 6);
    // An id that is recorded at another place.
    let known = lines[20].replace(&id(lines[20]), &id(lines[3]));
    refuse(known, 4, "at another position");
    let error = refuse(format!("\n{}", lines[21]), 2, "line");
    assert_eq!(error["line"], 2, "{error}");
    refuse(
        lines[20].replace("\"recordedAt\":\"2", "\"recordedAt\":\"1"),
        2,
        "was recorded before",
    );
    assert_eq!(place.json(&["topic", "show", "copy"])[0]["head"], 20);
    // Somebody else's events.
    place.feed(&["append", "copy"], "{\"type\":\"Own\"}").good();
    refuse(exported.clone(), 4, "recorded there");
    place
        .feed(
            &["import", "copy", "--adapter", "file", "--connection", "x"],
            "",
        )
        .bad(2);
    place.feed(&["import", "nothing"], "").bad(3);
    place.run(&["import", "copy", "no-such-file"]).bad(3);
}

fn id(line: &str) -> String {
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    event["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_import_that_is_killed_is_completed_by_the_next() {
    let place = Place::new();
    odd_topic(&place, "orders", 12_000);
    let exported = place.good(&["export", "orders"]);
    let copy = text(&place.path("copy")).to_owned();
    let import = ["import", "orders", "--create", "--data", &copy];
    let mut heads = Vec::new();
    for share in [3, 2] {
        let mut child = place.start(&import);
        let mut input = child.stdin.take().unwrap();
        // It stands in the middle of the input, and has recorded some of it, when it is killed.
        input
            .write_all(&exported.as_bytes()[..exported.len() / share])
            .unwrap();
        let head = loop {
            let shown = place.run(&["topic", "show", "orders", "--json", "--data", &copy]);
            if shown.code == Some(0) {
                let shown = crate::run::objects(std::str::from_utf8(&shown.out).unwrap());
                let head = shown[0]["head"].as_u64().unwrap();
                if head > heads.last().copied().unwrap_or(0) {
                    break head;
                }
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        heads.push(head);
    }
    let done = place
        .feed(&[&import[..], &["--json"]].concat(), &exported)
        .good();
    let done = crate::run::objects(&done);
    assert_eq!(done[0]["head"], 12_003);
    assert!(done[0]["known"].as_u64().unwrap() >= heads[1]);
    assert!(place.good(&["export", "orders", "--data", &copy]) == exported);
    place.good(&["verify", "--data", &copy]);
}
