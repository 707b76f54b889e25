//! Runs a scenario under many schedules, or once more under one that has failed.

use std::{env, future::Future};

use shuttle::{
    Config, Runner,
    scheduler::{
        PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
        UncontrolledNondeterminismCheckScheduler,
    },
};

/// How many schedules of each scenario are run.
const SCHEDULES: usize = 400;
/// How often PCT changes its mind, besides at yields.
const DEPTH: usize = 4;

/// Runs the scenario under many schedules.
pub(crate) fn explore<F>(scenario: impl Fn() -> F + Clone + Send + Sync + 'static)
where
    F: Future<Output = ()>,
{
    if let Ok(schedule) = env::var("ANNALS_SCHEDULE") {
        // It is printed in several lines.
        let schedule: String = schedule.split_whitespace().collect();
        return run(ReplayScheduler::new_from_encoded(&schedule), scenario);
    }
    let count = env::var("ANNALS_SCHEDULES").map_or(SCHEDULES, |count| count.parse().unwrap());
    run(RandomScheduler::new(count.div_ceil(2)), scenario.clone());
    run(PctScheduler::new(DEPTH, count / 2), scenario);
}

/// Runs the scenario twice under each of some schedules: the same has to happen, or what is printed of
/// a failure would be worth nothing.
pub(crate) fn repeat<F>(scenario: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = ()>,
{
    let random = RandomScheduler::new(20);
    run(
        UncontrolledNondeterminismCheckScheduler::new(random),
        scenario,
    );
}

fn run<F>(scheduler: impl Scheduler + 'static, scenario: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = ()>,
{
    let mut config = Config::new();
    config.stack_size = 1 << 19;
    Runner::new(scheduler, config).run(move || shuttle::future::block_on(scenario()));
}
