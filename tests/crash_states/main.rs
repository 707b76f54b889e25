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

mod again;
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
use examine::{Case, Tally, examine};
use program::Operation;
use record::{Run, directory, record};
use trace::Action;
use volume::{Tree, Volume};

const SEED: u64 = 0x5eed_0fa1;

/// How far is gone with programs of up to two operations.
const SHORT: Width = Width {
    moments: 3,
    file: 8,
    all: 8,
    pair: 1,
    drawn: 1,
};

/// How far is gone with longer ones, whose ends are much like those of the short ones, and with
/// those that end with an operation that is refused.
const LONG: Width = Width {
    moments: 2,
    file: 4,
    all: 4,
    pair: 0,
    drawn: 0,
};

const FULL: Width = Width {
    moments: 8,
    file: 64,
    all: 64,
    pair: 16,
    drawn: 16,
};

fn full() -> bool {
    std::env::var("ANNALS_CRASH_STATES").is_ok_and(|value| value == "full")
}

fn width(operations: &[Operation]) -> Width {
    if full() {
        FULL
    } else if operations.len() < 3 && is_taken(operations) {
        SHORT
    } else {
        LONG
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn child_that_runs_programs() {
    record::child().await;
}

/// Whether no operation is refused.
fn is_taken(operations: &[Operation]) -> bool {
    let program = Program::new(program::steps(operations).0);
    (0..program.steps.len()).all(|step| program.takes(step))
}

/// All sequences of up to two operations, and of three those of which none is refused (one that is
/// changes nothing): every sixth of them, or all.
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
    let mut number = 0;
    // What is appended at the same time, which is written at once.
    let group = Operation::Group;
    let with_groups = [
        vec![group],
        vec![group, group],
        vec![Operation::Roll, group],
        vec![group, Operation::Delete],
        vec![Operation::Reopen, group],
        // What is appended to two topics at the same time, which is synced at once.
        vec![Operation::Both],
        vec![Operation::Both, Operation::Both],
        vec![Operation::Roll, Operation::Both],
        vec![Operation::Both, Operation::Roll],
        vec![Operation::Both, Operation::Delete],
        vec![Operation::Both, Operation::Reopen],
    ];
    all.extend(with_groups);
    all.retain(|sequence| {
        let long = sequence.len() > 2 && !full();
        number += usize::from(long && is_taken(sequence));
        !long || is_taken(sequence) && number % 6 == 0
    });
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
        width: width(operations),
    }
}

/// What is found if some syncs had not been called.
fn without(unsynced: impl Fn(&str) -> bool) -> Tally {
    without_in(&SHORTEST, unsynced)
}

const SHORTEST: [&[Operation]; 6] = [
    &[Operation::Create],
    &[Operation::One],
    &[Operation::Batch],
    &[Operation::Roll],
    &[Operation::Delete],
    &[Operation::Delete, Operation::Purge],
];

fn without_in(operations: &[&[Operation]], unsynced: impl Fn(&str) -> bool) -> Tally {
    let mut cases = record(operations.iter().map(|one| run(one)).collect());
    for case in &mut cases {
        case.events
            .retain(|event| !matches!(&event.action, Action::Sync { path, .. } if unsynced(path)));
    }
    let directory = directory();
    let tally = examine(&cases, SEED, directory.path(), false);
    println!("{tally}");
    tally
}

#[test]
fn a_log_that_is_not_synced_is_found_out() {
    assert!(without(|path| path.ends_with(".log")).violations > 0);
}

#[test]
fn a_directory_that_is_not_synced_is_found_out() {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    // The repository's own, that of the storages, one being made, and one in use.
    let kinds: [fn(&str) -> bool; 4] = [
        |name| name.is_empty(),
        |name| name == "topics",
        |name| name.ends_with(".new") && !name.contains(".idx"),
        |name| name.len() == 36,
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let tally = without(|path| kind(&name(path)));
        assert!(tally.violations > 0, "kind {number}: {tally}");
    }
}

#[test]
fn a_journal_that_is_not_synced_is_found_out() {
    // Whether two topics share a sync is a matter of moments: one of several times they do.
    let both = [&[Operation::Both][..]; 12];
    assert!(without_in(&both, |path| path.contains("journal-")).violations > 0);
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_point() {
    let started = Instant::now();
    let cases: Vec<Case> = record(sequences(3).iter().map(|one| run(one)).collect());
    let directory = directory();
    let tally = examine(&cases, SEED, directory.path(), true);
    println!("{tally} in {:?}", started.elapsed());
    tally.assert_none();
}

/// The operations in which a first process is ended.
const FIRST: [&[Operation]; 9] = [
    &[],
    &[Operation::Create],
    &[Operation::Batch],
    &[Operation::Group],
    &[Operation::Both],
    &[Operation::Roll],
    &[Operation::Delete],
    &[Operation::Delete, Operation::Restore],
    &[Operation::Delete, Operation::Purge],
];

#[test]
fn what_a_killed_process_has_left_survives_a_power_cut_once_it_is_built_upon() {
    let started = Instant::now();
    let first = record(FIRST.iter().map(|one| run(one)).collect());
    let width = if full() { SHORT } else { LONG };
    let second = record(
        first
            .iter()
            .flat_map(|case| again::after_kills(case, width))
            .collect(),
    );
    let directory = directory();
    let tally = examine(&second, SEED, directory.path(), true);
    println!("after kills: {tally} in {:?}", started.elapsed());
    tally.assert_none();
}

#[test]
fn what_was_acknowledged_survives_a_second_power_cut() {
    let started = Instant::now();
    let first = record(FIRST.iter().map(|one| run(one)).collect());
    let (width, every) = if full() { (SHORT, 2) } else { (LONG, 40) };
    let second = record(
        first
            .iter()
            .flat_map(|case| again::after_cuts(case, SEED, every, width))
            .collect(),
    );
    let directory = directory();
    let tally = examine(&second, SEED, directory.path(), true);
    println!("after power cuts: {tally} in {:?}", started.elapsed());
    tally.assert_none();
}
