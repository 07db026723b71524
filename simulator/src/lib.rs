//! Deterministic simulation of Overcom nodes and of the applications on them: virtual network, disk and clocks.
//!
//! A [`Sim`] runs the very same [`App`](overcom_core::App) and [`Driver`](overcom_core::Driver) as the runtimes. One
//! seed decides everything; [`main!`](crate::main) makes `cargo test` look for seeds that break a check.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod clock;
pub mod conformance;
mod describe;
mod digest;
mod disk;
mod draw;
mod engine;
pub mod fault;
pub mod harness;
mod inbox;
mod network;
mod pipe;
mod port;
mod queue;
mod ran;
mod run;
mod scenario;
pub mod script;
mod shrink;
mod sim;
pub mod swarm;
mod world;

use std::time::Duration;

pub use clock::Clock;
pub use digest::{Digest, Divergence, Mark, Marks, compare};
pub use draw::Draws;
pub use inbox::Inbox;
pub use network::Network;
pub use ran::{Ran, run};
pub use run::Failure;
pub use scenario::{CryptoMode, Do, NodeSpec, SCENARIO_VERSION, Scenario, ScenarioError, Step};
pub use sim::{NodeId, Report, Sim};
pub use world::{Answers, Apps, NodeView, World};

/// So many seconds.
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// So many milliseconds.
pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
