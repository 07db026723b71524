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
/// Votes that are kept, and blocks that are counted (guess). The oldest goes. 512 bytes.
const VOTES_MAX: usize = 16;
/// Of so many blocks, but for a quarter, votes are wanted in a hard table, if as many are known.
const BLOCKS_MIN: usize = 5;
/// The newest so many votes for an ip decide its port.
const PORTS: usize = 4;
const GROWTH: usize = 4;

/// Of how many networks verified nodes are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Known {
    /// Groups; not counted beyond 64.
    pub(crate) groups: usize,
    /// Blocks; not counted beyond 16.
    pub(crate) blocks: usize,
}

impl Known {
    /// What a table knows. O(n × groups).
    pub(crate) fn of(table: &Table) -> Self {
        let mut blocks: Vec<Group> = Vec::with_capacity(VOTES_MAX);
        for entry in table.mains().filter(Entry::is_verified) {
            let of = block(entry.at);
            if !blocks.contains(&of) {
                blocks.push(of);
            }
            if blocks.len() >= VOTES_MAX {
                break;
            }
        }
        Self { groups: table.groups(), blocks: blocks.len() }
    }
}

/// The address that has more votes than any other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Leader {
    pub(super) at: SocketAddr,
    /// For its ip, and in all.
    votes: usize,
    all: usize,
}

impl Leader {
    /// Whether it has won where nobody is sure yet.
    pub(super) fn has_won(&self, mode: Mode, blocks_known: usize) -> bool {
        match mode {
            Mode::Soft => self.votes.saturating_mul(3) >= self.all.saturating_mul(2),
            Mode::Hard => self.votes >= but_for(blocks_known.clamp(1, BLOCKS_MIN), 4) && self.votes.saturating_mul(2) > self.all,
        }
    }

    /// Whether it has won so that nobody need doubt it, though one in four of all blocks lies. Where there are sixteen and more these have won so first
    /// once in 6,561 times.
    pub(super) fn is_sure(&self, blocks_known: usize) -> bool {
        self.leads(blocks_known, 4)
    }

    /// Whether it takes the place of one that had won surely: of sixteen votes, a quarter of which are lies, once in four millions it would be a false one.
    pub(super) fn is_surer(&self, blocks_known: usize) -> bool {
        self.leads(blocks_known, 8)
    }

    /// Whether it would have so many more votes than all others if all blocks that are known had one but for one in `part`, which had another.
    fn leads(&self, blocks_known: usize, part: usize) -> bool {
        let blocks = blocks_known.clamp(1, VOTES_MAX);
        let (most, others) = (but_for(blocks, part), self.all.saturating_sub(self.votes));
        self.votes.saturating_add(blocks.saturating_sub(most)) >= others.saturating_add(most)
    }
}

/// So many without one of each `part`.
fn but_for(count: usize, part: usize) -> usize {
    count.saturating_sub(count.checked_div(part).unwrap_or(0))
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

    /// Those that count, the newest first.
    fn fresh(&self, now: Time) -> impl Iterator<Item = &Vote> {
        self.kept.iter().rev().filter(move |vote| now.since(vote.at) < LENGTH)
    }

    /// What most votes say, or of equals what some do. O(n²), n ≤ 16.
    pub(super) fn leader(&self, now: Time) -> Option<Leader> {
        let fresh = || self.fresh(now);
        let count = |ip: IpAddr| fresh().filter(|vote| vote.ip == ip).count();
        // As a rule all say the same.
        let newest = fresh().next()?.ip;
        let is_one = fresh().all(|vote| vote.ip == newest);
        let ip = if is_one { newest } else { fresh().map(|vote| vote.ip).max_by_key(|ip| count(*ip))? };
        Some(Leader { at: SocketAddr::new(ip, self.port(ip, now)?), votes: count(ip), all: fresh().count() })
    }

    /// The port that most of the four newest votes for an ip say.
    fn port(&self, ip: IpAddr, now: Time) -> Option<u16> {
        let ports = || self.fresh(now).filter(|vote| vote.ip == ip).take(PORTS).map(|vote| vote.port);
        let newest = ports().next()?;
        if ports().all(|port| port == newest) {
            return Some(newest);
        }
        // Of equals the last: so the newest comes last.
        ports().collect::<Vec<_>>().into_iter().rev().max_by_key(|port| ports().filter(|other| other == port).count())
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
