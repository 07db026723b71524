//! What every std shell of Overcom needs and its core may not hold. Not a runtime.
//!
//! [`Clock`] and [`entropy`] are the only doors for time and chance; [`keys`] keeps secrets in files; a [`Store`] keeps
//! state, and [`Work`] runs it on a thread of its own; [`sockets`] knows the options that std lacks. The runtimes
//! `overcom-mio` and `overcom-smol` are made of these; so can yours be.

mod clock;
mod entropy;
pub mod keys;
#[cfg(feature = "ring")]
mod ring;
pub mod sockets;
mod store;
mod work;

pub use clock::Clock;
pub use entropy::{entropy, seed};
#[cfg(feature = "ring")]
pub use ring::ring_aead;
pub use store::*;
pub use work::{Finished, Waker, Work};
