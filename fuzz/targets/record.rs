//! Any bytes as the record of an event.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzz::record(data));
