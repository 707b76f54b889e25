//! The threads that write.
//!
//! A topic that has something to write is handed to a thread of this pool, which stays with it
//! until nothing is left. The threads belong to the repository and not to a runtime, so that an
//! append that was accepted is finished also where the runtime that sent it ends. Idle threads end
//! after a while.

use std::{
    collections::{BinaryHeap, VecDeque},
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// Threads beyond this many do not make a disk faster.
const MOST_THREADS: usize = 16;
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// A small pool of threads.
#[derive(Clone, Default)]
pub(super) struct Workers(Arc<Pool>);

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Job>,
    later: BinaryHeap<Later>,
    threads: usize,
    idle: usize,
    /// Distinguishes jobs that are due at the same moment.
    ordinal: u64,
}

struct Later {
    due: Instant,
    ordinal: u64,
    job: Job,
}

impl Workers {
    /// Runs `job` on one of the threads.
    ///
    /// # Errors
    /// Where no thread is there and none can be started; the job is dropped then.
    pub(super) fn submit(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.ready.push_back(Box::new(job));
        self.staff(state, |state| drop(state.ready.pop_back()))
    }

    /// Runs `job` after `delay`.
    ///
    /// # Errors
    /// Where no thread is there and none can be started; the job is dropped then.
    pub(super) fn submit_after(
        &self,
        delay: Duration,
        job: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.ordinal += 1;
        let ordinal = state.ordinal;
        state.later.push(Later {
            due: Instant::now() + delay,
            ordinal,
            job: Box::new(job),
        });
        self.staff(state, move |state| {
            state.later.retain(|one| one.ordinal != ordinal)
        })
    }

    /// Sees to it that a thread looks at what was added; `undo` takes it back where none can.
    fn staff(
        &self,
        mut state: parking_lot::MutexGuard<'_, State>,
        undo: impl FnOnce(&mut State),
    ) -> io::Result<()> {
        // Idle threads that were woken for earlier jobs still count as idle.
        if state.idle >= state.ready.len().max(1) {
            drop(state);
            self.0.wake.notify_one();
            return Ok(());
        }
        if state.threads >= MOST_THREADS {
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        let pool = Arc::clone(&self.0);
        let started = thread::Builder::new()
            .name("annals-file".to_owned())
            .spawn(move || pool.work());
        if let Err(error) = started {
            let mut state = self.0.state.lock();
            state.threads -= 1;
            if state.threads == 0 {
                undo(&mut state);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers")
            .field("threads", &self.0.state.lock().threads)
            .finish_non_exhaustive()
    }
}

impl Pool {
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            if let Some(job) = state.due(now) {
                drop(state);
                // A job that panics must not take its thread, and what waits for it, with it.
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                if outcome.is_err() {
                    tracing::error!("a job of the file repository panicked");
                }
                state = self.state.lock();
                continue;
            }
            let until = state.later.peek().map_or(now + IDLE, |next| next.due);
            state.idle += 1;
            let waited = self.wake.wait_until(&mut state, until);
            state.idle -= 1;
            if waited.timed_out() && state.ready.is_empty() && state.later.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

impl State {
    fn due(&mut self, now: Instant) -> Option<Job> {
        if self.later.peek().is_some_and(|next| next.due <= now) {
            return self.later.pop().map(|later| later.job);
        }
        self.ready.pop_front()
    }
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    /// The earliest is the greatest, so that the heap gives it first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.ordinal).cmp(&(self.due, self.ordinal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn jobs_run_also_after_one_has_panicked_and_later_ones_when_they_are_due() {
        let workers = Workers::default();
        let (sender, receiver) = mpsc::channel();
        workers.submit(|| panic!("on purpose")).unwrap();
        let late = sender.clone();
        workers
            .submit_after(Duration::from_millis(20), move || late.send(2).unwrap())
            .unwrap();
        workers.submit(move || sender.send(1).unwrap()).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(5)), Ok(1));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(5)), Ok(2));
    }
}
