//! Runs programs in a child process under `strace`, and reads what they did.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    check::{Moment, Program, materialise},
    choices::Width,
    examine::Case,
    program::{Step, open, refused, take},
    trace,
    volume::{Tree, Volume},
};

const ROOT: &str = "ANNALS_CRASH_STATES_ROOT";

/// A program that is to be run: what it finds, and how far it is then.
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) program: Program,
    /// The step with which it begins.
    pub(crate) first: usize,
    /// What it finds.
    pub(crate) tree: Tree,
    /// The same as a disk knows it.
    pub(crate) volume: Volume,
    pub(crate) moment: Moment,
    pub(crate) from: usize,
    pub(crate) width: Width,
}

/// A directory in memory, where there is one: a great many small files are made.
pub(crate) fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).expect("a directory")
    } else {
        tempfile::tempdir().expect("a directory")
    }
}

/// Runs all of them, in one process under `strace`.
pub(crate) fn record(runs: Vec<Run>) -> Vec<Case> {
    let root = directory();
    let root = root.path();
    let trace = root.join("trace");
    fs::write(root.join("marks"), "").expect("a file");
    let mut list = String::new();
    for (number, run) in runs.iter().enumerate() {
        materialise(&run.tree, &root.join(number.to_string()));
        let steps: Vec<String> = run.program.steps[run.first..]
            .iter()
            .map(|step| code(*step).to_string())
            .collect();
        list += &format!("{} {}\n", run.first, steps.join(" "));
    }
    fs::write(root.join("list"), list).expect("a file");
    let status = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "1048576", "--seccomp-bpf", "-o"])
        .arg(&trace)
        .args(["-e", trace::CALLS])
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", "child_that_runs_programs", "--nocapture"])
        .env(ROOT, root)
        .stdout(Stdio::null())
        .status()
        .expect("strace is installed (scripts/test sees to it)");
    assert!(status.success(), "the child failed");
    let text = fs::read_to_string(&trace).expect("a trace");
    let traced = trace::read(&text, root, runs.len());
    runs.into_iter()
        .zip(traced)
        .map(|(run, events)| Case {
            name: run.name,
            program: run.program,
            volume: run.volume,
            moment: run.moment,
            events,
            from: run.from,
            width: run.width,
        })
        .collect()
}

/// The child: runs the programs of the list, each in its directory. Tells by marks what it begins
/// and what it is answered. Does nothing when run as one test among the others.
pub(crate) async fn child() {
    let Ok(root) = std::env::var(ROOT) else {
        return;
    };
    let root = PathBuf::from(root);
    let mut marks = fs::OpenOptions::new()
        .append(true)
        .open(root.join("marks"))
        .expect("the marks");
    let list = fs::read_to_string(root.join("list")).expect("the list");
    for (case, line) in list.lines().enumerate() {
        let directory = root.join(case.to_string()).join("data");
        let mut words = line.split(' ').map(|word| word.parse().expect("a number"));
        let first = words.next().expect("the first step");
        let mut store = None;
        for (number, step) in (first..).zip(words.map(step)) {
            let mut mark = |word: &str| {
                let line = format!("{word} {case} {number}\n");
                marks.write_all(line.as_bytes()).expect("it is told");
            };
            if store.is_none() && step != Step::Open {
                store = Some(open(&directory).await.expect("the store opens"));
            }
            mark("begin");
            if step == Step::Open {
                store = Some(open(&directory).await.expect("the store opens"));
                mark("done");
                continue;
            }
            let open = store.as_ref().expect("it is open");
            match take(open, number, step).await {
                Ok(_) => mark("done"),
                Err(error) if refused(&error) => mark("refused"),
                Err(error) => panic!("{step:?}: {error}"),
            }
            if step == Step::Close {
                store = None;
            }
        }
    }
}

/// All steps, by the number that stands for each in the list.
const STEPS: [Step; 13] = {
    use super::program::Size;
    [
        Step::Open,
        Step::Create,
        Step::Append(Size::One),
        Step::Append(Size::Batch),
        Step::Append(Size::Fill),
        Step::Group,
        Step::Both,
        Step::CreateSecond,
        Step::Delete,
        Step::Restore,
        Step::Purge,
        Step::Other,
        Step::Close,
    ]
};

fn code(step: Step) -> usize {
    STEPS
        .iter()
        .position(|one| *one == step)
        .expect("it is one of them")
}

fn step(code: usize) -> Step {
    STEPS[code]
}
