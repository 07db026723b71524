//! Faults and other steps for [`Sim::at`](crate::Sim::at), as data.

use std::time::Duration;

use overcom_core::StoreError;

use crate::network::Network;
use crate::scenario::Do;
use crate::sim::NodeId;

/// A step of the builder.
pub type Fault = Do<NodeId>;

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Nothing passes between the two groups.
pub fn partition(from: impl IntoIterator<Item = NodeId>, to: impl IntoIterator<Item = NodeId>) -> Fault {
    Do::Partition { from: from.into_iter().collect(), to: to.into_iter().collect(), one_way: false }
}

/// Nothing passes from the first group to the second; the way back stays open.
pub fn partition_one_way(from: impl IntoIterator<Item = NodeId>, to: impl IntoIterator<Item = NodeId>) -> Fault {
    Do::Partition { from: from.into_iter().collect(), to: to.into_iter().collect(), one_way: true }
}

/// All partitions end.
pub const fn heal() -> Fault {
    Do::Heal
}

/// The process and its memory are gone; unsynced writes may be lost.
pub const fn crash(node: NodeId) -> Fault {
    Do::Crash(node)
}

/// A crashed node starts again: its factory runs, what it saved comes back.
pub const fn restart(node: NodeId) -> Fault {
    Do::Restart(node)
}

/// The process stands still while time passes.
pub const fn pause(node: NodeId) -> Fault {
    Do::Pause(node)
}

/// A paused process goes on.
pub const fn resume(node: NodeId) -> Fault {
    Do::Resume(node)
}

/// All sockets of the node are new, at another port if one is given.
pub const fn rebind(node: NodeId, port: Option<u16>) -> Fault {
    Do::Rebind { node, port }
}

/// The node crashes, gets the disk of an earlier time back, and starts.
pub fn rollback(node: NodeId, to: Duration) -> Fault {
    Do::Rollback { node, to_ms: millis(to) }
}

/// The node's disk takes so long for each batch.
pub fn slow_disk(node: NodeId, latency: Duration) -> Fault {
    Do::SlowDisk { node, latency_ms: millis(latency) }
}

/// The node's disk fails from now on: `Full` when it is written, `Corrupt` and `Newer` when it is read, `Failed` both.
pub const fn fail_disk(node: NodeId, why: StoreError) -> Fault {
    Do::FailDisk { node, why: Some(why) }
}

/// The node's disk works again.
pub const fn mend_disk(node: NodeId) -> Fault {
    Do::FailDisk { node, why: None }
}

/// The node's wall clock is set forward (negative: back).
pub const fn clock_step(node: NodeId, by_ms: i64) -> Fault {
    Do::ClockStep { node, by_ms }
}

/// One direction of one link changes.
pub const fn set_link(from: NodeId, to: NodeId, network: Network) -> Fault {
    Do::SetLink { from, to, network }
}

/// All links change.
pub const fn set_network(network: Network) -> Fault {
    Do::SetNetwork(network)
}

/// The node goes to sleep.
pub const fn suspend(node: NodeId) -> Fault {
    Do::Suspend(node)
}

/// A suspended node wakes on new sockets.
pub const fn wake(node: NodeId) -> Fault {
    Do::Wake(node)
}

/// The node looks for the other one's user.
pub const fn find(from: NodeId, to: NodeId) -> Fault {
    Do::Find { from, to }
}

/// The node gets the other one's address.
pub const fn introduce(from: NodeId, to: NodeId) -> Fault {
    Do::Introduce { from, to }
}

/// The node's application gets one call of this workload, with the draws of this number. A workload of no calls of its own
/// ([`Sim::workload`](crate::Sim::workload) with 0) is only called like this.
pub fn call(node: NodeId, workload: &str, number: u64) -> Fault {
    Do::Call { node, workload: workload.into(), number }
}

/// The node takes the other one's user out of its address book and gives up what waits for them.
pub const fn forget(from: NodeId, to: NodeId) -> Fault {
    Do::Forget { from, to }
}

/// The node makes an invitation with its own address.
pub fn invite(node: NodeId, life: Duration) -> Fault {
    Do::Invite { node, life_ms: millis(life) }
}

/// The node uses the last invitation of the other one.
pub const fn join(from: NodeId, to: NodeId) -> Fault {
    Do::Join { from, to }
}

/// The node takes back the last invitation that it has made.
pub const fn withdraw(node: NodeId) -> Fault {
    Do::Withdraw(node)
}

/// The node's identity takes a device of its own back, and the node spreads it.
pub const fn revoke(by: NodeId, device: NodeId) -> Fault {
    Do::Revoke { by, device }
}

/// The node gets a new delegation.
pub const fn renew(node: NodeId) -> Fault {
    Do::Renew(node)
}
