//! What a second process makes of what a first one has left: it goes on where that one was killed,
//! or where the power was cut, and then the power is cut.
//!
//! What a killed process had not synced is seen by the next one all the same, which must not build
//! upon it as if it were durable. And opening a store after a power cut writes, too.

use super::{
    check::Program,
    choices::Width,
    examine::Case,
    program::{Size, Step},
    record::Run,
    trace::Action,
    volume::Volume,
};

/// The steps of a program, and an append before it ends.
fn extended(program: &Program) -> Program {
    let mut steps = program.steps.clone();
    let end = steps.pop();
    let held = program.held.last().expect("it began with nothing");
    steps.push(Step::Other);
    if held.active.is_none() {
        let revived = !held.deleted.is_empty();
        steps.push(if revived { Step::Restore } else { Step::Create });
    }
    steps.push(Step::Append(Size::One));
    steps.extend(end);
    Program::new(steps)
}

/// The runs after a kill at each change in the last operation of a case.
pub(crate) fn after_kills(case: &Case, width: Width) -> Vec<Run> {
    let program = extended(&case.program);
    let close = case.program.steps.len() - 1;
    let mut runs = Vec::new();
    case.visit(|volume, moment, event| {
        let last = event.checked_sub(1).map(|at| &case.events[at].action);
        if moment.1 > close
            || matches!(
                last,
                Some(Action::Begin(_) | Action::Answer(..) | Action::Sync { .. })
            )
        {
            return;
        }
        runs.push(Run {
            name: format!("{}, killed after event {event} ({last:.60?})", case.name),
            program: program.clone(),
            first: moment.0,
            tree: volume.shown(),
            volume: volume.settled(),
            moment,
            // Before anything is answered it is as with the first process.
            from: moment.0 + 1,
            width,
        });
    });
    runs
}

/// The runs after a power cut, from some of the states that it can leave.
pub(crate) fn after_cuts(case: &Case, seed: u64, every: usize, width: Width) -> Vec<Run> {
    let program = extended(&case.program);
    let close = case.program.steps.len() - 1;
    let (_, found) = case.found(seed);
    found
        .into_iter()
        .step_by(every)
        .filter_map(|state| {
            let moment = *state.moments.last()?;
            (moment.1 <= close).then(|| Run {
                name: format!("{}, cut off after event {}", case.name, state.event),
                program: program.clone(),
                first: moment.0,
                volume: Volume::durable(&state.tree),
                tree: state.tree,
                moment,
                from: 0,
                width,
            })
        })
        .collect()
}
