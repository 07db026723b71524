//! The protocol of Overcom as a pure state machine.
#![no_std]

extern crate alloc;

#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod crypto;
mod error;
#[doc(hidden)]
pub mod fuzz;
#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod id;
#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod identity;
#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod map;
mod rng;
mod time;
#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod wire;

pub use crypto::*;
pub use error::*;
pub use id::*;
pub use identity::*;
pub use rng::*;
pub use time::*;
