//! Any bytes into `overcom_core::fuzz::invitation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| assert!(overcom_core::fuzz::invitation(bytes)));
