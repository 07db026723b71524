//! The DHT in the public words for it.

use alloc::string::ToString as _;

use super::Dht;
use super::health::Standing;
use super::net::Net;
use super::table::Mode;
use super::wire::Kind;
use crate::address::Scope;
use crate::time::Time;
use crate::view::{DhtReach, DhtRecord, DhtStanding, DhtView, RealmView};

impl Dht {
    /// Bytes of heap that its long-lived parts take, records aside.
    fn heap_bytes(&self) -> usize {
        let nets = self.nets.iter().map(Net::heap_bytes).fold(self.nets.capacity().saturating_mul(size_of::<Net>()), usize::saturating_add);
        let parts = [
            self.jar.heap_bytes(),
            self.limiter.heap_bytes(),
            self.shares.heap_bytes(),
            self.endpoints.heap_bytes(),
            self.carry.heap_bytes(),
            self.flight.heap_bytes(),
            self.errands.heap_bytes(),
            self.hello_once.heap_bytes(),
            self.binds.as_ref().map_or(0, |binds| binds.heap_bytes()),
        ];
        parts.into_iter().fold(nets, usize::saturating_add)
    }

    /// At a glance, as of the last event.
    pub(crate) fn view(&self, now: Time) -> DhtView {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        DhtView {
            // Where it has a socket.
            realms: self.nets.iter().filter(|net| net.local.is_some()).map(|net| view(net, now)).collect(),
            records: count(self.home.len()),
            record_bytes: count(self.home.bytes()),
            // The node knows.
            bound_at: 0,
            binds: self.binds.as_ref().map_or(0, |binds| count(binds.bound(|name| self.home.find(name).is_some()))),
            look_ups: count(self.seeks.len()),
            requests: count(self.flight.len()),
            heap_bytes: count(self.heap_bytes()),
        }
    }
}

fn view(net: &Net, now: Time) -> RealmView {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    RealmView {
        family: net.realm.family(),
        reach: reach_of(net.realm.scope),
        address: net.reach.address(),
        id: net.id.map(|id| id.to_string()),
        standing: standing_of(net.health.standing(now)),
        is_hard: net.reach.mode() == Mode::Hard,
        nodes: count(net.table.len()),
        verified: count(net.servers),
        leaves: count(net.leaves.len()),
        estimate: net.size().nodes(),
        rtt_ms: net.table.median_rtt().map(|rtt| u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX)),
    }
}

pub(super) const fn reach_of(scope: Scope) -> DhtReach {
    match scope {
        Scope::Loopback => DhtReach::Loopback,
        Scope::Private => DhtReach::Private,
        Scope::Global => DhtReach::Global,
    }
}

pub(super) const fn record_of(kind: Kind) -> DhtRecord {
    match kind {
        Kind::Address => DhtRecord::Address,
        Kind::Device => DhtRecord::Device,
        Kind::Revocation => DhtRecord::Revocation,
    }
}

pub(super) const fn standing_of(standing: Standing) -> DhtStanding {
    match standing {
        Standing::Isolated => DhtStanding::Isolated,
        Standing::AddressUnknown => DhtStanding::AddressUnknown,
        Standing::Serving => DhtStanding::Serving,
        Standing::Client => DhtStanding::Client,
    }
}
