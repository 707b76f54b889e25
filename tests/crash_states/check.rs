//! Opens what a power cut has left, and holds it against what was promised.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use annals::EventStore;

use super::{
    program::{Held, Seen, Shown, Size, Step, events, glance, look, open, refused, take},
    volume::Tree,
};

/// How many steps were answered, and how many were begun: at most one more.
pub(crate) type Moment = (usize, usize);

/// Steps, and what is held once each number of them is answered.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    pub(crate) held: Vec<Held>,
}

impl Program {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        let mut held = vec![Held::default()];
        for (number, step) in steps.iter().enumerate() {
            let last = &held[number];
            let after = last.after(number, *step).and_then(|mut all| all.pop());
            held.push(after.unwrap_or_else(|| last.clone()));
        }
        Self { steps, held }
    }

    /// Whether a step is taken, and not refused.
    pub(crate) fn takes(&self, number: usize) -> bool {
        self.held[number]
            .after(number, self.steps[number])
            .is_some()
    }

    /// What may be found at a moment.
    fn allowed(&self, (answered, begun): Moment) -> Vec<Held> {
        let mut allowed = vec![self.held[answered].clone()];
        if begun > answered {
            let after = self.held[answered].after(answered, self.steps[answered]);
            allowed.extend(after.into_iter().flatten());
        }
        allowed
    }
}

/// Makes the files of a tree.
pub(crate) fn materialise(tree: &Tree, directory: &Path) {
    fs::create_dir(directory).expect("a directory");
    for (path, content) in tree {
        let path = directory.join(path);
        match content {
            Some(bytes) => fs::write(path, bytes.as_slice()).expect("a file"),
            None => fs::create_dir(path).expect("a directory"),
        }
    }
}

/// The number of the step that is taken after all others.
const AFTER: usize = 1000;

/// Checks a directory that can be found at each of these moments.
pub(crate) async fn check(
    directory: &Path,
    program: &Program,
    moments: &BTreeSet<Moment>,
) -> Result<(), String> {
    let store = open(directory)
        .await
        .map_err(|error| format!("the store does not open: {error}"))?;
    let shown = look(&store).await?;
    for moment in moments {
        let allowed = program.allowed(*moment);
        if !allowed.iter().any(|held| held.shown() == shown) {
            let allowed: Vec<String> = allowed
                .iter()
                .map(|held| held.shown().to_string())
                .collect();
            return Err(format!(
                "{} steps were answered and {} begun, which leaves {}; there is {shown}",
                moment.0,
                moment.1,
                allowed.join(" or ")
            ));
        }
    }
    let begun = moments.iter().map(|moment| moment.1).max().unwrap_or(0);
    let held = &program.held[begun];
    try_again(&store, program, begun, &shown).await?;
    go_on(store, directory, held.clone()).await
}

/// Whoever was not answered tries again, and whoever was may do so too.
async fn try_again(
    store: &EventStore,
    program: &Program,
    begun: usize,
    shown: &Shown,
) -> Result<(), String> {
    let held = &program.held[begun];
    for number in (0..begun).rev() {
        let step = program.steps[number];
        let newest = number + 1 == begun && !matches!(step, Step::Open | Step::Close);
        let appended =
            matches!(step, Step::Append(size) if holds(held.active.as_deref(), number, size));
        if !newest && !appended {
            continue;
        }
        let receipt = match take(store, number, step).await {
            Err(error) if refused(&error) && !appended => continue,
            Err(error) => return Err(format!("step {number} again: {error}")),
            Ok(receipt) => receipt,
        };
        let (Some(receipt), Step::Append(size)) = (receipt, step) else {
            continue;
        };
        let there = !newest || holds(shown.active.as_deref(), number, size);
        let id = events(number, size)[0].1;
        let first = held.active.iter().flatten().find(|seen| seen.id() == id);
        let first = first.map(|seen| seen.position);
        if receipt.duplicate != there || first != Some(receipt.first.get()) {
            return Err(format!(
                "step {number} again: {receipt:?}, and not at {first:?}; it was there: {there}"
            ));
        }
    }
    Ok(())
}

/// The store goes on, is opened once more, and shows the same.
async fn go_on(store: EventStore, directory: &Path, mut held: Held) -> Result<(), String> {
    let revive = match (&held.active, held.deleted.is_empty()) {
        (Some(_), _) => None,
        (None, true) => Some(Step::Create),
        (None, false) => Some(Step::Restore),
    };
    for step in revive.into_iter().chain([Step::Append(Size::One)]) {
        let receipt = take(&store, AFTER, step)
            .await
            .map_err(|error| format!("{step:?} afterwards: {error}"))?;
        let next = held.after(AFTER, step).and_then(|mut all| all.pop());
        held = next.expect("it is taken");
        if receipt.is_some_and(|receipt| receipt.duplicate) {
            return Err("a new event is taken for a duplicate".to_owned());
        }
    }
    // What nobody needs is removed, and nothing else.
    let swept = store.sweep_older_than(Duration::ZERO).await;
    swept.map_err(|error| format!("nothing can be swept: {error}"))?;
    let storages = fs::read_dir(directory.join("topics")).map_or(0, Iterator::count);
    let topics = usize::from(held.active.is_some()) + usize::from(held.second.is_some());
    let needed = 1 + topics + held.deleted.len();
    if storages != needed {
        return Err(format!("{storages} storages, and {needed} are needed"));
    }
    agrees(glance(&store).await?, &held, "after going on")?;
    let closed = |error| format!("the store does not close: {error}");
    store.close().await.map_err(closed)?;
    let store = open(directory)
        .await
        .map_err(|error| format!("the store does not open again: {error}"))?;
    agrees(look(&store).await?, &held, "opened again")?;
    store.close().await.map_err(closed)
}

/// Whether all events of an append are there.
fn holds(active: Option<&[Seen]>, number: usize, size: Size) -> bool {
    events(number, size).iter().all(|(_, id, _)| {
        active
            .unwrap_or_default()
            .iter()
            .any(|seen| seen.id() == *id)
    })
}

fn agrees(shown: Shown, held: &Held, when: &str) -> Result<(), String> {
    let expected = held.shown();
    if shown == expected {
        return Ok(());
    }
    Err(format!("{when} there is {shown}, and not {expected}"))
}
