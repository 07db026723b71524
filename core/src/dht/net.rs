//! What a node has in one realm: a table around an id of its own, and its place in the world.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Purpose;
use super::estimate::{Estimate, Held, Radius, Size};
use super::health::{Health, Suspects};
use super::key::Key;
use super::knock::Knocks;
use super::leaf::{LEAVES_MAX, Leaf, LeafSet};
use super::lookup::{SERVERS_FEW, View};
use super::reach::{Choice, Known, Reach};
use super::realm::Realm;
use super::recent::Recent;
use super::repair::Repair;
use super::rpc::{Asked, Question};
use super::table::{Mode, Places, Rtt, Shape, Table, Wanted};
use super::upkeep::Upkeep;
use crate::rng::Rng;
use crate::time::Time;

/// One realm's part of a [`Dht`](super::Dht).
pub(super) struct Net {
    pub(super) realm: Realm,
    /// The socket that its datagrams leave from; `None` as long as the shell has named none.
    pub(super) local: Option<SocketAddr>,
    pub(super) reach: Reach,
    pub(super) table: Table,
    pub(super) leaves: LeafSet,
    saved_leaves: Vec<Leaf>,
    pub(super) repair: Repair,
    /// Leaves have changed since repair was asked last.
    pub(super) is_repair_due: bool,
    pub(super) estimate: Estimate,
    pub(super) upkeep: Upkeep,
    pub(super) health: Health,
    pub(super) suspects: Suspects,
    /// What was looked for in several rounds within the hour (spec: DHT-86).
    pub(super) thorough: Recent,
    pub(super) knocks: Knocks,
    /// The own id, whether or not it is said: `None` as long as the address that it depends on is not known.
    pub(super) id: Option<Key>,
    /// What the table is around: the id, or, before there is one, a point that was drawn.
    pub(super) own: Key,
    /// What round trips of the table three in four do not exceed, as of the last probe.
    pub(super) usual: Option<Duration>,
    /// How many verified servers the table holds.
    pub(super) servers: usize,
    /// When the next node of the table is asked whether it is still there.
    pub(super) probe_at: Time,
    /// Of the last eight probes of the table those that were missed, a bit each, the last one lowest.
    pub(super) missed: u8,
    /// Nodes that missed a request, and when they are asked again; at most one for each place of the table.
    pub(super) again: Vec<(Time, SocketAddr)>,
}

/// So many of the last eight probes were missed: many have gone at once, and probes come this often (measured: with 300 ms a table of
/// 500 is not gone through within two minutes; steady churn costs no more than before).
const GONE_MIN: u32 = 3;
const HURRIED: Duration = Duration::from_millis(100);
/// What was looked for thoroughly is not again for so long, of so many that are remembered (guess).
const HOUR: Duration = Duration::from_secs(3_600);
const THOROUGH_MAX: usize = 256;

impl Net {
    pub(super) fn new(realm: Realm, choice: Choice, is_wide: bool, rng: &mut Rng, now: Time) -> Self {
        let shape = match choice {
            Choice::Never => Shape { is_wide, ..Shape::CLIENT },
            Choice::Auto => Shape { is_wide, ..Shape::SERVER },
        };
        // As long as it has no id, a node looks at the world from somewhere.
        let own = Key::from_bytes(rng.array());
        Self {
            realm,
            local: None,
            reach: Reach::new(realm, choice, rng, now),
            table: Table::new(realm, own.hint(), shape),
            leaves: LeafSet::new(realm, own.hint()),
            saved_leaves: Vec::new(),
            repair: Repair::new(realm.is_v6, [rng.u64(), rng.u64()]),
            is_repair_due: false,
            estimate: Estimate::default(),
            upkeep: Upkeep::new(realm.is_global(), now),
            health: Health::new(),
            suspects: Suspects::default(),
            thorough: Recent::new([rng.u64(), rng.u64()], HOUR, THOROUGH_MAX),
            knocks: Knocks::new(realm, [rng.u64(), rng.u64()]),
            id: None,
            own,
            usual: None,
            servers: 0,
            probe_at: now,
            missed: 0,
            again: Vec::new(),
        }
    }

    /// The own id is this one from now on.
    pub(super) fn move_to(&mut self, id: Key, now: Time) {
        let has_moved = self.own != id;
        (self.id, self.own) = (Some(id), id);
        if has_moved {
            self.table.rehome(id.hint(), now);
            self.leaves = LeafSet::new(self.realm, id.hint());
            self.on_table(now);
        }
        for leaf in core::mem::take(&mut self.saved_leaves) {
            self.leaves.restore(&leaf, now);
        }
    }

    /// The own id is not known yet, but will most likely be this one: what was stored lies around it.
    pub(super) fn stand_around(&mut self, own: Key, now: Time) {
        self.own = own;
        self.table.rehome(own.hint(), now);
        self.leaves = LeafSet::new(self.realm, own.hint());
    }

    /// Leaves of before a restart: they count once the own id is known, and for who may serve.
    pub(super) fn restore_leaves(&mut self, leaves: Vec<Leaf>, now: Time) {
        if !self.reach.may_serve() {
            return;
        }
        self.saved_leaves = leaves;
        if let Some(id) = self.id {
            self.move_to(id, now);
        }
    }

    /// Bytes of heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let lists = self.again.capacity().saturating_mul(size_of::<(Time, SocketAddr)>());
        let parts = [self.reach.heap_bytes(), self.table.heap_bytes(), self.leaves.heap_bytes(), self.repair.heap_bytes()];
        parts.into_iter().chain([self.knocks.heap_bytes(), self.thorough.heap_bytes()]).fold(lists, usize::saturating_add)
    }

    /// The own id, if the node serves here: it is said to others from then on.
    pub(super) fn served_id(&self) -> Option<Key> {
        self.id.filter(|_| self.reach.serves())
    }

    /// How many nodes there are (spec: DHT-77).
    pub(super) fn size(&self) -> Size {
        let counted = Size::of(self.servers.saturating_add(1));
        let Some(looked) = self.estimate.size() else { return counted };
        match self.reach.mode() {
            // All that there are may be known, and look-ups of another network, of before, say nothing.
            Mode::Soft if self.servers < SERVERS_FEW => counted,
            // There are as many as are known, and perhaps many more.
            Mode::Soft => looked.max(counted),
            Mode::Hard => looked,
        }
    }

    /// What a look-up begins with.
    pub(super) fn view(&self) -> View {
        View { own: self.own.hint(), realm: self.realm, is_hard: self.reach.mode() == Mode::Hard, size: self.size(), servers: self.servers }
    }

    /// Whether it counts where somebody says that this node is (spec: DHT-122): in a hard table not of who called forth that it was asked.
    pub(super) fn has_vote(&self, asked: &Asked<Purpose>) -> bool {
        let has_come = matches!(asked.question, Question::Ping) || !self.knows(asked.to);
        let is_own = match asked.purpose {
            Purpose::Table { .. } => !has_come,
            Purpose::Other | Purpose::Where => false,
            Purpose::Entry(_) | Purpose::Seek { .. } | Purpose::Again { .. } | Purpose::Leaf | Purpose::Hello | Purpose::Check(_) => true,
            Purpose::Push | Purpose::Write | Purpose::Give | Purpose::Sleep | Purpose::Probe | Purpose::Errand => true,
        };
        is_own || self.reach.mode() == Mode::Soft
    }

    /// The round trip to a node of the table.
    pub(super) fn rtt(&self, at: SocketAddr) -> Rtt {
        self.table.find(at).map_or(Rtt::UNKNOWN, |entry| entry.rtt)
    }

    /// Has the nearest nodes of the table wanted as leaves.
    pub(super) fn offer_nearest(&mut self, now: Time) {
        let mut nearest = Vec::new();
        self.table.nearest(self.own.hint(), LEAVES_MAX, Wanted::Asking(Places::All), now, &mut nearest);
        for entry in nearest.iter().filter(|entry| entry.is_verified()) {
            self.leaves.offer(entry.hint, entry.at, now);
        }
    }

    /// Beyond this it is not ours to keep (spec: DHT-101).
    pub(super) fn kept_radius(&self) -> Option<Radius> {
        (self.reach.mode() == Mode::Hard).then(|| Radius::of(Held::TWENTY, self.size()))
    }

    /// Whether it is a verified node of the table, or a leaf.
    pub(super) fn knows(&self, at: SocketAddr) -> bool {
        self.table.find(at).is_some_and(|entry| entry.is_verified()) || self.leaves.has_at(at)
    }

    /// A probe of the table was answered, or missed for the first time.
    pub(super) const fn on_probed(&mut self, is_missed: bool) {
        self.missed = self.missed << 1 | is_missed as u8;
    }

    /// How long to wait until the next probe: where many have gone at once a server soon knows which (spec: DHT-60).
    pub(super) fn probe_interval(&self) -> Duration {
        let serves = self.served_id().is_some();
        if serves && self.missed.count_ones() >= GONE_MIN { HURRIED } else { self.table.probe_interval(serves) }
    }

    /// Somebody has come into the table, or gone. O(n).
    pub(super) fn on_table(&mut self, now: Time) {
        self.servers = self.table.verified();
        self.reach.set_known(Known::of(&self.table), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scope;
    use crate::dht::key::Distance;
    use crate::rng::Seed;

    // spec-test: DHT-77
    #[test]
    fn in_a_soft_table_look_ups_count_once_sixteen_are_known_and_only_if_they_say_more() {
        let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32]));
        let private = Realm { is_v6: false, scope: Scope::Private };
        let mut net = Net::new(private, Choice::Auto, false, &mut rng, Time::ZERO);
        let mut size = |servers, eighth: Option<u64>| {
            net.servers = servers;
            (0..16).for_each(|_| eighth.into_iter().for_each(|eighth| net.estimate.on_look_up(Distance(eighth))));
            assert_eq!(net.reach.mode(), Mode::Soft);
            net.size().nodes()
        };
        assert_eq!((size(5, None), size(40, None)), (6, 41), "nothing was looked up");
        // The eighth of 200.
        let near = u64::MAX / 200 * 8;
        assert_eq!(size(15, Some(near)), 16, "all may be known");
        assert!((150..=250).contains(&size(16, Some(near))) && (150..=250).contains(&size(40, Some(near))));
        assert_eq!(size(40, Some(u64::MAX / 2)), 41, "those that are known are there");
    }
}
