//! Every simple damage of every place of every file: answers stay what they were, or an error names
//! the file and the offset.
//!
//! Which of the two is known for most: an index file, a mark and a descriptor are never missed, and
//! a log that is not as it was is never verified as one. No log is ever made shorter, and no error
//! names a file other than the one that was changed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use super::{
    guard::{self, Watchdog},
    mutation::{Mutation, of_blocks, of_byte, of_length},
    subject::{Found, Left, Subject, fast, files},
};

/// More failures than these are not told.
const MOST_FAILURES: usize = 20;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Log,
    Index,
    Mark,
    Descriptor,
}

/// One thing that may happen to a store.
#[derive(Clone, Debug)]
struct Case {
    path: PathBuf,
    kind: Kind,
    damage: Damage,
    /// Whether the store is opened to write, or to read only.
    write: bool,
}

#[derive(Clone, Debug)]
enum Damage {
    Change(Mutation),
    Removed,
    /// The file has the bytes of this other one.
    Instead(PathBuf),
}

/// How often each outcome was found.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    unchanged: usize,
    named: usize,
}

fn is_full() -> bool {
    std::env::var("ANNALS_DAMAGE").is_ok_and(|value| value == "full")
}

fn kind(path: &Path) -> Kind {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("log") => Kind::Log,
        Some("idx") => Kind::Index,
        Some("json") => Kind::Descriptor,
        _ => Kind::Mark,
    }
}

/// What is done to single bytes of a file: everything to every byte; or, where that takes too
/// long, less to bytes that are covered by one checksum with many others.
fn to_bytes(kind: Kind, bytes: &[u8], left: Left, full: bool) -> Vec<Mutation> {
    let table = bytes.len() - bytes.len() % 4096;
    let mut found = Vec::new();
    for at in 0..bytes.len() {
        let step: usize = match (kind, left) {
            (Kind::Index, Left::Indexed) if at >= 256 && at < table => 8009,
            (Kind::Index, _) if at >= 256 && at < table => 97,
            (Kind::Log, Left::Indexed) => 8009,
            (_, Left::Indexed) => 256,
            (_, Left::Crashed) => 5,
            _ => 1,
        };
        let step = match (full, left) {
            (false, _) => step,
            (true, Left::Indexed) => step.div_ceil(10),
            (true, Left::Crashed) => {
                if kind == Kind::Index {
                    7
                } else {
                    2
                }
            }
            (true, Left::Closed) => 1,
        };
        if at.is_multiple_of(step) {
            let mut changes = of_byte(at, full);
            changes.push(Mutation::Cut { length: at });
            // In the segments that are full, and between the marks, one thing happens to each byte.
            let one = !full
                && (kind == Kind::Log && bytes.len() > 4096
                    || kind == Kind::Mark && at % 512 >= 64);
            let only = |nth: usize| !one || nth == at % 4;
            found.extend(
                (0..)
                    .zip(changes)
                    .filter(|(nth, _)| only(*nth))
                    .map(|one| one.1),
            );
        }
    }
    found
}

fn cases(subject: &Subject, full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for (path, bytes) in &subject.files {
        let kind = kind(path);
        let mut changes = to_bytes(kind, bytes, subject.left, full);
        // A large file has too many pairs of blocks.
        let step = match (bytes.len(), full) {
            (..=0x8000, _) => 1,
            (_, true) => 67,
            (_, false) => 4999,
        };
        changes.extend(of_blocks(bytes.len()).into_iter().step_by(step));
        changes.extend(of_length());
        let others = subject.files.keys().filter(|other| *other != path);
        let damages = changes
            .into_iter()
            .map(Damage::Change)
            .chain([Damage::Removed])
            .chain(others.cloned().map(Damage::Instead));
        for (nth, damage) in damages.enumerate() {
            for write in [true, false] {
                let bytes = matches!(damage, Damage::Change(_));
                let both = full && kind != Kind::Index || !bytes;
                if both || write == nth.is_multiple_of(2) {
                    cases.push(Case {
                        path: path.clone(),
                        kind,
                        damage: damage.clone(),
                        write,
                    });
                }
            }
        }
    }
    cases
}

impl Case {
    /// Does it to the directory; none if nothing changes.
    fn damage(&self, subject: &Subject, directory: &Path) -> Option<()> {
        let path = directory.join(&self.path);
        let before = &subject.files[&self.path];
        match &self.damage {
            Damage::Removed => fs::remove_file(path).unwrap(),
            Damage::Instead(other) if subject.files[other] == *before => return None,
            Damage::Instead(other) => fs::write(path, &subject.files[other]).unwrap(),
            Damage::Change(mutation) => fs::write(path, mutation.apply(before)?).unwrap(),
        }
        Some(())
    }

    /// Whether nothing but the answers from before will do, or nothing but an error.
    fn expected(&self) -> Found {
        match (self.kind, &self.damage) {
            (Kind::Log, Damage::Change(mutation)) if mutation.keeps_everything() => {
                Found::Unchanged
            }
            (Kind::Log, _) => Found::Named,
            _ => Found::Unchanged,
        }
    }

    fn run(
        &self,
        subject: &Subject,
        directory: &Path,
        runtime: &tokio::runtime::Runtime,
    ) -> Result<Found, String> {
        // What is not there cannot be named, but its directory can.
        let blamed = match self.damage {
            Damage::Removed => self.path.parent().unwrap_or(&self.path),
            _ => &self.path,
        };
        let found = runtime.block_on(subject.check(directory, self.write, blamed, is_full()))?;
        // An index file in which something is wrong may be named by who verifies it.
        if found != self.expected() && self.kind != Kind::Index {
            return Err(format!("{found:?} instead of {:?}", self.expected()));
        }
        let after = files(directory);
        for (path, bytes) in subject
            .files
            .iter()
            .filter(|(path, _)| kind(path) == Kind::Log)
        {
            let changed = *path == self.path && self.expected() == Found::Named;
            let now = after.get(path).map_or(&[][..], Vec::as_slice);
            // What was damaged is left as it is for who may know how to mend it.
            if changed && now.len() < self.length(subject) || !changed && !now.starts_with(bytes) {
                return Err(format!("{} was changed by opening it", path.display()));
            }
        }
        Ok(found)
    }

    /// How long the file is after the damage.
    fn length(&self, subject: &Subject) -> usize {
        match &self.damage {
            Damage::Removed => 0,
            Damage::Instead(other) => subject.files[other].len(),
            Damage::Change(mutation) => mutation
                .apply(&subject.files[&self.path])
                .map_or(0, |bytes| bytes.len()),
        }
    }
}

/// Takes cases until there are none left.
fn work(
    thread: usize,
    subject: &Subject,
    cases: &[Case],
    next: &AtomicUsize,
    watchdog: &Watchdog,
    base: usize,
) -> (BTreeMap<PathBuf, Count>, Vec<String>) {
    let directory = tempfile::tempdir_in(fast()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    subject.restore(directory.path());
    let mut counts: BTreeMap<PathBuf, Count> = BTreeMap::new();
    let mut failures = Vec::new();
    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
        if case.damage(subject, directory.path()).is_none() {
            continue;
        }
        watchdog.begins(thread, format!("{case:?}"));
        let mut wrong = Vec::new();
        match case.run(subject, directory.path(), &runtime) {
            Ok(found) => {
                let count = counts.entry(case.path.clone()).or_default();
                count.unchanged += usize::from(found == Found::Unchanged);
                count.named += usize::from(found == Found::Named);
            }
            Err(reason) => wrong.push(reason),
        }
        wrong.extend(guard::panics());
        wrong.extend(guard::excess(base));
        for reason in wrong {
            failures.push(format!("{case:?}: {reason}"));
        }
        if failures.len() > MOST_FAILURES {
            break;
        }
        subject.restore(directory.path());
    }
    (counts, failures)
}

fn run(left: Left) {
    guard::watch_panics();
    let started = Instant::now();
    let subject = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(Subject::make(left));
    let cases = cases(&subject, is_full());
    let threads = thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(1, 4);
    let (next, watchdog) = (AtomicUsize::new(0), Watchdog::new(threads));
    let base = crate::ALLOCATOR.current_usage();
    let all = Mutex::new((BTreeMap::<PathBuf, Count>::new(), Vec::new()));
    thread::scope(|scope| {
        scope.spawn(|| watchdog.watch());
        let _ends = watchdog.ends();
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (subject, cases, next, watchdog) = (&subject, &cases, &next, &watchdog);
                scope.spawn(move || work(thread, subject, cases, next, watchdog, base))
            })
            .collect();
        for worker in workers {
            let (counts, failures) = worker.join().unwrap();
            let mut all = all.lock().unwrap();
            all.1.extend(failures);
            for (path, count) in counts {
                let sum = all.0.entry(path).or_default();
                sum.unchanged += count.unchanged;
                sum.named += count.named;
            }
        }
    });
    let (counts, failures) = all.into_inner().unwrap();
    let mut total = 0;
    for (path, count) in &counts {
        let Count { unchanged, named } = count;
        total += unchanged + named;
        println!("{}: {unchanged} unchanged, {named} named", path.display());
    }
    println!("{left:?}: {total} cases in {:.0?}", started.elapsed());
    assert!(failures.is_empty(), "{}\n", failures.join("\n"));
}

#[test]
fn any_damage_of_a_store_is_named_or_harmless() {
    // One after the other: each takes all processors, and they share the guard of the process.
    for left in [Left::Closed, Left::Crashed, Left::Indexed] {
        run(left);
    }
}
