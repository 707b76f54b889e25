//! Any bytes as a segment that is recovered.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzz::segment(data));
