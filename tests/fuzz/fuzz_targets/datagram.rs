//! Any bytes into `overcom_core::fuzz::datagram`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| assert!(overcom_core::fuzz::datagram(bytes)));
