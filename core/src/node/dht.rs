//! The joint between a node and its DHT: when there is one, what it is told and tells, and what of it is stored.
//!
//! A node has none before it knows or meets somebody of it (spec: DHT-158); all that belongs to it is one box.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::Parts;
use super::locate::Looks;
use crate::action::{Action, Item, Path};
use crate::address::{is_lasting, plain_socket, scope};
use crate::command::Address;
use crate::cx::Cx;
use crate::dht::bind::Binder;
use crate::dht::{Dht, Told, record};
use crate::error::{CommandError, ResolveError, Undialled};
use crate::id::{OpId, Tag};
use crate::notice::{DhtNotice, Notice};
use crate::referral::book::ENTRIES_MAX;
use crate::referral::dial::Target;
use crate::time::{Time, WallTime};
use crate::timer::TimerKey;
use crate::view::{DhtPolicy, DhtReach, DhtStanding, DhtView, Phase, PublishView};

/// What a key of the DHT's own items begins with, and the key of what the application has said of publishing.
pub(super) const ITEM_PREFIX: u8 = b't';
pub(super) const PUBLISHING_KEY: &[u8] = b"p";
/// Items that are read: those of six realms are twenty (guess: and a few of a later version).
const ITEMS_MAX: usize = 32;
/// The longest item that is read (guess: twice what the largest table takes).
const ITEM_BYTES_MAX: usize = 32 << 10;
/// Addresses that an application may name (guess: as many as in an introduction).
const ADDRESSES_MAX: usize = 8;
/// For so long it is said that the device is nowhere, before nothing is said any more (spec: DHT-162).
const LEAVE: Duration = Duration::from_secs(60);

/// Whether a record may tell these (spec: DHT-162).
fn check_told(addresses: &[SocketAddr]) -> Result<(), CommandError> {
    if addresses.len() > ADDRESSES_MAX {
        return Err(CommandError::Address);
    }
    let mut told = Vec::new();
    for at in addresses {
        Address::check([&Address::Ip(*at)])?;
        if !is_lasting(*at) {
            let is_of_link = matches!(at.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
            return Err(CommandError::Undialled(if is_of_link { Undialled::LinkLocal } else { Undialled::Gateway }));
        }
        told.push((scope(*at), plain_socket(*at)));
    }
    told.sort_unstable();
    told.dedup();
    let is_crowded = told.chunk_by(|(one, _), (other, _)| one == other).any(|all| all.len() > record::ADDRESSES_MAX);
    if is_crowded { Err(CommandError::Places) } else { Ok(()) }
}

/// A node's DHT and what belongs to it.
#[derive(Default)]
pub(super) struct Joint {
    pub(super) dht: Option<Box<Dht>>,
    /// What was stored of it, or saved when it went to rest.
    items: Vec<Item>,
    /// How many were begun in this life: each draws otherwise.
    begun: u64,
    publishing: PublishView,
    /// When what is left of a wider policy is over.
    leaving: Option<Time>,
    /// What the names of entry peers stand for.
    names: Vec<(Address, Vec<SocketAddr>)>,
    /// Names of entry peers that are looked up though nobody dials them.
    asked: Vec<(OpId, Address)>,
    standings: Vec<Standing>,
    pub(super) looks: Looks,
    /// To whom this device binds itself; none if it does not.
    pub(super) binder: Option<Box<Binder>>,
}

/// How the node stands in a realm, and what the application was told last.
struct Standing {
    realm: (u8, DhtReach),
    now: DhtStanding,
    told: DhtStanding,
}

impl Joint {
    /// Keeps a stored item until there is a DHT. `false`: it is too much (spec: DHT-161).
    fn keep_item(&mut self, key: &[u8], value: &[u8]) -> bool {
        let fits = self.items.len() < ITEMS_MAX && value.len() <= ITEM_BYTES_MAX;
        if fits {
            self.items.push(Item { key: key.to_vec(), value: value.to_vec() });
        }
        fits
    }

    /// Whether it is being said that the device is nowhere.
    pub(super) const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    fn on_standing(&mut self, realm: (u8, DhtReach), now: DhtStanding) {
        match self.standings.iter_mut().find(|standing| standing.realm == realm) {
            Some(standing) => standing.now = now,
            // So each node begins.
            None => self.standings.push(Standing { realm, now, told: DhtStanding::Client }),
        }
    }
}

impl Parts {
    /// The DHT, if there is one, and what it is handed.
    pub(super) fn dht(&mut self) -> Option<(&mut Dht, &mut Cx)> {
        Some((self.joint.as_mut()?.dht.as_deref_mut()?, &mut self.cx))
    }

    /// What is kept for a DHT, made now if there was nothing.
    pub(super) fn joint(&mut self) -> &mut Joint {
        self.joint.get_or_insert_default()
    }

    pub(super) fn has_dht(&self) -> bool {
        self.joint.as_ref().is_some_and(|joint| joint.dht.is_some())
    }

    /// At a glance.
    pub(super) fn dht_view(&self) -> Option<DhtView> {
        let joint = self.joint.as_ref()?;
        let bound = joint.binder.as_ref().map_or(0, |binder| binder.bound());
        let view = joint.dht.as_ref()?.view(self.cx.now);
        Some(DhtView { bound_at: u64::try_from(bound).unwrap_or(u64::MAX), ..view })
    }

    /// What the application said, or what holds as long as it has said nothing.
    pub(super) fn publish_view(&self) -> PublishView {
        self.joint.as_ref().map(|joint| joint.publishing.clone()).unwrap_or_default()
    }

    /// Until when others may say where this device is.
    pub(super) fn told_until(&self) -> Option<WallTime> {
        self.joint.as_ref()?.dht.as_ref()?.told_until(self.cx.wall)
    }

    /// Whether others are being asked to forget it.
    pub(super) fn is_leaving(&self) -> bool {
        self.joint.as_ref().is_some_and(|joint| joint.is_leaving())
    }

    const fn is_awake(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Expired)
    }

    /// Begins the DHT if it takes part in it and there is none yet (spec: DHT-158).
    pub(super) fn begin_dht(&mut self) {
        if self.cx.config.dht == 0 || !self.is_awake() || self.has_dht() {
            return;
        }
        let joint = self.joint.get_or_insert_default();
        joint.begun = joint.begun.saturating_add(1);
        let mut dht = Dht::new(&self.cx, self.own.node_keys.clone(), self.cx.rng.fork("dht", joint.begun));
        for item in core::mem::take(&mut joint.items) {
            if dht.restore(&self.cx, &item).is_err() {
                self.cx.stats.dht_items_refused = self.cx.stats.dht_items_refused.saturating_add(1);
            }
        }
        joint.dht = Some(Box::new(dht));
        joint.standings.clear();
        let entries = self.entry_addresses();
        if let Some(dht) = self.joint.as_mut().and_then(|joint| joint.dht.as_deref_mut()) {
            dht.set_entries(&mut self.cx, &entries);
            dht.on_addresses(&mut self.cx, &self.listening, false);
        }
        self.publish_own();
        self.resolve_entries(true);
    }

    /// Begins the DHT if there is anybody to begin with, or something was kept of it.
    pub(super) fn begin_dht_if_known(&mut self) {
        if !self.book.entries.is_empty() || self.joint.as_ref().is_some_and(|joint| !joint.items.is_empty()) {
            self.begin_dht();
        }
    }

    /// A datagram has come. The first request of a stranger makes a DHT of a node that takes part (spec: DHT-158).
    pub(super) fn on_datagram(&mut self, path: Path, bytes: &[u8]) {
        let takes_part = self.cx.config.dht > 0 && self.is_awake();
        if takes_part && !self.has_dht() && Dht::is_request(path.remote, bytes) {
            self.begin_dht();
        }
        match self.dht().filter(|_| takes_part) {
            Some((dht, cx)) => dht.on_datagram(cx, path, bytes),
            None => self.cx.stats.datagrams_dropped = self.cx.stats.datagrams_dropped.saturating_add(1),
        }
    }

    /// Where the shell listens has changed, or the node wakes.
    pub(super) fn on_dht_addresses(&mut self, rebound: bool) {
        let Some(dht) = self.joint.as_mut().and_then(|joint| joint.dht.as_deref_mut()) else {
            return self.begin_dht_if_known();
        };
        dht.on_addresses(&mut self.cx, &self.listening, rebound);
        self.resolve_entries(true);
    }

    /// The time that the DHT has asked for has come.
    pub(super) fn on_dht_due(&mut self) {
        let now = self.cx.now;
        let left = self.joint.as_mut().and_then(|joint| joint.leaving.take_if(|at| *at <= now));
        if left.is_some() {
            self.publish_own();
        }
        if let Some((dht, cx)) = self.dht() {
            dht.on_tick(cx);
        }
    }

    /// The wall clock has jumped.
    pub(super) fn on_dht_clock(&mut self) {
        if let Some((dht, cx)) = self.dht() {
            dht.on_clock(cx);
        }
        if let Some(binder) = self.joint.as_mut().and_then(|joint| joint.binder.as_deref_mut()) {
            binder.on_clock(self.cx.now);
        }
    }

    /// Sets the timer to when the DHT has something to do, and tells how the node stands once there is room for it: of what
    /// has changed meanwhile the last alone (spec: DHT-163).
    pub(super) fn settle_dht(&mut self) {
        let Some(joint) = &mut self.joint else { return };
        for standing in joint.standings.iter_mut().filter(|standing| standing.now != standing.told) {
            if self.cx.has_notice_room() {
                standing.told = standing.now;
                let (family, reach) = standing.realm;
                self.cx.notify(Notice::Dht(DhtNotice::Standing { family, reach, standing: standing.now }));
            }
        }
        let binder = joint.binder.as_ref().and_then(|binder| binder.due());
        let due = joint.dht.as_ref().and_then(|dht| dht.due().into_iter().chain(joint.leaving).chain(binder).min());
        let due = due.map(|due| due.max(self.cx.now));
        if due == self.cx.timers.at(TimerKey::Dht) {
            return;
        }
        match due {
            Some(due) => self.cx.timers.set(TimerKey::Dht, due),
            None => self.cx.timers.cancel(TimerKey::Dht),
        }
    }

    /// What the DHT has to tell next.
    pub(super) fn dht_told(&mut self) -> Option<Told> {
        self.joint.as_mut()?.dht.as_mut()?.told()
    }

    pub(super) fn on_dht_told(&mut self, told: Told) {
        match told {
            Told::Standing { .. } => {
                if let Some(DhtNotice::Standing { family, reach, standing }) = told.notice() {
                    self.joint().on_standing((family, reach), standing);
                    if standing == DhtStanding::Isolated {
                        self.resolve_entries(true);
                    }
                }
            }
            Told::Eclipse { .. } | Told::Stored { .. } | Told::Fork { .. } => {
                if let Some(notice) = told.notice() {
                    self.cx.notify(Notice::Dht(notice));
                }
            }
            Told::Store { realm } => {
                let items = self.dht().map(|(dht, cx)| dht.save(cx, Some(realm)));
                self.store_items(&items.unwrap_or_default());
            }
            Told::Numbers => {
                let item = self.dht().map(|(dht, _)| dht.save_numbers());
                self.store_items(item.as_slice());
            }
            // One that is not this device's, or no newer one, is as good as none.
            Told::Renewed(delegation) => drop(self.renew(delegation)),
            Told::Found(found) => self.on_located(&found),
            Told::Revoked(revocation) => {
                let user = revocation.user();
                if self.learn_revocation(revocation, None) {
                    self.cx.notify(Notice::Dht(DhtNotice::RevocationFound { user }));
                }
            }
            Told::Over { tag, is_found, is_partial } => self.on_look_up_over(tag, is_found, is_partial),
            Told::Home { realm, home, nearest } => self.on_home(realm, home, &nearest),
            Told::Serves { .. } | Told::Resigned { .. } => {}
        }
    }

    /// The application says who is told where this device is (spec: DHT-162).
    pub(super) fn publish(&mut self, policy: DhtPolicy, addresses: Vec<SocketAddr>) -> Result<Tag, CommandError> {
        check_told(&addresses)?;
        let tag = self.tag();
        let publishing = PublishView { policy, addresses };
        if let Ok(value) = serde_json::to_vec(&publishing) {
            self.cx.store(true, |batch| batch.put(PUBLISHING_KEY, value));
        }
        self.joint().publishing = publishing;
        let leaves = match self.dht() {
            Some((dht, cx)) if policy != DhtPolicy::Everyone && dht.is_told() => {
                dht.withdraw(cx);
                true
            }
            _ => false,
        };
        let until = leaves.then(|| self.cx.now + LEAVE);
        let joint = self.joint();
        // Who says it again meanwhile has not been heard by those who are told to forget.
        joint.leaving = until.or(joint.leaving.filter(|_| policy != DhtPolicy::Everyone));
        self.publish_own();
        Ok(tag)
    }

    /// Has the DHT publish what there is to publish of this device, by the policy.
    pub(super) fn publish_own(&mut self) {
        let delegation = self.own.credentials.delegation();
        let is_revoked = self.own.revocations.is_revoked(delegation);
        let Some(joint) = &mut self.joint else { return };
        let (Some(dht), policy) = (joint.dht.as_deref_mut(), joint.publishing.policy) else { return };
        // As long as it is said that it is nowhere, nothing else changes.
        if joint.leaving.is_none() {
            dht.set_policy(&mut self.cx, if is_revoked { DhtPolicy::Nobody } else { policy });
        }
        if let Some(revocation) = self.own.revocations.of(delegation.user(), delegation.app()) {
            dht.set_revocation(&mut self.cx, revocation);
        }
        dht.publish(&mut self.cx, self.own.credentials.clone());
        dht.set_configured(&mut self.cx, &joint.publishing.addresses);
        if policy == DhtPolicy::Everyone {
            dht.show(&mut self.cx);
        }
    }

    /// The DHT goes to rest: what it knows is stored, and kept for when the node wakes. What it has published stands until it
    /// ends (spec: DHT-164).
    pub(super) fn rest_dht(&mut self) {
        self.end_look_ups();
        self.end_binding();
        let Some(dht) = self.joint.as_mut().and_then(|joint| joint.dht.take()) else { return };
        let items = dht.save(&self.cx, None);
        self.store_items(&items);
        self.joint().items = items;
        self.joint().leaving = None;
        self.cx.timers.cancel(TimerKey::Dht);
    }

    /// The node has stopped: so has its DHT.
    pub(super) fn stop_dht(&mut self) {
        self.joint = None;
        self.cx.timers.cancel(TimerKey::Dht);
    }

    /// A stored item of the DHT's. What cannot be kept is left out and counted (spec: DHT-161).
    pub(super) fn on_dht_item(&mut self, key: &[u8], value: &[u8]) {
        if self.cx.config.dht > 0 && !self.joint().keep_item(key, value) {
            self.cx.stats.dht_items_refused = self.cx.stats.dht_items_refused.saturating_add(1);
        }
    }

    /// What the application has said of publishing, as it was stored.
    pub(super) fn on_publishing_item(&mut self, value: &[u8]) -> Option<()> {
        self.joint().publishing = serde_json::from_slice(value).ok()?;
        Some(())
    }

    /// Soft state: what is stored anew while a batch is on its way takes the place of what waits (spec: STORE-4).
    fn store_items(&mut self, items: &[Item]) {
        let key_of = |item: &Item| [&[ITEM_PREFIX], item.key.as_slice()].concat();
        self.cx.unstore(&items.iter().map(key_of).collect::<BTreeSet<_>>());
        self.cx.store(false, |batch| items.iter().for_each(|item| batch.put(key_of(item), item.value.clone())));
    }

    /// Entry peers are others.
    pub(super) fn on_entries(&mut self) {
        let entries = self.entry_addresses();
        match self.dht() {
            Some((dht, cx)) => dht.set_entries(cx, &entries),
            None => return self.begin_dht_if_known(),
        }
        self.resolve_entries(true);
    }

    /// Where entry peers are, as far as their names are known (spec: DHT-159).
    fn entry_addresses(&self) -> Vec<SocketAddr> {
        let names = self.joint.as_ref().map(|joint| joint.names.as_slice()).unwrap_or_default();
        let of = |address: &Address| match address {
            Address::Ip(at) => [*at].to_vec(),
            Address::Name { .. } => names.iter().find(|(name, _)| name == address).map(|(_, places)| places.clone()).unwrap_or_default(),
        };
        self.book.entries.iter().flat_map(|peer| of(&peer.entry.address)).collect()
    }

    /// Looks up the names of those entry peers that nobody dials: all of them, or those that are not known yet. As many at once
    /// as there are entry peers, so that who changes them again and again does not flood the shell.
    fn resolve_entries(&mut self, all: bool) {
        let undialled = self.book.entries.iter().skip(self.cx.config.links_service_out_max as usize);
        let Some(joint) = self.joint.as_mut().filter(|joint| joint.dht.is_some()) else { return };
        for address in undialled.map(|peer| &peer.entry.address) {
            let is_asked = joint.asked.iter().any(|(_, asked)| asked == address);
            let is_known = joint.names.iter().any(|(name, _)| name == address);
            if let Address::Name { name, port } = address
                && !is_asked
                && (all || !is_known)
                && joint.asked.len() < ENTRIES_MAX
            {
                let op = self.cx.op();
                self.cx.actions.push_back(Action::Resolve { op, name: name.clone(), port: *port });
                joint.asked.push((op, address.clone()));
            }
        }
    }

    /// A name was looked up; if it is an entry peer's, the DHT has it too.
    pub(super) fn on_entry_resolved(&mut self, op: OpId, outcome: Result<&[IpAddr], ResolveError>) {
        let dialled = match self.dials.target(op) {
            Some(Target::Entry(at)) => self.book.entries.get(at as usize).map(|peer| peer.entry.address.clone()),
            Some(Target::User(_) | Target::Found(_) | Target::Home(_) | Target::Claim(_)) | None => None,
        };
        let Some(joint) = self.joint.as_mut().filter(|joint| joint.dht.is_some()) else { return };
        let asked = joint.asked.iter().position(|(asked, _)| *asked == op).map(|index| joint.asked.swap_remove(index).1);
        let Some(address) = dialled.or(asked) else { return };
        let (Address::Name { port, .. }, ips) = (&address, outcome.unwrap_or_default()) else { return };
        // One of each family, so that two entry peers' names leave room for the others'.
        let first = |is_v6: bool| ips.iter().map(|ip| SocketAddr::new(*ip, *port)).find(|at| at.is_ipv6() == is_v6);
        let places: Vec<SocketAddr> = [first(true), first(false)].into_iter().flatten().collect();
        let Some(joint) = &mut self.joint else { return };
        let is_entry = |name: &Address| self.book.entries.iter().any(|peer| peer.entry.address == *name);
        // What a name led to stands until it leads elsewhere.
        let before = joint.names.iter().find(|(name, _)| *name == address).map(|(_, places)| places.clone()).unwrap_or_default();
        joint.names.retain(|(name, _)| *name != address && is_entry(name));
        if is_entry(&address) {
            joint.names.push((address, if places.is_empty() { before } else { places }));
        }
        self.resolve_entries(false);
        let entries = self.entry_addresses();
        if let Some((dht, cx)) = self.dht() {
            dht.set_entries(cx, &entries);
        }
    }
}
