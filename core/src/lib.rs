//! The protocol of Overcom as a pure state machine.
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::std_instead_of_core,
        clippy::std_instead_of_alloc
    )
)]

extern crate alloc;

mod action;
mod address;
mod app;
mod close;
mod command;
mod config;
mod crypto;
mod cx;
mod driver;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod id;
mod identity;
mod inbox;
mod link;
mod map;
mod message;
mod node;
mod notice;
mod outbox;
mod referral;
mod rng;
mod time;
mod timer;
pub mod trace;
mod view;
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
