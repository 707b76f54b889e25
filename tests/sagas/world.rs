//! The services that sagas call: what has a key is done once, and what was undone before it came is
//! refused. They note every call.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use annals::cqrs::{Retry, Saga, Step, StepContext, StepError};

pub(crate) const STEPS: [&str; 4] = ["reserve", "charge", "ship", "tell"];

/// What a saga knows: what was done for it, in order.
pub(crate) type Data = Vec<String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) saga: String,
    pub(crate) step: String,
    pub(crate) undoing: bool,
    pub(crate) attempt: u32,
    pub(crate) key: String,
}

/// How a call goes, other than well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not done, and said so.
    Refuse,
    /// Not done, and nobody knows.
    Lose,
    /// Done, and nobody knows.
    LoseAnswer,
    Panic,
    /// Done, and it never comes back.
    Hang,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) calls: Vec<Call>,
    /// By key: what is done and not undone.
    pub(crate) effects: HashMap<String, (String, String)>,
    seen: HashSet<String>,
    undone: HashSet<String>,
    /// By saga, step, direction and nth call, from 1.
    faults: HashMap<(String, String, bool, usize), Fault>,
}

#[derive(Clone, Default)]
pub(crate) struct World(pub(crate) Arc<Mutex<Inner>>, Option<Duration>);

impl World {
    /// One whose steps may take as long as they like.
    pub(crate) fn patient() -> Self {
        Self(Arc::default(), Some(Duration::from_secs(60)))
    }

    /// Has the nth call of a step go wrong.
    pub(crate) fn plan(&self, saga: &str, step: &str, undoing: bool, nth: usize, fault: Fault) {
        let at = (saga.to_owned(), step.to_owned(), undoing, nth);
        self.0.lock().unwrap().faults.insert(at, fault);
    }

    pub(crate) fn calls(&self, saga: &str) -> Vec<Call> {
        let inner = self.0.lock().unwrap();
        let calls = inner.calls.iter().filter(|call| call.saga == saga);
        calls.cloned().collect()
    }

    /// The steps that were undone, in the order in which they were first called to be.
    pub(crate) fn undone(&self, saga: &str) -> Vec<String> {
        let mut steps = Vec::new();
        for call in self.calls(saga).into_iter().filter(|call| call.undoing) {
            if !steps.contains(&call.step) {
                steps.push(call.step);
            }
        }
        steps
    }

    /// The steps whose effects count, in no order.
    pub(crate) fn effects(&self, saga: &str) -> Vec<String> {
        let inner = self.0.lock().unwrap();
        let effects = inner.effects.values().filter(|(one, _)| one == saga);
        let mut effects: Vec<_> = effects.map(|(_, step)| step.clone()).collect();
        effects.sort();
        effects
    }

    /// Every call of a step in one direction had one key, and no other call had it.
    pub(crate) fn check_keys(&self) {
        let inner = self.0.lock().unwrap();
        let mut keys: HashMap<(&str, &str, bool), &str> = HashMap::new();
        for call in &inner.calls {
            let key = keys.entry((&call.saga, &call.step, call.undoing));
            assert_eq!(*key.or_insert(&call.key), call.key, "{call:?}");
        }
        let different: HashSet<_> = keys.values().collect();
        assert_eq!(different.len(), keys.len(), "a key is used twice");
    }

    fn call(&self, context: &StepContext) -> (Option<Fault>, Result<(), StepError>) {
        let mut inner = self.0.lock().unwrap();
        let undoing = context.undoes().is_some();
        let call = Call {
            saga: context.saga_id().to_owned(),
            step: context.step().to_owned(),
            undoing,
            attempt: context.attempt(),
            key: context.idempotency_key().to_owned(),
        };
        let same =
            |one: &&Call| (&one.saga, &one.step, one.undoing) == (&call.saga, &call.step, undoing);
        let nth = inner.calls.iter().filter(same).count() + 1;
        let at = (call.saga.clone(), call.step.clone(), undoing, nth);
        let fault = inner.faults.get(&at).copied();
        let (saga, step, key) = (call.saga.clone(), call.step.clone(), call.key.clone());
        inner.calls.push(call);
        if matches!(fault, Some(Fault::Refuse | Fault::Lose | Fault::Panic)) {
            return (fault, Ok(()));
        }
        if let Some(undoes) = context.undoes() {
            inner.undone.insert(undoes.to_owned());
            inner.effects.remove(undoes);
        } else if inner.undone.contains(&key) {
            return (fault, Err(StepError::fail("it was undone")));
        } else if inner.seen.insert(key.clone()) {
            inner.effects.insert(key, (saga, step));
        }
        (fault, Ok(()))
    }

    async fn act(self, context: StepContext, mut data: Data) -> Result<Data, StepError> {
        let (fault, answer) = self.call(&context);
        // So that others have a turn within every step.
        tokio::task::yield_now().await;
        match fault {
            None => answer?,
            Some(Fault::Refuse) => return Err(StepError::fail("refused")),
            Some(Fault::Lose | Fault::LoseAnswer) => return Err(StepError::retry("lost")),
            Some(Fault::Panic) => panic!("planned"),
            Some(Fault::Hang) => std::future::pending().await,
        }
        let sign = if context.undoes().is_some() { '-' } else { '+' };
        data.push(format!("{sign}{}", context.step()));
        Ok(data)
    }

    pub(crate) fn step(&self, name: &str) -> Step<Data> {
        let (world, undoing) = (self.clone(), self.clone());
        let retry = Retry::new(3).pauses(Duration::from_millis(1), Duration::from_millis(5));
        Step::new(name, move |context, data| world.clone().act(context, data))
            .compensate(move |context, data| undoing.clone().act(context, data))
            .retry(retry)
            .retry_compensation(retry)
            .timeout(self.1.unwrap_or(Duration::from_millis(150)))
    }

    pub(crate) fn saga(&self) -> Saga<Data> {
        let steps = STEPS.iter().map(|name| self.step(name));
        steps.fold(Saga::named("s"), Saga::step)
    }
}
