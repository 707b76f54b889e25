//! Any bytes as a mark.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzz::mark(data));
