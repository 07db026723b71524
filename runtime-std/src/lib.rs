//! What every std shell of Overcom needs and its core may not hold. Not a runtime.
//!
//! [`Clock`] and [`entropy`] are the only doors for time and chance; [`keys`] keeps secrets in files; a [`Store`] keeps
//! state, and [`Work`] runs it on a thread of its own; [`sockets`] knows the options that std
//! lacks; an [`Engine`] puts them together and does everything but wait. The runtimes
//! `overcom-mio` and `overcom-smol` are made of these; so can yours be.

mod advice;
mod bell;
mod clock;
mod engine;
mod entropy;
pub mod keys;
mod pipes;
mod plain;
mod queue;
mod remote;
#[cfg(feature = "ring")]
mod ring;
mod setup;
pub mod sockets;
mod store;
mod work;

pub use advice::advice;
pub use bell::{Bell, Source};
pub use clock::Clock;
pub use engine::{Bare, Drive, Engine, Net, Rest};
pub use entropy::{entropy, seed};
pub use pipes::{Pipes, Stream};
pub use plain::open_plain;
pub use remote::Remote;
#[cfg(feature = "ring")]
pub use ring::ring_aead;
pub use setup::Setup;
pub use store::*;
pub use work::{Finished, Waker, Work};
