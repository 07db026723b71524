//! Any bytes into the entrance `script`.
#![no_main]

#[path = "../entrances/script.rs"]
mod entrance;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| assert!(entrance::script(bytes)));
