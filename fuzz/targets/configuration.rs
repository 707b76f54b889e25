//! Any bytes as a configuration stream that is folded.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzz::configuration(data));
