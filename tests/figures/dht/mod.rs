//! The figures of the DHT, on machines that are the DHT alone.

mod churn;
mod door;
mod join;
mod looks;
mod net;
mod rest;
mod small;
mod survey;
mod trace;

pub(crate) use churn::{churn, loss, survival};
pub(crate) use door::{amplification, serve_rate, tokens};
pub(crate) use join::join;
pub(crate) use rest::{endpoints, idle_bytes, memory};
pub(crate) use small::small;
pub(crate) use survey::{hops, latency, requests};
