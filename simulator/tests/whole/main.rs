//! What the simulator promises, in one program: each of these files is linked against everything below it once, not by itself.

mod crypto;
mod dht;
mod faults;
mod finding;
mod invitation;
mod ping;
mod planted;
mod same;
mod swarm;
