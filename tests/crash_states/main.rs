//! Cuts the power at every point of short programs, and checks every state that can be left.
//!
//! A child process runs the programs under `strace`. From what it did to its files follow the
//! states in which a disk can be found when the power fails at any point: what was not synced is
//! there, or not, or in part, independently of everything else that was not synced. Each state is
//! made anew, the store is opened in it, and what was promised is checked: what was acknowledged is
//! there, whole, in order and at its place; what was on its way is wholly there or not at all, and
//! can be tried again; nothing else is there; and the store goes on.
//!
//! The programs are all sequences of up to three operations. With `ANNALS_CRASH_STATES=full` far
//! more combinations are made of what was not synced.

#![cfg(all(feature = "file", target_os = "linux"))]

mod check;
mod choices;
mod examine;
mod program;
mod record;
mod trace;
mod volume;

use std::time::Instant;

use check::Program;
use choices::Width;
use examine::{Case, examine};
use program::Operation;
use record::{Run, directory, record};
use volume::{Tree, Volume};

const SEED: u64 = 0x5eed_0f_a_11;

/// What a run goes through by default.
const NARROW: Width = Width {
    file: 16,
    all: 24,
    pair: 4,
    drawn: 4,
};

const WIDE: Width = Width {
    file: 128,
    all: 512,
    pair: 64,
    drawn: 64,
};

fn full() -> bool {
    std::env::var("ANNALS_CRASH_STATES").is_ok_and(|value| value == "full")
}

fn width() -> Width {
    if full() { WIDE } else { NARROW }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn child_that_runs_programs() {
    record::child().await;
}

/// All sequences of up to so many operations.
fn sequences(most: usize) -> Vec<Vec<Operation>> {
    let mut all = vec![Vec::new()];
    let mut longest = all.clone();
    for _ in 0..most {
        longest = longest
            .iter()
            .flat_map(|sequence| {
                Operation::ALL.iter().map(|next| {
                    let mut longer: Vec<Operation> = sequence.clone();
                    longer.push(*next);
                    longer
                })
            })
            .collect();
        all.extend(longest.iter().cloned());
    }
    all
}

fn run(operations: &[Operation]) -> Run {
    let (steps, from) = program::steps(operations);
    Run {
        name: format!("{operations:?}"),
        program: Program::new(steps),
        first: 0,
        tree: Tree::new(),
        volume: Volume::empty(),
        moment: (0, 0),
        from,
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_point() {
    let started = Instant::now();
    let most = std::env::var("MOST").map_or(3, |v| v.parse().unwrap());
    let cases: Vec<Case> = record(sequences(most).iter().map(|one| run(one)).collect());
    println!("recorded after {:?}", started.elapsed());
    let directory = directory();
    let tally = examine(&cases, width(), SEED, directory.path());
    println!(
        "{} sequences, {} points, {} states, {} checks in {:?}",
        tally.cases,
        tally.points,
        tally.states,
        tally.checks,
        started.elapsed()
    );
    tally.assert_none();
}
