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
//! ANNALS_SCHEDULE=<what was printed> cargo test --all-features --test interleavings <name of the test>
//! ```
//! `ANNALS_SCHEDULES` sets how many schedules of each scenario are run (800).
//!
//! Not explored: what atomics and the inside of tokio's channels do between threads (each is one step
//! here), and time (whoever sleeps may wake at any moment).

mod endings;
mod live;
mod repository;
mod run;
mod world;
