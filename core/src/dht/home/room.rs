//! Who takes how much room in the home store, and who gives some back.

use alloc::collections::BTreeMap;

use super::{Held, Name, Slot};
use crate::address::{Group, Scope, plain};
use crate::dht::key::{Distance, Hint};
use crate::dht::realm::Realm;
use crate::map::hash_bytes;

/// What a record takes beside its bytes: its name, its row, their share of a tree's free places, and the allocation.
pub(super) const ROW_BYTES: usize = 176;
/// Charges that are moved at most before somebody loses a record.
const MOVES_MAX: u32 = 16;
/// Records that are not global displace each other alone once they have more than one part of so many.
const LOCAL_PARTS: usize = 4;
/// A group that has more than one part of so many of the bound is heavy.
const HEAVY_PARTS: usize = 16;
/// The bit of a group's eight bytes that no global one has.
const LOCAL: u64 = 1 << 63;
/// No group.
const NOBODY: u64 = 0;

/// The bytes of each group of depositors (spec: DHT-105).
pub(super) struct Room {
    key: [u64; 2],
    bytes_max: usize,
    used: usize,
    /// Of these, what is not of the global scope.
    local: usize,
    groups: BTreeMap<u64, usize>,
    /// By scope and family.
    own: [Option<Hint>; 6],
}

/// Who loses a record first within a group: what is no revocation, what is far, an address before its device.
type Rank = (bool, Distance, Slot);

impl Room {
    pub(super) const fn new(key: [u64; 2], bytes_max: usize) -> Self {
        Self { key, bytes_max, used: 0, local: 0, groups: BTreeMap::new(), own: [None; 6] }
    }

    pub(super) const fn used(&self) -> usize {
        self.used
    }

    pub(super) fn own(&self, realm: Realm) -> Option<Hint> {
        self.own.get(place(realm.scope, realm.is_v6)).copied().flatten()
    }

    pub(super) fn set_own(&mut self, realm: Realm, own: Option<Hint>) {
        if let Some(slot) = self.own.get_mut(place(realm.scope, realm.is_v6)) {
            *slot = own;
        }
    }

    /// A group in eight bytes: exactly, but that of an endpoint, of which the ip counts and is hashed.
    pub(super) fn group(&self, group: Group) -> u64 {
        match group {
            Group::V4([a, b, c]) => u64::from_be_bytes([1, 0, 0, 0, 0, a, b, c]),
            Group::V6([a, b, c, d, e, f]) => u64::from_be_bytes([2, 0, a, b, c, d, e, f]),
            Group::Endpoint(at) => {
                let ip = match plain(at.ip()) {
                    core::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    core::net::IpAddr::V6(ip) => ip,
                };
                hash_bytes(self.key, &ip.octets()) | LOCAL
            }
        }
    }

    /// Charges a record to its payer.
    pub(super) fn take(&mut self, held: &Held) {
        self.used = self.used.saturating_add(cost(held.json.len()));
        self.add(held.payer, cost(held.json.len()));
    }

    /// It is gone.
    pub(super) fn give_back(&mut self, held: &Held) {
        self.used = self.used.saturating_sub(cost(held.json.len()));
        self.subtract(held.payer, cost(held.json.len()));
    }

    /// A group has put the very same: the two lightest are remembered, and the lighter one pays (spec: DHT-106).
    pub(super) fn share(&mut self, held: &mut Held, group: u64) {
        if group == held.payer {
            return;
        }
        if held.second == NOBODY || self.load(group) < self.load(held.second) {
            held.second = group;
        }
        self.balance(held);
    }

    /// Whether there is room for a record of so many bytes, or a farther one of a group that has more would make some.
    pub(super) fn has_for(&self, records: &BTreeMap<Name, Held>, name: &Name, families: u8, group: u64, length: usize) -> bool {
        let replaced = records.get(name);
        let freed = replaced.map_or(0, |held| cost(held.json.len()));
        let wanted = cost(length);
        if self.used.saturating_sub(freed).saturating_add(wanted) <= self.bytes_max {
            return true;
        }
        let local = if is_local(group) { self.local.saturating_sub(freed).saturating_add(wanted) } else { self.local };
        let freed_here = if replaced.is_some_and(|held| held.payer == group) { freed } else { 0 };
        let own = self.load(group).saturating_sub(freed_here).saturating_add(wanted);
        let others = self.givers(local).filter(|(other, _)| *other != group).map(|(_, bytes)| bytes).max();
        if wanted > self.bytes_max || !self.is_giver(group, local) || others.is_some_and(|bytes| bytes >= own) {
            return wanted <= self.bytes_max;
        }
        let rank = self.rank(name, replaced.map_or(0, |held| held.families) | families);
        records.iter().any(|(other, held)| held.payer == group && other != name && self.rank(other, held.families) > rank)
    }

    /// Who may have to give room, and has how much, while what is not global has so many bytes (spec: DHT-105).
    fn givers(&self, local: usize) -> impl Iterator<Item = (u64, usize)> {
        let all = self.groups.iter().map(|(group, bytes)| (*group, *bytes));
        all.filter(move |(group, _)| self.is_giver(*group, local))
    }

    const fn is_giver(&self, group: u64, local: usize) -> bool {
        local <= self.bytes_max / LOCAL_PARTS || is_local(group)
    }

    /// Who has to go, if there is too much: of the group with the most bytes its farthest (spec: DHT-105). O(n).
    pub(super) fn victim(&mut self, records: &mut BTreeMap<Name, Held>) -> Option<Name> {
        for moves in 0.. {
            if self.used <= self.bytes_max {
                return None;
            }
            let (heaviest, _) = self.givers(self.local).max_by_key(|(group, bytes)| (*bytes, *group))?;
            let of_group = records.iter().filter(|(_, held)| held.payer == heaviest);
            let (_, _, name) = of_group.map(|(name, held)| (self.rank(name, held.families), name.home, *name)).max()?;
            let is_moved = moves < MOVES_MAX && records.get_mut(&name).is_some_and(|held| self.balance(held));
            if !is_moved {
                return Some(name);
            }
        }
        None
    }

    /// Lets the lighter of the two who have put a record pay for it; whether that changed.
    fn balance(&mut self, held: &mut Held) -> bool {
        let cost = cost(held.json.len());
        let is_lighter = held.second != NOBODY && self.load(held.second).saturating_add(cost) < self.load(held.payer);
        if is_lighter {
            self.subtract(held.payer, cost);
            self.add(held.second, cost);
            core::mem::swap(&mut held.payer, &mut held.second);
        }
        is_lighter
    }

    /// Whether a group has so much that its records may wait (spec: DHT-113).
    pub(super) fn is_heavy(&self, group: u64) -> bool {
        self.load(group) > self.bytes_max / HEAVY_PARTS
    }

    fn load(&self, group: u64) -> usize {
        self.groups.get(&group).copied().unwrap_or_default()
    }

    fn add(&mut self, group: u64, bytes: usize) {
        let load = self.groups.entry(group).or_default();
        *load = load.saturating_add(bytes);
        if is_local(group) {
            self.local = self.local.saturating_add(bytes);
        }
    }

    fn subtract(&mut self, group: u64, bytes: usize) {
        if is_local(group) {
            self.local = self.local.saturating_sub(bytes);
        }
        let rest = self.load(group).saturating_sub(bytes);
        if rest == 0 {
            self.groups.remove(&group);
        } else {
            self.groups.insert(group, rest);
        }
    }

    /// In whichever of its families it is nearer.
    fn rank(&self, name: &Name, families: u8) -> Rank {
        let distance = |is_v6: bool| {
            let own = self.own.get(place(name.scope, is_v6)).copied().flatten();
            let own = own.filter(|_| families & super::family(is_v6) != 0);
            own.map_or(Distance(u64::MAX), |own| own.distance(name.home.hint()))
        };
        (name.slot != Slot::Revocation, distance(false).min(distance(true)), name.slot)
    }

    #[cfg(test)]
    pub(super) fn loads(&self) -> &BTreeMap<u64, usize> {
        &self.groups
    }
}

/// Whether a group is of another scope than the global one, as are all records that it has put.
const fn is_local(group: u64) -> bool {
    group & LOCAL != 0
}

/// What a record of so many bytes takes.
pub(super) const fn cost(length: usize) -> usize {
    length.saturating_add(ROW_BYTES)
}

const fn place(scope: Scope, is_v6: bool) -> usize {
    let scope = match scope {
        Scope::Loopback => 0,
        Scope::Private => 2,
        Scope::Global => 4,
    };
    scope + if is_v6 { 1 } else { 0 }
}
