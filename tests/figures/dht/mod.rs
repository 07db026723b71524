//! The figures of the DHT, on machines that are the DHT alone.

mod atlas;
mod attack;
mod bind;
mod churn;
mod devices;
mod door;
mod families;
mod fields;
mod flood;
mod gang;
mod join;
mod looks;
mod million;
mod net;
mod peers;
mod privacy;
mod rest;
mod small;
mod start;
mod survey;
mod trace;

pub(crate) use attack::{colluders, eclipse, rollback};
pub(crate) use bind::bind;
pub(crate) use churn::{churn, loss, survival};
pub(crate) use devices::devices;
pub(crate) use door::{amplification, serve_rate, tokens};
pub(crate) use families::families;
pub(crate) use flood::{flood, hostile};
pub(crate) use join::join;
pub(crate) use million::million;
pub(crate) use peers::peers;
pub(crate) use privacy::privacy;
pub(crate) use rest::{endpoints, idle_bytes, memory};
pub(crate) use small::small;
pub(crate) use start::start;
pub(crate) use survey::{hops, latency, requests};
