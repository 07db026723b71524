//! The protocol of Overcom as a pure state machine.
#![no_std]

extern crate alloc;

mod error;
mod id;
mod time;

pub use error::*;
pub use id::*;
pub use time::*;
