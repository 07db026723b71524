//! The DHT: where what a (user, app) has published lies, and how it is found.
//!
//! [`Dht`] is a machine like the others of a node: it is handed a [`Cx`], told what happened, and asked when it wants to be
//! woken. Its parts are told and asked too, and know nothing of each other; `mod.rs` is what joins them.
//!
//! | file | what |
//! |---|---|
//! | `key`, `id`, `realm`, `log2`, `estimate` | the space, who may be where in it, how many there are |
//! | `wire`, `text`, `proof`, `record` | what is said, and what of it is true |
//! | `table`, `leaf`, `lookup`, `find` | whom a node knows, and how it finds others and what they hold |
//! | `home`, `repair`, `publish`, `sleeper`, `bind` | what is kept, by whom it is kept, and how it comes there |
//! | `reach`, `entries`, `errands`, `knock`, `upkeep`, `health` | where the node itself is, and whether it serves |
//! | `rate`, `cells`, `budget`, `share`, `jar`, `rpc` | how much, of whom and to whom |
//! | `ask`, `heard`, `serve`, `tracker`, `seek`, `turn` | the joints: requests, replies, others' requests, others' binds, look-ups, time |

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

mod ask;
pub(crate) mod bind;
pub(crate) mod budget;
pub(crate) mod carry;
mod cells;
pub(crate) mod entries;
mod errands;
pub(crate) mod estimate;
pub(crate) mod find;
mod give;
pub(crate) mod health;
mod heard;
pub(crate) mod home;
pub(crate) mod id;
pub(crate) mod jar;
pub(crate) mod key;
pub(crate) mod knock;
pub(crate) mod leaf;
mod log2;
pub(crate) mod lookup;
mod net;
mod once;
mod own;
pub(crate) mod proof;
pub(crate) mod publish;
pub(crate) mod rate;
pub(crate) mod reach;
pub(crate) mod realm;
pub(crate) mod recent;
pub(crate) mod record;
pub(crate) mod repair;
pub(crate) mod rpc;
mod search;
mod seek;
mod serve;
pub(crate) mod share;
pub(crate) mod sleeper;
mod solo;
mod stored;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod told;
mod tracker;
mod turn;
pub(crate) mod upkeep;
mod views;
pub(crate) mod wire;

use crate::address::{plain_socket, scope};
use crate::crypto::noise::KeyPair;
use crate::cx::Cx;
use crate::id::NodeKey;
use crate::identity::DelegationCache;
use crate::rng::Rng;
use crate::time::Time;
use budget::{Budget, NewEndpoints, ReplyBytes};
use carry::Carry;
use entries::Entries;
use errands::Errands;
use find::RollbackMemory;
pub(crate) use find::What;
use home::Home;
use jar::Jar;
use net::Net;
use once::Once;
use own::Own;
use proof::Secrets;
use rate::{Limiter, SilentList};
use reach::Choice;
use realm::Realm;
use rpc::InFlight;
pub(crate) use search::Known;
use search::Search;
use seek::Seek;
use share::Shares;
pub use solo::Solo;
pub(crate) use told::{Found, Told};
pub(crate) use tracker::Heard;

/// Delegations of others whose signatures need not be checked again (dht.md 5.3).
const DELEGATIONS_MAX: usize = 1_024;
/// Cookies of others: of who serves, and of who only asks (spec: DHT-76).
const COOKIES: [usize; 2] = [256, 128];
/// Of so many devices it is known which records were accepted last (guess: an address book's devices). 24 KiB at most.
const ACCEPTED_MAX: usize = 1_024;
/// So often the parts are asked in one call whether they have more to do; what is left waits for a `Tick` at once.
const ROUNDS_MAX: u32 = 8;
/// What is told and was not taken; more is dropped, oldest first (guess: a turn's worth).
const TOLD_MAX: usize = 256;

/// The DHT of one node, in all its realms.
pub(crate) struct Dht {
    keys: KeyPair,
    key: NodeKey,
    rng: Rng,
    choice: Choice,
    secrets: Secrets,
    limiter: Limiter,
    replies: ReplyBytes,
    shares: Shares,
    verifies: Budget,
    hellos: Budget,
    hello_once: Once,
    endpoints: NewEndpoints,
    silent: SilentList,
    jar: Jar,
    flight: InFlight<Purpose>,
    nets: Vec<Net>,
    entries: Entries,
    errands: Errands,
    seeks: Vec<Seek>,
    seeks_begun: u32,
    searches: Vec<Search>,
    /// The newest that was accepted of whom.
    accepted: RollbackMemory,
    home: Home,
    carry: Carry,
    delegations: DelegationCache,
    own: Option<Box<Own>>,
    policy: publish::Policy,
    /// The numbers of the own records that were acknowledged last.
    numbers: publish::Last,
    /// Who is bound here, once a bind was said to this node.
    binds: Option<Box<bind::Binds>>,
    told: VecDeque<Told>,
    /// Something has happened that another part may want to know of.
    is_dirty: bool,
    due: Option<Time>,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Whether somebody of the table is there, or somebody who would be in it; learnt through which entry peer.
    Table { descent: Option<u8> },
    /// An entry peer, with its number.
    Entry(u8),
    /// A look-up, by its number.
    Seek { number: u32, is_upkeep: bool },
    /// Whether a leaf is there.
    Leaf,
    /// Whether a leaf is who it says.
    Hello,
    /// A check before a push, by its number.
    Check(u16),
    /// A record for a leaf that lacks it.
    Push,
    /// Writing the own records.
    Write,
    /// A search, by its number, asks somebody again.
    Again { number: u32 },
    /// A record is offered to somebody who may lack it.
    Give,
    /// A renewal of the own delegation.
    Sleep,
    /// That somebody is sent to knock here.
    Probe,
    /// That somebody knocks elsewhere.
    Errand,
    /// Somebody whom another family's node has named.
    Other,
    /// Where this node is, of who has asked it something.
    Where,
}

impl Purpose {
    /// Whether it is asked because somebody else named the address.
    const fn is_hearsay(self) -> bool {
        matches!(self, Self::Seek { .. } | Self::Other)
    }

    /// Through which entry peer whoever answers was learnt.
    const fn descent(self) -> Option<u8> {
        if let Self::Table { descent } = self {
            descent
        } else if let Self::Entry(number) = self {
            Some(number)
        } else {
            None
        }
    }

    /// Whether it is for the node's own sake rather than the application's.
    const fn is_upkeep(self) -> bool {
        !matches!(self, Self::Seek { is_upkeep: false, .. } | Self::Again { .. } | Self::Write | Self::Sleep)
    }
}

impl Dht {
    /// A DHT of the installation with these keys; `rng` is a fork for it alone. It does nothing before
    /// [`on_addresses`](Self::on_addresses).
    pub(crate) fn new(cx: &Cx, keys: KeyPair, mut rng: Rng) -> Self {
        let choice = if cx.config.dht_serve > 0 { Choice::Auto } else { Choice::Never };
        let [server, client] = COOKIES;
        let mut hellos = rng.fork("hellos", 0);
        let hello_once = Once::new([hellos.u64(), hellos.u64()]);
        let mut shares = rng.fork("shares", 0);
        let shares = Shares::new([shares.u64(), shares.u64()]);
        let mut key = || [rng.u64(), rng.u64()];
        let (limiter, silent) = (Limiter::new(key()), SilentList::new(key()));
        let jar = Jar::new(key(), if choice == Choice::Auto { server } else { client });
        let home = Home::new(key(), cx.config.dht_store_bytes as usize);
        let carry = Carry::new(key());
        Self {
            key: NodeKey::from_bytes(*keys.public()),
            keys,
            secrets: Secrets::new(rng.fork("dht secrets", 0), cx.now),
            rng,
            choice,
            limiter,
            replies: ReplyBytes::default(),
            shares,
            verifies: Budget::default(),
            hellos: Budget::default(),
            hello_once,
            endpoints: NewEndpoints::new(cx.now),
            silent,
            jar,
            flight: InFlight::new(),
            nets: Vec::new(),
            entries: Entries::default(),
            errands: Errands::default(),
            seeks: Vec::new(),
            seeks_begun: 0,
            searches: Vec::new(),
            accepted: RollbackMemory::new(ACCEPTED_MAX),
            home,
            carry,
            delegations: DelegationCache::new(DELEGATIONS_MAX),
            own: None,
            policy: publish::Policy::Everyone,
            numbers: publish::Last::default(),
            binds: None,
            told: VecDeque::new(),
            is_dirty: false,
            due: None,
        }
    }

    /// Where the shell listens now; with `rebound` its sockets are others than before.
    pub(crate) fn on_addresses(&mut self, cx: &mut Cx, local: &[SocketAddr], rebound: bool) {
        let was_deaf = self.nets.iter().all(|net| net.local.is_none());
        let local: Vec<SocketAddr> = local.iter().copied().map(plain_socket).filter(|at| scope(*at).is_some()).collect();
        // Whichever comes first now: at another address a node is another one.
        let before: Vec<SocketAddr> = self.nets.iter().filter_map(|net| net.local).filter(|at| local.contains(at)).collect();
        let usable = || before.iter().chain(&local).copied();
        for net in &mut self.nets {
            net.local = None;
            if rebound {
                net.reach.on_rebound(cx.now);
                net.upkeep.on_lost();
            }
        }
        for at in usable() {
            let Some(realm) = Realm::of(at) else { continue };
            let Some(net) = self.net_of(cx, realm, None).and_then(|net| self.nets.get_mut(net)) else { continue };
            if net.local.is_none() {
                net.local = Some(at);
                net.reach.set_fixed(Some(at), cx.now);
            }
        }
        // Behind a NAT the way out is the socket of the family.
        for net in self.nets.iter_mut().filter(|net| net.local.is_none()) {
            net.local = usable().find(|at| at.is_ipv6() == net.realm.is_v6);
            net.reach.set_fixed(None, cx.now);
        }
        // What was to go out before there was a socket did not.
        if rebound || was_deaf {
            self.entries.on_isolated(cx.now);
            if let Some(sleeper) = self.own.as_mut().and_then(|own| own.sleeper.as_mut()) {
                sleeper.on_wake(cx.now);
            }
        }
        self.set_places(cx);
        self.settle(cx);
    }

    /// Addresses to begin with; those that were entries before and are not named are forgotten.
    pub(crate) fn set_entries(&mut self, cx: &mut Cx, addresses: &[SocketAddr]) {
        self.entries.set(addresses, cx.now);
        let realms: Vec<Realm> = self.entries.addresses().filter_map(Realm::of).collect();
        for realm in realms {
            self.net_of(cx, realm, None);
        }
        for net in &mut self.nets {
            net.reach.set_entries(!self.entries.is_empty(net.realm));
        }
        self.settle(cx);
    }

    /// Whether this node may serve, if it can be reached.
    pub(crate) fn set_choice(&mut self, cx: &mut Cx, choice: Choice) {
        self.choice = choice;
        for net in &mut self.nets {
            net.reach.set_choice(choice, cx.now);
        }
        self.settle(cx);
    }

    /// Whether a datagram from there asks for something, as a DHT's does.
    pub(crate) fn is_request(from: SocketAddr, bytes: &[u8]) -> bool {
        let is_somewhere = Realm::of(plain_socket(from)).is_some();
        is_somewhere && wire::read(bytes).is_ok_and(|datagram| matches!(datagram.body, wire::Body::Request(_)))
    }

    /// The wall clock has jumped: what ends by it is due at another time, and what lies ahead of it is nothing any more.
    pub(crate) fn on_clock(&mut self, cx: &mut Cx) {
        self.home.on_clock(cx.wall);
        self.accepted.on_clock();
        if let Some(own) = &mut self.own {
            own.publisher.on_clock(cx.wall, cx.now);
        }
        self.settle(cx);
    }

    /// Whether anybody is known whom it could ask.
    pub(crate) fn knows_somebody(&self) -> bool {
        self.nets.iter().any(|net| net.servers > 0)
    }

    /// What happened since it was asked last, oldest first.
    pub(crate) fn told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// When [`on_tick`](Self::on_tick) has something to do.
    pub(crate) const fn due(&self) -> Option<Time> {
        self.due
    }

    /// The installation's key.
    pub(crate) const fn key(&self) -> NodeKey {
        self.key
    }

    fn tell(&mut self, told: Told) {
        if self.told.len() >= TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(told);
    }

    /// The part of a realm, made when it is asked for first: there are six at most. `local` is a socket of it.
    fn net_of(&mut self, cx: &Cx, realm: Realm, local: Option<SocketAddr>) -> Option<usize> {
        if let Some(at) = self.net_in(realm) {
            return Some(at);
        }
        let mut net = Net::new(realm, self.choice, cx.config.dht_wide > 0, &mut self.rng, cx.now);
        let of_family = |net: &Net| net.local.filter(|local| local.is_ipv6() == realm.is_v6);
        net.local = local.map(plain_socket).or_else(|| self.nets.iter().find_map(of_family));
        net.reach.set_entries(!self.entries.is_empty(realm));
        net.id = net.reach.id(&self.key);
        if let Some(id) = net.id {
            net.move_to(id, cx.now);
        }
        self.nets.push(net);
        self.is_dirty = true;
        self.nets.len().checked_sub(1)
    }

    /// The part of a realm, if there is one.
    fn net_in(&self, realm: Realm) -> Option<usize> {
        self.nets.iter().position(|net| net.realm == realm)
    }

    /// The part of the realm of an address, if there is one.
    fn net_at(&self, at: SocketAddr) -> Option<usize> {
        self.net_in(Realm::of(at)?)
    }

    /// Whether it is where this node itself is.
    fn is_me(&self, at: SocketAddr) -> bool {
        self.nets.iter().any(|net| net.local == Some(at) || net.reach.address() == Some(at))
    }

    /// Where the node serves in the other family of the same reach.
    fn other(&self, at: usize) -> Option<SocketAddr> {
        let realm = self.nets.get(at)?.realm;
        let is_other = |net: &&Net| net.realm.scope == realm.scope && net.realm.is_v6 != realm.is_v6 && net.local.is_some();
        let other = self.nets.iter().find(is_other).filter(|net| net.served_id().is_some())?;
        other.reach.address()
    }
}
