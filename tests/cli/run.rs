//! Runs the program.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A directory of its own, in which the program runs.
pub(crate) struct Place {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// A variable of the environment in which the program runs.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory of the store, unless a run names another one.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("annals-data")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("ANNALS_DATA")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs it with this input.
    pub(crate) fn feed(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Ran {
        let mut child = self.start(arguments);
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        // What it refuses it does not read to the end.
        let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap();
        output.into()
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).spawn().unwrap()
    }

    /// Runs what has to go well, and gives its output.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        self.run(arguments).good()
    }

    /// The same of a run with `--json`: its objects, one a line.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        objects(&self.good(&arguments))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        String::from_utf8(self.out).unwrap()
    }

    /// Its message, where it has failed with this code.
    #[track_caller]
    pub(crate) fn bad(self, code: i32) -> String {
        let out = String::from_utf8_lossy(&self.out);
        assert_eq!(self.code, Some(code), "{}\n{out}", self.err);
        assert!(!self.err.is_empty(), "it does not say why");
        self.err
    }

    /// The object by which it says so to a program.
    #[track_caller]
    pub(crate) fn bad_json(self, code: i32) -> Value {
        let message = self.bad(code);
        let object: Value = serde_json::from_str(&message).expect("errors are JSON");
        assert_eq!(object["exitCode"], code, "{object}");
        object
    }
}

pub(crate) fn objects(lines: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).expect("a line is JSON");
    lines.lines().map(parse).collect()
}

/// The path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Events of all kinds as lines for `append`: binary payloads, metadata, tags, odd JSON, the default
/// stream and others.
pub(crate) fn events(count: u64) -> String {
    let mut lines = String::new();
    for n in 0..count {
        let stream = match n % 4 {
            0 => String::new(),
            of => format!(r#""stream":"order-{}","#, n / 20 * 4 + of),
        };
        let payload = match n % 5 {
            0 => r#""contentType":"application/octet-stream","dataBase64":"AP/+gA==""#.to_owned(),
            1 => r#""dataBase64":"e30K""#.to_owned(),
            2 => format!(r#""data":{{"b" : {n}.10, "b":"\u00e4\ud83d\ude00"}}"#),
            3 => r#""tags":["a:1","b \"2\""],"metadata":{"user":"eve"}"#.to_owned(),
            _ => r#""data":null,"metadataBase64":"/w==""#.to_owned(),
        };
        lines.push_str(&format!(
            "{{\"type\":\"Kind {}\",{stream}{payload}}}\n",
            n % 7
        ));
    }
    lines
}
