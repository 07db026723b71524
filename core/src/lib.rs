//! The protocol of Overcom as a pure state machine.
#![no_std]

extern crate alloc;

#[allow(dead_code, reason = "whose users come with the machines")]
mod action;
mod app;
mod close;
mod command;
#[allow(dead_code, reason = "whose users come with the machines")]
mod config;
#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod crypto;
mod driver;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzz;
#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod id;
#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod identity;
#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod map;
#[allow(dead_code, reason = "whose users come with the machines")]
mod message;
mod node;
mod notice;
mod rng;
mod time;
pub mod trace;
mod view;
#[allow(dead_code, unused_imports, reason = "whose users come with the machines")]
mod wire;

pub use action::*;
pub use app::*;
pub use close::*;
pub use command::*;
pub use config::*;
pub use crypto::*;
pub use driver::*;
pub use error::*;
pub use event::*;
pub use id::*;
pub use identity::*;
pub use message::*;
pub use node::*;
pub use notice::*;
pub use rng::*;
pub use time::*;
pub use view::*;
