//! How a device makes its own records known, and keeps them so.
//!
//! It sends nothing and holds no timer: what happened goes in, what is to be done comes out of [`Publisher::next`], and
//! [`Publisher::due`] says when there is something again.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::estimate::Size;
use super::key::Key;
use super::proof::Token;
use super::realm::Realm;
use super::record::{ADDRESSES_MAX, AddressRecord, DeviceRecord, Prekey, RELAYS_MAX, Relay};
use super::wire::{Contact, Denied, DeviceHint, Got, Kind};
use crate::address::{self, Scope, is_lasting};
use crate::crypto::Crypto;
use crate::id::DeviceId;
use crate::identity::{Credentials, Delegation, Revocation};
use crate::rng::Rng;
use crate::time::{Time, WallTime};

mod own;
mod round;
mod sequence;
mod stand;
mod targets;

#[cfg(test)]
mod tests;

pub(crate) use crate::view::DhtPolicy as Policy;
pub(crate) use round::Tally;
pub(crate) use sequence::Last;
pub(crate) use targets::{Answered, carriers, choose};

use own::Met;
use round::{Call, Kinds, Round, Told};
use sequence::is_plausible;
use stand::{Phase, Stand};

/// What the glue is to do, or to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives on the stack, until its caller has looked at it")]
pub(crate) enum Do {
    /// Look the own home up in this realm, then call [`Publisher::on_looked`].
    Look { realm: Realm },
    /// Keep this in the own store, if this node serves in the realm and is near enough.
    Keep { realm: Realm, kind: Kind, record: String },
    /// Ask for what is held of the own device, with a cookie, and for a token; then [`Publisher::on_got`] or
    /// [`Publisher::on_silent`].
    Get { to: Contact, kind: Kind, device: DeviceHint, known: u64 },
    /// Put; then [`Publisher::on_put`] or [`Publisher::on_silent`].
    Put { to: Contact, kind: Kind, token: Token, record: String, carry: bool },
    /// Store this and hand it back at the next start.
    Persist(Last),
    /// A round of writing has ended; whether enough nodes have it (spec: DHT-144).
    Stored { realm: Realm, kind: Kind, tally: Tally, is_enough: bool },
    /// Somebody else signs with this device's key (spec: DHT-146).
    Fork { kind: Kind },
    /// The network has a newer delegation of this device.
    Renewed(Delegation),
}

/// What a look-up of the own home has found, and what is known around it.
pub(crate) struct Looked<'a> {
    /// Who answered, nearest first, without this node itself.
    pub(crate) answers: &'a [Answered],
    pub(crate) size: Size,
    /// Whether few networks are known, so that it is looked again soon.
    pub(crate) is_soft: bool,
    /// Who can carry into the other family, the best first.
    pub(crate) carriers: &'a [Contact],
}

/// A refresh comes 45 minutes after the one before, ten more or less (spec: DHT-141).
const REFRESH: Duration = Duration::from_secs(35 * 60);
const REFRESH_SPREAD_SECS: u64 = 20 * 60;
/// Changes are published at least so far apart (spec: DHT-141).
const CHANGE_MIN: Duration = Duration::from_secs(15);
/// Outcomes that wait to be told; the oldest give way (guess: each kind in each realm, twice).
const OUTCOMES_MAX: usize = 32;
/// How often one round is begun anew because a newer record of one's own was met (guess: no honest network has two).
const RAISES_MAX: u8 = 2;

/// What makes one local device of a user in an app known (spec: DHT-140).
pub(crate) struct Publisher {
    home: Key,
    device: DeviceId,
    policy: Policy,
    last: Last,
    rng: Rng,
    prekey: Prekeys,
    /// As it was signed last.
    record: Option<Box<DeviceRecord>>,
    revocation: Option<Box<Revocation>>,
    spots: Vec<Spot>,
    stands: Vec<Stand>,
    outcomes: VecDeque<Do>,
    /// The delegation has ended: nothing is signed.
    is_ended: bool,
    last_is_new: bool,
}

/// The key for mail, and what was seen of it.
#[derive(Default)]
struct Prekeys {
    key: Option<[u8; 32]>,
    seen: u64,
    is_stale: bool,
}

/// Where the device is, in one scope.
struct Spot {
    scope: Scope,
    addresses: Vec<SocketAddr>,
    relays: Vec<Relay>,
    record: Option<AddressRecord>,
    /// The highest number of an own record that was met.
    seen: u64,
    /// It is to be signed anew before it is put again.
    is_stale: bool,
    refresh: Option<Time>,
}

impl Spot {
    fn is_nowhere(&self) -> bool {
        self.addresses.is_empty() && self.relays.is_empty()
    }
}

impl Publisher {
    /// For the device whose delegation names this home. `last` is what [`Do::Persist`] gave in the life before, `rng` a fork
    /// for this alone.
    pub(crate) const fn new(home: Key, device: DeviceId, policy: Policy, last: Last, rng: Rng) -> Self {
        Self {
            home,
            device,
            policy,
            last,
            rng,
            prekey: Prekeys { key: None, seen: 0, is_stale: false },
            record: None,
            revocation: None,
            spots: Vec::new(),
            stands: Vec::new(),
            outcomes: VecDeque::new(),
            is_ended: false,
            last_is_new: false,
        }
    }

    /// Who is told. What was published stays where it is until it ends; [`withdraw`](Self::withdraw) first, if it is not to.
    pub(crate) fn set_policy(&mut self, policy: Policy, now: Time) {
        if policy != self.policy {
            self.policy = policy;
            self.begin_all(now);
        }
    }

    /// The X25519 key under which mail for the device is to be sealed.
    pub(crate) fn set_prekey(&mut self, key: [u8; 32], now: Time) {
        if self.prekey.key != Some(key) {
            (self.prekey.key, self.prekey.is_stale) = (Some(key), true);
            self.want_everywhere(Kind::Device, now);
        }
    }

    /// What the identity has taken back, as this device knows it.
    pub(crate) fn set_revocation(&mut self, revocation: Revocation, now: Time) {
        if self.revocation.as_ref().is_none_or(|known| known.version() < revocation.version()) {
            self.revocation = Some(Box::new(revocation));
            self.want_everywhere(Kind::Device, now);
        }
    }

    /// The credentials that [`next`](Self::next) is given are others.
    pub(crate) fn on_renewed(&mut self, now: Time) {
        self.is_ended = false;
        self.begin_all(now);
    }

    /// Where the device is to be reached in this scope: addresses that are configured or proven, the best first, of which three
    /// are told, and two of the relays. What does not belong in such a record is left out (spec: DHT-32).
    pub(crate) fn set_addresses(&mut self, scope: Scope, mut addresses: Vec<SocketAddr>, mut relays: Vec<Relay>, now: Time) {
        let fits = |at: SocketAddr| address::scope(at) == Some(scope) && is_lasting(at);
        addresses.retain(|at| fits(*at));
        relays.retain(|(_, at)| fits(*at));
        keep_first(&mut addresses, ADDRESSES_MAX);
        keep_first(&mut relays, RELAYS_MAX);
        let known = self.spots.iter_mut().find(|spot| spot.scope == scope);
        match known {
            Some(spot) if spot.addresses == addresses && spot.relays == relays => return,
            Some(spot) => (spot.addresses, spot.relays, spot.is_stale) = (addresses, relays, true),
            None if addresses.is_empty() && relays.is_empty() => return,
            None => {
                self.spots.push(Spot { scope, addresses, relays, record: None, seen: 0, is_stale: true, refresh: None });
            }
        }
        self.want_address(scope, now);
    }

    /// Says of every scope in which the device was to be found that it is nowhere (spec: DHT-148).
    pub(crate) fn withdraw(&mut self, now: Time) {
        for scope in [Scope::Loopback, Scope::Private, Scope::Global] {
            self.set_addresses(scope, Vec::new(), Vec::new(), now);
        }
    }

    /// Whether an address record says where the device is.
    pub(crate) fn is_told(&self) -> bool {
        self.spots.iter().any(|spot| spot.record.is_some() && !spot.is_nowhere())
    }

    /// How many verified servers are known in a realm now.
    pub(crate) fn on_servers(&mut self, realm: Realm, servers: usize, now: Time) {
        let stand = match self.stands.iter_mut().find(|stand| stand.realm == realm) {
            Some(stand) => stand,
            None if servers == 0 => return,
            None => {
                self.stands.push(Stand::new(realm));
                let Some(stand) = self.stands.last_mut() else { return };
                stand
            }
        };
        if stand.on_servers(servers, now) {
            self.begin(realm, now);
        }
    }

    /// The look-up that was asked for has ended, also without an answer.
    pub(crate) fn on_looked(&mut self, realm: Realm, looked: &Looked<'_>, now: Time) {
        let other = Realm { is_v6: !realm.is_v6, scope: realm.scope };
        let is_single = self.stands.iter().all(|stand| stand.realm != other || stand.servers == 0);
        let must_ask = self.revocation.is_some();
        let home = self.home.hint();
        let Some(stand) = self.stands.iter_mut().find(|stand| stand.realm == realm) else { return };
        let Phase::Looking { kinds, .. } = stand.phase else { return };
        let kinds = if self.policy == Policy::Everyone { kinds } else { kinds.without(Kind::Address) };
        let mut chosen = choose(home, looked.answers, looked.size, looked.is_soft);
        chosen.retain(|one| Realm::of(one.contact.at) == Some(realm));
        if stand.is_check() {
            // Most have it by now: they are asked before they are put to (spec: DHT-149).
            chosen.iter_mut().for_each(|one| one.token = None);
        }
        let carriers = if is_single { targets::carrying(looked.carriers, &chosen) } else { Vec::new() };
        stand.on_looked(Round::new(kinds, &chosen, &carriers, must_ask), looked.is_soft, now);
    }

    /// A reply to [`Do::Get`].
    pub(crate) fn on_got(&mut self, from: SocketAddr, got: &Got<'_>, own: (&Crypto, &Credentials), wall: WallTime, now: Time) {
        let Some(index) = self.writing(from) else { return };
        let asked = self.stands.get(index).and_then(|stand| stand.round()?.asked(from).map(|kind| (kind, stand.realm)));
        let Some((kind, realm)) = asked else { return };
        let met = match (kind, got.record) {
            (Kind::Address, Some(json)) => self.on_own_address(realm.scope, json, own, wall),
            (Kind::Device, Some(json)) => self.on_own_device(json, own, wall),
            (Kind::Revocation, _) | (_, None) => Met::Nothing,
        };
        let device = DeviceHint::of(self.device);
        let number = got.index.as_ref().and_then(|index| index.iter().find(|it| it.device == device)).map(|it| it.number);
        let version = self.revocation.as_ref().map(|revocation| revocation.version());
        // What found no room may be there.
        let lacks_revocation = !got.more && version.is_some_and(|version| got.revoked.is_none_or(|held| held < version));
        let numbers = self.numbers(realm.scope);
        if let Some(round) = self.stands.get_mut(index).and_then(Stand::round_mut) {
            round.on_told(from, Told { token: got.token, number, is_ours: met == Met::Ours, lacks_revocation }, &numbers);
        }
        if met == Met::Newer {
            self.raise(kind, realm, own, wall, now);
        }
        self.settle(index, now, wall);
    }

    /// A reply or a refusal to [`Do::Put`].
    pub(crate) fn on_put(&mut self, from: SocketAddr, result: Result<(), Denied>, wall: WallTime, now: Time) {
        let Some(index) = self.writing(from) else { return };
        let Some(scope) = self.stands.get(index).map(|stand| stand.realm.scope) else { return };
        let numbers = self.numbers(scope);
        let taken = self.stands.get_mut(index).and_then(Stand::round_mut).and_then(|round| round.on_put(from, result, &numbers, now));
        match taken {
            Some((Kind::Address, number)) => {
                self.on_accepted(number, self.last.address(scope), wall, |last| last.set_address(scope, number))
            }
            Some((Kind::Device, number)) if Some(number) == numbers.device => {
                if let Some(number) = self.record.as_ref().and_then(|record| record.prekey()).map(Prekey::sequence) {
                    self.on_accepted(number, self.last.prekey, wall, |last| last.prekey = number);
                }
            }
            Some((Kind::Device | Kind::Revocation, _)) | None => {}
        }
        self.settle(index, now, wall);
    }

    /// Neither the request nor its repetition was answered.
    pub(crate) fn on_silent(&mut self, from: SocketAddr, wall: WallTime, now: Time) {
        let Some(index) = self.writing(from) else { return };
        if let Some(round) = self.stands.get_mut(index).and_then(Stand::round_mut) {
            round.on_silent(from);
        }
        self.settle(index, now, wall);
    }

    /// What to do next; to be called until there is nothing. `own` is missing while there are no credentials.
    pub(crate) fn next(&mut self, own: Option<(&Crypto, &Credentials)>, wall: WallTime, now: Time) -> Option<Do> {
        if core::mem::take(&mut self.last_is_new) {
            return Some(Do::Persist(self.last));
        }
        if let Some(outcome) = self.outcomes.pop_front() {
            return Some(outcome);
        }
        if self.outcomes.capacity() > 0 {
            self.outcomes = VecDeque::new();
        }
        let own = own.filter(|(_, own)| own.delegation().device() == self.device && own.delegation().check_window(wall).is_ok());
        let Some(own) = own.filter(|_| self.policy != Policy::Nobody) else {
            self.halt(own.is_none());
            return None;
        };
        if core::mem::take(&mut self.is_ended) {
            self.begin_all(now);
        }
        self.refresh(now);
        (0..self.stands.len()).find_map(|index| self.step(index, own, wall, now))
    }

    /// When [`next`](Self::next) has something again; `None` while only what happens can change that.
    pub(crate) fn due(&self) -> Option<Time> {
        if self.last_is_new || !self.outcomes.is_empty() {
            return Some(Time::ZERO);
        }
        if self.is_ended || self.policy == Policy::Nobody {
            return None;
        }
        let stands = self.stands.iter().filter_map(Stand::due);
        let refresh = self.spots.iter().filter_map(|spot| spot.refresh).filter(|_| self.policy == Policy::Everyone);
        stands.chain(refresh).min()
    }

    /// One step in one realm.
    fn step(&mut self, index: usize, own: (&Crypto, &Credentials), wall: WallTime, now: Time) -> Option<Do> {
        let is_everyone = self.policy == Policy::Everyone;
        let stand = self.stands.get_mut(index)?;
        let realm = stand.realm;
        if let Some(kinds) = stand.take_due(now) {
            if kinds.without(Kind::Address).is_empty() && !is_everyone {
                stand.skip();
                return None;
            }
            return Some(Do::Look { realm });
        }
        if let Phase::Ready(round) = &stand.phase {
            let kinds = round.kinds();
            self.sign(realm.scope, own, wall, now);
            self.stands.get_mut(index)?.begin_writing();
            for kind in kinds.iter() {
                if let Some(record) = self.json(kind, realm.scope) {
                    self.tell(Do::Keep { realm, kind, record });
                }
            }
            // Nobody may have answered.
            self.settle(index, now, wall);
            return self.next(Some(own), wall, now);
        }
        let numbers = self.numbers(realm.scope);
        let call = self.stands.get_mut(index)?.round_mut()?.next(&numbers, now);
        let Some(call) = call else {
            self.settle(index, now, wall);
            return self.outcomes.pop_front();
        };
        Some(match call {
            Call::Get { to, kind, known } => Do::Get { to, kind, device: DeviceHint::of(self.device), known },
            Call::Put { to, kind, token, carry } => Do::Put { to, kind, token, record: self.json(kind, realm.scope)?, carry },
        })
    }

    /// A newer record of one's own was met: ours is signed above it and written again.
    fn raise(&mut self, kind: Kind, realm: Realm, own: (&Crypto, &Credentials), wall: WallTime, now: Time) {
        let Some(stand) = self.stands.iter_mut().find(|stand| stand.realm == realm) else { return };
        if stand.raises >= RAISES_MAX {
            return;
        }
        stand.raises = stand.raises.saturating_add(1);
        match kind {
            Kind::Device => self.prekey.is_stale = true,
            Kind::Address => self.spots.iter_mut().filter(|spot| spot.scope == realm.scope).for_each(|spot| spot.is_stale = true),
            Kind::Revocation => {}
        }
        self.sign(realm.scope, own, wall, now);
        let is_touched = |stand: &Stand| kind == Kind::Device || stand.realm.scope == realm.scope;
        for round in self.stands.iter_mut().filter(|stand| is_touched(stand)).filter_map(Stand::round_mut) {
            round.renew(kind);
        }
    }

    fn on_accepted(&mut self, number: u64, last: u64, wall: WallTime, set: impl FnOnce(&mut Last)) {
        // What is above what anybody takes was of a clock that went wrong.
        if number > last || !is_plausible(last, wall) {
            set(&mut self.last);
            self.last_is_new = true;
        }
    }

    /// Ends a round in which nothing is left to do.
    fn settle(&mut self, index: usize, now: Time, wall: WallTime) {
        let draw = self.draw_refresh(now);
        let left = self.record.as_ref().and_then(|record| record.end()).map_or(Duration::ZERO, |end| end.since(wall));
        let Some(realm) = self.stands.get(index).map(|stand| stand.realm) else { return };
        let is_nowhere = self.address(realm.scope).is_some_and(AddressRecord::is_nowhere);
        let Some(stand) = self.stands.get_mut(index) else { return };
        let ended = stand.end_round(now, draw.max(now + left / 2), is_nowhere);
        for (kind, tally, is_enough) in ended {
            self.tell(Do::Stored { realm, kind, tally, is_enough });
        }
    }

    /// Address records that are due to be renewed.
    fn refresh(&mut self, now: Time) {
        let mut due = Vec::new();
        for spot in self.spots.iter_mut().filter(|spot| spot.refresh.is_some_and(|at| at <= now)) {
            (spot.refresh, spot.is_stale) = (None, true);
            due.push(spot.scope);
        }
        for scope in due {
            self.want_address(scope, now);
        }
    }

    /// Without credentials, or for nobody: whatever is under way is given up.
    fn halt(&mut self, is_ended: bool) {
        self.is_ended = is_ended;
        self.stands.iter_mut().for_each(Stand::halt);
    }

    fn begin_all(&mut self, now: Time) {
        let realms: Vec<Realm> = self.stands.iter().filter(|stand| stand.servers > 0).map(|stand| stand.realm).collect();
        for realm in realms {
            self.begin(realm, now);
        }
    }

    /// All that there is to publish in a realm.
    fn begin(&mut self, realm: Realm, now: Time) {
        let has_place = self.spots.iter().any(|spot| spot.scope == realm.scope && (spot.is_stale || !spot.is_nowhere()));
        let kinds = Kinds::NONE.with(Kind::Device);
        let kinds = if has_place { kinds.with(Kind::Address) } else { kinds };
        if let Some(stand) = self.stands.iter_mut().find(|stand| stand.realm == realm) {
            stand.want(kinds, now);
        }
    }

    fn want_everywhere(&mut self, kind: Kind, now: Time) {
        for stand in &mut self.stands {
            stand.want(Kinds::NONE.with(kind), now);
        }
    }

    fn want_address(&mut self, scope: Scope, now: Time) {
        for stand in self.stands.iter_mut().filter(|stand| stand.realm.scope == scope) {
            stand.want(Kinds::NONE.with(Kind::Address), now);
        }
    }

    /// The realm in which something is written to this address.
    fn writing(&self, from: SocketAddr) -> Option<usize> {
        let realm = Realm::of(from)?;
        self.stands.iter().position(|stand| stand.realm == realm)
    }

    fn tell(&mut self, outcome: Do) {
        if self.outcomes.len() >= OUTCOMES_MAX {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(outcome);
    }

    fn draw_refresh(&mut self, now: Time) -> Time {
        now + REFRESH + Duration::from_secs(self.rng.below(REFRESH_SPREAD_SECS + 1))
    }
}

/// The first of each, at most `n`.
fn keep_first<T: PartialEq>(items: &mut Vec<T>, n: usize) {
    let mut kept: Vec<T> = Vec::new();
    for item in items.drain(..) {
        if kept.len() < n && !kept.contains(&item) {
            kept.push(item);
        }
    }
    *items = kept;
}
