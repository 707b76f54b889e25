//! The example `import`, run as a person runs it: a file of JSON lines becomes a topic, once.

#![cfg(feature = "file")]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use uuid::Uuid;

const LINES: u64 = 4000;
const STREAMS: u64 = 300;
const TYPES: u64 = 17;

/// Where cargo has built the example beside this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this binary");
    let program = test
        .parent()
        .and_then(Path::parent)
        .expect("the target directory")
        .join("examples/import");
    assert!(
        program.exists(),
        "{} is missing: build it with `cargo build --example import`",
        program.display()
    );
    program
}

fn line(number: u64) -> String {
    let id = Uuid::from_u128(0xabc0_0000_0000_0000_0000 + u128::from(number));
    format!(
        r#"{{"stream":"case-{}","type":"Step {}","id":"{id}","time":"2010-10-02T07:20:39.{:03}Z","tags":["group:{}"],"data":{{"n": {number},"odd" :  true}}}}"#,
        number % STREAMS,
        number % TYPES,
        number % 1000,
        number % 5
    )
}

fn file(directory: &Path, bad: &[(u64, &str)]) -> PathBuf {
    let mut text = String::new();
    for number in 1..=LINES {
        match bad.iter().find(|(at, _)| *at == number) {
            Some((_, bad)) => writeln!(text, "{bad}"),
            None => writeln!(text, "{}", line(number)),
        }
        .expect("a string takes what is written");
    }
    let path = directory.join("events.ndjson");
    std::fs::write(&path, text).expect("the file is written");
    path
}

fn run(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn import(file: &Path, connection: &Path, more: &[&str]) -> Output {
    let mut arguments = vec![
        file.to_str().expect("a path"),
        "--topic",
        "cases",
        "--connection",
    ];
    arguments.push(connection.to_str().expect("a path"));
    arguments.extend(more);
    run(&arguments)
}

fn look(connection: &Path, more: &[&str]) -> Vec<String> {
    let mut arguments = vec![
        "--topic",
        "cases",
        "--connection",
        connection.to_str().expect("a path"),
    ];
    arguments.extend(more);
    stdout(&run(&arguments))
        .lines()
        .map(str::to_owned)
        .collect()
}

const WHOLE: &str = "topic cases: 4,000 events in 300 streams of 17 types";

#[test]
fn a_file_is_imported_once_however_often_it_is_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, data) = (file(directory.path(), &[]), directory.path().join("data"));
    let first = stdout(&import(&file, &data, &[]));
    assert!(
        first.contains("recorded:         4,000") && first.contains(WHOLE),
        "{first}"
    );
    let second = stdout(&import(&file, &data, &[]));
    assert!(
        second.contains("already recorded: 4,000") && second.contains(WHOLE),
        "{second}"
    );
    // Other batches than those that were recorded are recognised too.
    let third = stdout(&import(&file, &data, &["--batch", "7"]));
    assert!(
        third.contains("already recorded: 4,000") && third.contains(WHOLE),
        "{third}"
    );

    assert_eq!(look(&data, &["--types"]).len() as u64, TYPES);
    assert_eq!(look(&data, &["--streams"]).len() as u64, STREAMS);
    let stream = look(&data, &["--stream", "case-5"]);
    assert_eq!(stream.len() as u64, LINES / STREAMS + 1);
    assert!(
        stream[0].contains("2010-10-02T07:20:39.005Z") && stream[0].contains("v1"),
        "{}",
        stream[0]
    );
    assert_eq!(look(&data, &["--tag", "group:3"]).len() as u64, LINES / 5);
}

#[test]
fn the_memory_adapter_gives_the_same_answers() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(directory.path(), &[]);
    let arguments = [
        file.to_str().expect("a path"),
        "--topic",
        "cases",
        "--adapter",
        "memory",
        "--types",
    ];
    let output = stdout(&run(&arguments));
    assert!(
        output.contains(WHOLE) && output.contains("Step 3\t"),
        "{output}"
    );
}

#[cfg(feature = "blob")]
#[test]
fn two_imports_at_once_into_an_object_store_give_the_same_answers() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(directory.path(), &[]);
    let files = directory.path().join("files");
    import(&file, &files, &[]);
    let url = format!("file://{}/objects", directory.path().display());
    let at = |more: &[&str]| {
        let place = [
            "--topic",
            "cases",
            "--adapter",
            "blob",
            "--connection",
            &*url,
        ];
        let mut command = Command::new(program());
        command.args(place).args(more);
        command
    };
    let path = file.to_str().expect("a path");
    let imports: Vec<_> = (0..2)
        .map(|_| {
            at(&[path])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("it runs")
        })
        .collect();
    let mut recorded = 0;
    for import in imports {
        let output = import.wait_with_output().expect("it ends");
        assert!(output.status.success());
        let output = stdout(&output);
        let line = output
            .lines()
            .find_map(|line| line.strip_prefix("recorded:"));
        let count = line.expect("it tells").trim().replace(',', "");
        recorded += count.parse::<u64>().expect("a number");
    }
    assert_eq!(recorded, LINES, "each event was recorded by one of them");
    for question in [&["--types"][..], &["--streams"], &["--tag", "group:3"]] {
        let here = stdout(&at(question).output().expect("it runs"));
        let here: Vec<_> = here.lines().map(str::to_owned).collect();
        assert!(here == look(&files, question), "{question:?}");
    }
}

#[test]
fn an_import_that_is_killed_is_completed_by_the_next() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(directory.path(), &[]);
    for delay in [20, 60, 150] {
        let data = directory.path().join(delay.to_string());
        let mut child = Command::new(program())
            .args([
                file.as_os_str(),
                "--topic".as_ref(),
                "cases".as_ref(),
                "--batch".as_ref(),
                "3".as_ref(),
            ])
            .args(["--connection".as_ref(), data.as_os_str()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().expect("the program is killed");
        child.wait().expect("the program is gone");
        let output = stdout(&import(&file, &data, &[]));
        assert!(output.contains(WHOLE), "{output}");
    }
}

#[test]
fn a_bad_line_is_named_and_skipped_or_ends_a_strict_import() {
    let directory = tempfile::tempdir().expect("a directory");
    let bad = [
        (10, "junk"),
        (
            1000,
            r#"{"stream":"s","type":"$mine","id":"00000000-0000-0000-0000-000000000001","time":"2010-10-02T07:20:39Z","data":1}"#,
        ),
        (
            2000,
            r#"{"stream":"s","type":"T","id":"none","time":"2010-10-02T07:20:39Z","data":1}"#,
        ),
        (
            2001,
            r#"{"stream":"s","type":"T","id":"00000000-0000-0000-0000-000000000002","time":"yesterday","data":1}"#,
        ),
    ];
    let file = file(directory.path(), &bad);
    let skipping = import(&file, &directory.path().join("a"), &[]);
    let told = String::from_utf8_lossy(&skipping.stderr).into_owned();
    for (number, _) in bad {
        assert!(told.contains(&format!("line {number}: ")), "{told}");
    }
    assert!(skipping.status.success() && stdout(&skipping).contains("bad lines:        4"));
    assert!(
        stdout(&skipping).contains("3,996 events"),
        "{}",
        stdout(&skipping)
    );

    let strict = import(&file, &directory.path().join("b"), &["--strict"]);
    assert!(!strict.status.success());
    assert!(
        stdout(&strict).contains("topic cases: 9 events"),
        "{}",
        stdout(&strict)
    );
}

#[test]
fn looking_where_nothing_is_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let nowhere = directory.path().join("nowhere");
    let output = run(&["--types", "--connection", nowhere.to_str().expect("a path")]);
    assert!(!output.status.success() && !nowhere.exists());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot open"),
        "{output:?}"
    );
}
