//! What others say where a node's requests came from, and what it believes of it (spec: DHT-122).

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::address::{Group, block, group, is_lasting, plain_socket};
use crate::dht::realm::Realm;
use crate::dht::table::{Entry, Mode, Table};
use crate::time::Time;

/// A vote counts for so long.
const LENGTH: Duration = Duration::from_secs(600);
/// Votes that are kept: four times as many as a hard table wants (guess). The oldest goes. 512 bytes.
const VOTES_MAX: usize = 16;
/// Of so many blocks votes are wanted in a hard table, if as many are known.
const BLOCKS_MIN: usize = 4;
/// The newest so many votes for an ip decide its port.
const PORTS: usize = 4;
const GROWTH: usize = 4;

/// Of how many networks verified nodes are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Known {
    /// Groups; not counted beyond 64.
    pub(crate) groups: usize,
    /// Blocks; not counted beyond 4.
    pub(crate) blocks: usize,
}

impl Known {
    /// What a table knows. O(n × groups).
    pub(crate) fn of(table: &Table) -> Self {
        let mut blocks: Vec<Group> = Vec::with_capacity(BLOCKS_MIN);
        for entry in table.mains().filter(Entry::is_verified) {
            let of = block(entry.at);
            if !blocks.contains(&of) {
                blocks.push(of);
            }
            if blocks.len() >= BLOCKS_MIN {
                break;
            }
        }
        Self { groups: table.groups(), blocks: blocks.len() }
    }
}

/// One block's word. 32 bytes.
#[derive(Clone, Copy, Debug)]
struct Vote {
    block: [u8; 4],
    ip: IpAddr,
    port: u16,
    at: Time,
}

/// The votes on the own address in a global realm: one per block, the newest last.
#[derive(Debug, Default)]
pub(super) struct Votes {
    kept: Vec<Vote>,
}

impl Votes {
    /// `from` has answered a request of ours and says that it came from `seen`; `false` if that can be no address of ours.
    pub(super) fn put(&mut self, from: SocketAddr, seen: SocketAddr, realm: Realm, now: Time) -> bool {
        let seen = plain_socket(seen);
        let Some(block) = short(from) else { return false };
        // Of addresses that gateways make up, one provider has as many blocks as it likes.
        if [from, seen].into_iter().any(|at| Realm::of(at) != Some(realm) || !is_lasting(at)) {
            return false;
        }
        self.kept.retain(|vote| vote.block != block && now.since(vote.at) < LENGTH);
        if self.kept.len() >= VOTES_MAX {
            self.kept.drain(..1);
        }
        if self.kept.len() == self.kept.capacity() {
            self.kept.reserve_exact(GROWTH);
        }
        self.kept.push(Vote { block, ip: seen.ip(), port: seen.port(), at: now });
        true
    }

    /// Where this node is, if enough agree; `None` leaves it where it was. O(n²), n ≤ 16.
    pub(super) fn winner(&self, mode: Mode, blocks_known: usize, now: Time) -> Option<SocketAddr> {
        let needed = match mode {
            Mode::Soft => 1,
            Mode::Hard => BLOCKS_MIN.min(blocks_known).max(1),
        };
        let fresh = || self.kept.iter().rev().filter(|vote| now.since(vote.at) < LENGTH);
        let count = |ip: IpAddr| fresh().filter(|vote| vote.ip == ip).count();
        // As a rule all say the same.
        let newest = fresh().next()?.ip;
        let is_one = fresh().all(|vote| vote.ip == newest);
        let ip = if is_one { newest } else { fresh().map(|vote| vote.ip).max_by_key(|ip| count(*ip))? };
        let is_enough = count(ip) >= needed && count(ip).saturating_mul(3) >= fresh().count().saturating_mul(2);
        is_enough.then_some(())?;
        let ports = || fresh().filter(|vote| vote.ip == ip).take(PORTS).map(|vote| vote.port);
        let newest = ports().next()?;
        if ports().all(|port| port == newest) {
            return Some(SocketAddr::new(ip, newest));
        }
        // Of equals the last: so the newest comes last.
        let port = ports().collect::<Vec<_>>().into_iter().rev().max_by_key(|port| ports().filter(|other| other == port).count())?;
        Some(SocketAddr::new(ip, port))
    }

    pub(super) fn clear(&mut self) {
        self.kept = Vec::new();
    }

    /// Bytes of heap: at most 512.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.kept.capacity().saturating_mul(size_of::<Vote>())
    }
}

/// The block of a global address in four bytes; `None` elsewhere, where votes mean nothing.
fn short(at: SocketAddr) -> Option<[u8; 4]> {
    match group(at) {
        Group::V4([a, b, _]) => Some([a, b, 0, 0]),
        Group::V6([a, b, c, d, _, _]) => Some([a, b, c, d]),
        Group::Endpoint(_) => None,
    }
}
