//! Interleavings of what runs in one process: appends that wake subscribers, stores that are closed
//! and topics that are deleted under those who wait.
//!
//! The crate's own sources run here, compiled once more (`annals/`) with the locks of
//! `shuttle-parking_lot`, the executor of shuttle, and tokio's channels between which shuttle can switch
//! (`tokio/`): at every lock and every use of a channel another task may go on, as on another thread,
//! also in the middle of a poll. Schedules are chosen at random, one half by PCT. Whatever is
//! delivered has to be an exact run of what is recorded; a schedule in which nothing can go on while
//! somebody waits is a failure ("deadlock").
//!
//! A schedule that fails is printed, and can be run again:
//! ```text
//! ANNALS_SCHEDULE="<what was printed>" cargo test --all-features --test interleavings <name of the test>
//! ```
//! `ANNALS_SCHEDULES` sets how many schedules of each scenario are run (400).
//!
//! Not explored: what atomics and the inside of tokio's channels do between threads (each use is one
//! step here), and time.
//!
//! **Faults that were planted by hand, one at a time, and found**:
//! - the repository: the head told before the events are there, where readers do not wait for the
//!   writer; the head subscribed to after it was looked at; receivers counted before the head is
//!   changed, so that nobody is told; the head told after the writer's lock was given back; decided
//!   under the lock, recorded under it once more; an append seen event by event; closing looked at once
//!   and then waited for as a change; a removed topic that wakes nobody, or that a late call brings
//!   back; a closed repository that takes appends;
//! - the machine: waits for events only, or subscribes to the configuration after it has looked there;
//!   keeps the first waker, so that a `next()` that was dropped takes the wake with it; does not move on
//!   after a page, or skips to the head;
//! - the write model: tells of a change before it has it; waits from the head and not from where it is;
//!   is followed by nobody once a subscription began;
//! - the gate: looks for calls under way before it waits for them to leave; waits for nobody, where the
//!   repository takes appends after it is closed.
//!
//! Not found, since something else makes up for each: the head told before the events are there (readers
//! wait for the writer), `closing` subscribed to after it was looked at (the repository is closed, too),
//! a gate that waits for nobody (the repository refuses what comes late), one that tells of closing
//! before it closes (who comes too early looks again), an append that brings back the head of a removed
//! topic (nobody reaches the topic any more).

mod endings;
mod live;
mod repository;
mod run;
mod world;
