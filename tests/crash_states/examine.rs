//! Goes through a case event by event, and checks every state that a power cut can leave there.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    panic::AssertUnwindSafe,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;

use super::{
    check::{Moment, Program, check, materialise},
    choices::{Random, Width, states},
    trace::{Action, Event},
    volume::{Tree, Volume},
};

/// How long a store may take for all that is asked of it.
const PATIENCE: Duration = Duration::from_secs(600);
/// How many violations are told.
const TOLD: usize = 8;

/// A run of a program that is to be cut off.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) program: Program,
    /// What was there before the first event, and how far the program was.
    pub(crate) volume: Volume,
    pub(crate) moment: Moment,
    pub(crate) events: Vec<Event>,
    /// From when on it is cut off: once so many steps were answered.
    pub(crate) from: usize,
    pub(crate) width: Width,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cases: usize,
    pub(crate) points: usize,
    pub(crate) states: usize,
    pub(crate) checks: usize,
    pub(crate) violations: usize,
    pub(crate) told: Vec<String>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} sequences, {} places to cut, {} states, {} checks, {} violations",
            self.cases, self.points, self.states, self.checks, self.violations
        )
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.points += other.points;
        self.states += other.states;
        self.checks += other.checks;
        self.violations += other.violations;
        self.told.extend(other.told);
        self.told.truncate(TOLD);
    }

    pub(crate) fn assert_none(&self) {
        assert!(
            self.violations == 0,
            "{} states break a promise:\n{}",
            self.violations,
            self.told.join("\n")
        );
    }
}

impl Case {
    /// Calls back at each place where the power may be cut, with the number of events before it.
    pub(crate) fn visit(&self, mut point: impl FnMut(&Volume, Moment, usize)) {
        let mut volume = self.volume.clone();
        let mut moment = self.moment;
        if moment.0 >= self.from {
            point(&volume, moment, 0);
        }
        for (number, event) in self.events.iter().enumerate() {
            volume.apply(event);
            match event.action {
                Action::Begin(step) => moment = (step, step + 1),
                Action::Answer(step, taken) => {
                    // One that is tried again may have been done already.
                    let again = step == self.moment.0 && self.moment.1 > step;
                    let fits = again || taken == self.program.takes(step);
                    assert!(fits, "{}: step {step}: {taken}", self.name);
                    moment = (step + 1, step + 1);
                }
                _ => {}
            }
            if moment.0 >= self.from {
                point(&volume, moment, number + 1);
            }
        }
    }

    /// The states that can be left, each once, with the moments at which it can.
    pub(crate) fn found(&self, seed: u64) -> (usize, Vec<Found>) {
        let mut points = 0;
        let mut at: HashMap<u64, usize> = HashMap::new();
        let mut found: Vec<Found> = Vec::new();
        self.visit(|volume, moment, event| {
            points += 1;
            // The same is drawn where nothing has changed but what is promised.
            let mut random = Random(seed | 1);
            for (hash, tree) in states(volume, self.width, &mut random) {
                let number = *at.entry(hash).or_insert_with(|| {
                    found.push(Found {
                        tree,
                        event,
                        moments: BTreeSet::new(),
                    });
                    found.len() - 1
                });
                found[number].moments.insert(moment);
            }
        });
        (points, found)
    }

    fn examine(&self, seed: u64, directory: &Path, all: bool) -> Tally {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (points, found) = self.found(seed);
        let mut tally = Tally {
            cases: 1,
            points,
            ..Tally::default()
        };
        let data = directory.join("data");
        for one in found {
            if tally.violations > 0 && !all {
                break;
            }
            tally.states += 1;
            tally.checks += one.moments.len();
            materialise(&one.tree, directory);
            let checking = async {
                tokio::time::timeout(PATIENCE, check(&data, &self.program, &one.moments)).await
            };
            let outcome = runtime.block_on(AssertUnwindSafe(checking).catch_unwind());
            let wrong = match outcome {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(wrong))) => Some(wrong),
                Ok(Err(_)) => Some("the store hangs".to_owned()),
                Err(_) => Some("the store panics".to_owned()),
            };
            fs::remove_dir_all(directory).expect("it is removed");
            if let Some(wrong) = wrong {
                tally.violations += 1;
                if tally.told.len() < TOLD {
                    tally.told.push(self.tell(&one, &wrong));
                }
            }
        }
        tally
    }

    fn tell(&self, found: &Found, wrong: &str) -> String {
        let last = found.event.checked_sub(1).map(|at| &self.events[at].action);
        let last = format!("{last:?}");
        let files: Vec<String> = found
            .tree
            .iter()
            .map(|(path, content)| match content {
                Some(bytes) => format!("\n    {path} {}", bytes.len()),
                None => format!("\n    {path}/"),
            })
            .collect();
        format!(
            "{}: {wrong}\n  cut off after event {} of {} ({}), with{}",
            self.name,
            found.event,
            self.events.len(),
            last.chars().take(160).collect::<String>(),
            files.concat()
        )
    }
}

/// A state that a power cut can leave.
pub(crate) struct Found {
    pub(crate) tree: Tree,
    /// The first place at which it can: how many events were before.
    pub(crate) event: usize,
    pub(crate) moments: BTreeSet<Moment>,
}

/// Examines cases on two threads, in a directory for their states: all of them, or until something
/// is found.
pub(crate) fn examine(cases: &[Case], seed: u64, directory: &Path, all: bool) -> Tally {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (next, tally) = (&next, &tally);
            let directory = directory.join(format!("state-{thread}"));
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = case.examine(seed, &directory, all);
                    if found.violations > 0 && !all {
                        next.store(cases.len(), Ordering::Relaxed);
                    }
                    let mut tally = tally.lock().expect("no thread panics");
                    tally.add(found);
                    // A full run takes hours.
                    if tally.cases % 50 == 0 {
                        println!("{tally}, of {} sequences so far", cases.len());
                    }
                }
            });
        }
    });
    tally.into_inner().expect("no thread panics")
}
