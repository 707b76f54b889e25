//! Help, completions, exit codes, and what happens to those who misspell.

use std::process::Stdio;

use crate::run::Place;

/// All commands that work on a store.
const COMMANDS: [&str; 12] = [
    "topic", "append", "read", "tail", "streams", "types", "export", "import", "verify", "doctor",
    "backup", "restore",
];

#[test]
fn every_command_has_help_with_examples() {
    let place = Place::new();
    let help = place.good(&["--help"]);
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        if command != "topic" {
            let help = place.good(&[command, "--help"]);
            let examples = help
                .split_once("Examples:\n")
                .expect("there are examples")
                .1;
            assert!(examples.contains(&format!("annals {command}")), "{help}");
            assert!(help.contains("--json"), "{help}");
        }
    }
    for command in [
        "create",
        "update",
        "move",
        "cancel-move",
        "remove-former",
        "delete",
        "restore",
        "purge",
        "list",
        "show",
    ] {
        let help = place.good(&["topic", command, "--help"]);
        assert!(help.contains("Examples:\n  annals topic "), "{help}");
    }
    // What is said in full where the arguments are is not hidden by something shorter.
    assert!(
        place
            .good(&["append", "--help"])
            .contains("A line that is wrong ends it")
    );
    assert!(place.good(&["--version"]).starts_with("annals "));
}

#[test]
fn every_shell_gets_completions() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.good(&["completions", shell]);
        assert!(script.contains("remove-former"), "{shell}");
    }
}

#[test]
fn misspelt_arguments_are_usage() {
    let place = Place::new();
    place.run(&["raed", "orders"]).bad(2);
    place.run(&["read"]).bad(2);
    place
        .run(&["read", "orders", "--since", "yesterday"])
        .bad(2);
    place.run(&["append", "orders", "--batch", "0"]).bad(2);
    place
        .run(&["topic", "create", "a", "--option", "sync"])
        .bad(2);
    place.run(&["topic", "create", "../a"]).bad(2);
    let unknown = ["topic", "create", "a", "--option", "snyc=always"];
    assert!(place.run(&unknown).bad(2).contains("snyc"));
    let error = place.run(&["read", "--json"]).bad_json(2);
    assert_eq!(error["error"], "usage");
    place.good(&["topic", "create", "orders"]);
    let long = "s".repeat(2_000);
    place.run(&["read", "orders", "--stream", &long]).bad(2);
    // A topic of that name is none, and nobody has asked for JSON.
    let error = place.run(&["read", "--", "orders-", "--json"]).bad(2);
    assert!(error.starts_with("error: "), "{error}");
    let error = place.run(&["topic", "show", "--", "--json"]).bad(3);
    assert!(error.starts_with("annals: "), "{error}");
    let secret = "postgres://eve:hunter2@127.0.0.1:1/db";
    let arguments = [
        "topic",
        "create",
        "a",
        "--adapter",
        "postgres",
        "--connection",
        secret,
    ];
    let error = place.run(&arguments).bad(2);
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_directory_that_is_misspelt_does_not_become_a_store() {
    let place = Place::new();
    for command in [
        &["topic", "list"][..],
        &["append", "a"],
        &["read", "a"],
        &["doctor", "--fix"],
    ] {
        let error = place.run(command).bad(3);
        assert!(error.contains("annals topic create"), "{error}");
        assert!(!place.data().exists());
    }
    std::fs::create_dir(place.data()).unwrap();
    place.run(&["read", "a"]).bad(3);
}

#[test]
fn a_repository_that_is_away_is_worth_another_try() {
    let mut place = Place::new();
    place.good(&["topic", "create", "here"]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    place.set(
        "AWAY",
        &format!("postgres://annals@127.0.0.1:{port}/none?sslmode=disable"),
    );
    let arguments = [
        "topic",
        "create",
        "there",
        "--adapter",
        "postgres",
        "--connection",
        "${AWAY}",
    ];
    let mut json = arguments.to_vec();
    json.push("--json");
    assert_eq!(place.run(&json).bad_json(5)["error"], "unavailable");
    assert_eq!(place.json(&["topic", "list"]).len(), 1);
}

#[test]
fn output_that_nobody_reads_ends_a_command_quietly() {
    let place = Place::new();
    place.good(&["topic", "create", "orders"]);
    let input = crate::run::events(4000);
    place
        .feed(&["append", "orders", "--batch", "1000"], input)
        .good();
    for command in [
        &["read", "orders"][..],
        &["read", "orders", "--format", "table"],
        &["export", "orders"],
        &["tail", "orders", "--after", "0"],
        &["streams", "orders", "--json"],
    ] {
        let mut child = place
            .command(command)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(output.stderr.is_empty(), "{command:?}");
    }
}
