//! Settings of the program: flags over variables over the file over defaults.

use std::fs;

use crate::world::{command, run};

/// What the program would serve with.
fn printed(arguments: &[&str], variables: &[(&str, &str)]) -> toml::Table {
    let mut command = command(arguments);
    command
        .arg("--print-config")
        .envs(variables.iter().copied());
    let (code, text, log) = run(&mut command);
    assert_eq!(code, 0, "{log}");
    text.parse().unwrap()
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("annals.toml");
    fs::write(
        &file,
        "listen = \"127.0.0.1:1001\"\nlog = \"warn\"\ndrain-seconds = 3\ndata = \"/of/file\"\n\
         allowed-hosts = [\"of.file\"]\n[limits]\nconnections = 11\nheaders = 12\nrequests = 13\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let defaults = printed(&[], &[]);
    assert_eq!(defaults["listen"].as_str(), Some("127.0.0.1:2116"));
    assert_eq!(defaults["log"].as_str(), Some("info"));
    assert_eq!(defaults["limits"]["connections"].as_integer(), Some(4096));
    assert_eq!(
        defaults["default-placement"]["adapter"].as_str(),
        Some("file")
    );

    let all = printed(
        &[
            "--config",
            file,
            "--listen",
            "127.0.0.1:1003",
            "--limit",
            "connections=31",
        ],
        &[
            ("ANNALS_LISTEN", "127.0.0.1:1002"),
            ("ANNALS_LOG", "debug"),
            ("ANNALS_ALLOWED_HOSTS", "of.variable,other"),
        ],
    );
    assert_eq!(all["listen"].as_str(), Some("127.0.0.1:1003"));
    assert_eq!(all["log"].as_str(), Some("debug"));
    assert_eq!(all["drain-seconds"].as_float(), Some(3.0));
    assert_eq!(all["data"].as_str(), Some("/of/file"));
    assert_eq!(
        all["configuration"]["connection"].as_str(),
        Some("/of/file")
    );
    assert_eq!(all["allowed-hosts"].as_array().unwrap().len(), 2);
    assert_eq!(all["limits"]["connections"].as_integer(), Some(31));
    assert_eq!(all["limits"]["headers"].as_integer(), Some(12));
    let by_variable = printed(
        &["--config", file],
        &[("ANNALS_LIMITS", "headers=22,requests=23")],
    );
    assert_eq!(by_variable["limits"]["headers"].as_integer(), Some(22));
    assert_eq!(by_variable["limits"]["connections"].as_integer(), Some(11));
}

#[test]
fn what_is_printed_can_be_served_with() {
    let directory = tempfile::tempdir().unwrap();
    let first = printed(&["--limit", "body-seconds=1.5"], &[]);
    let file = directory.path().join("annals.toml");
    fs::write(&file, first.to_string()).unwrap();
    assert_eq!(printed(&["--config", file.to_str().unwrap()], &[]), first);
}

#[test]
fn what_makes_no_sense_is_refused_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("annals.toml");
    for (text, named) in [
        ("lisen = \"127.0.0.1:1\"", "lisen"),
        ("[limits]\nconections = 1", "conections"),
        ("[tls]\ncertificate = \"a\"", "key"),
        ("listen = \"hunter2\"", "line 1"),
        ("\n\nlisten = ", "line 3"),
        ("drain-seconds = -1", "drain-seconds"),
        ("[limits]\nbody-seconds = 0", "body-seconds"),
    ] {
        fs::write(&file, text).unwrap();
        let mut command = command(&["--config", file.to_str().unwrap(), "--print-config"]);
        let (code, _, log) = run(&mut command);
        assert_eq!(code, 2, "{text}: {log}");
        assert!(log.contains(named), "{text}: {log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
    for arguments in [
        &["--limit", "conections=1"][..],
        &["--limit", "connections=many"],
        &["--limit", "connections"],
        &["--listen", "nowhere"],
        &["--tls-certificate", "cert.pem"],
        &["--config", "/nowhere/annals.toml"],
    ] {
        let mut command = command(arguments);
        let (code, _, log) = run(command.arg("--print-config"));
        assert_eq!(code, 2, "{arguments:?}: {log}");
    }
}
