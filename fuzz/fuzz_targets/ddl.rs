//! The target `ddl`, for cargo-fuzz.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| canald_fuzz::ddl(data));
