//! Any bytes into the entrance `key_file`.
#![no_main]

#[path = "../entrances/key_file.rs"]
mod entrance;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| assert!(entrance::key_file(bytes)));
