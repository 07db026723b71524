//! Any bytes into the entrance `scenario`.
#![no_main]

#[path = "../entrances/scenario.rs"]
mod entrance;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| assert!(entrance::scenario(bytes)));
