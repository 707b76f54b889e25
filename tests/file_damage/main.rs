//! What a crash may leave behind is mended; what it cannot have left is named.
//!
//! `scenarios` are the cases that have a name, `healing` those of index files. `matrix` damages every place of every file of small
//! stores in every simple way, and opens and reads what is left. By default it takes a part of that
//! which ends within a minute; with `ANNALS_DAMAGE=full` it takes all of it.

#![cfg(feature = "file")]

mod guard;
mod healing;
mod matrix;
mod mutation;
mod scenarios;
mod subject;

#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
