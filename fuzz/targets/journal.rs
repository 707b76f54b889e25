//! Any bytes as a journal.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzz::journal(data));
