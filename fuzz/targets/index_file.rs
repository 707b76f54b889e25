//! Any bytes as an index file that is searched.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzz::index_file(data));
