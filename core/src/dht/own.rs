//! The local device: its records go out, and while its delegation has ended a newer one is looked for.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::ask::Whom;
use super::key::Key;
use super::lookup::LookUp;
use super::proof::Token;
use super::publish::{self, Answered, Looked, Policy, Publisher, carriers, choose};
use super::realm::Realm;
use super::record::{AddressRecord, DeviceRecord};
use super::rpc::{Asked, Question};
use super::seek::Goal;
use super::serve::Put;
use super::sleeper::{self, Sleeper, renewal};
use super::table::{Mode, Rtt};
use super::told::Told;
use super::wire::{Answer, Contact, Denied, Kind};
use super::{Dht, Purpose};
use crate::address::{Group, Scope, group, scope};
use crate::cx::Cx;
use crate::identity::{Credentials, Refusal, Revocation};
use crate::time::WallTime;

/// What the node publishes, and who it is.
pub(super) struct Own {
    pub(super) home: Key,
    pub(super) credentials: Credentials,
    pub(super) publisher: Publisher,
    /// Only while the delegation has ended.
    pub(super) sleeper: Option<Sleeper>,
    /// What the identity has taken back, as far as it is known.
    pub(super) revocation: Option<Box<Revocation>>,
    /// Addresses that were configured: told whatever others see.
    pub(super) configured: Vec<SocketAddr>,
    /// It is to be found nowhere.
    is_hidden: bool,
}

/// How much of what is to be written is begun in one call; the rest waits for a `Tick` at once.
const STEPS_MAX: u32 = 64;

impl Dht {
    /// Makes this device known from now on, or goes on with other credentials.
    pub(crate) fn publish(&mut self, cx: &mut Cx, credentials: Credentials) {
        let delegation = credentials.delegation();
        let home = Key::home(delegation.user(), delegation.app());
        let device = delegation.device();
        match &mut self.own {
            Some(own) if own.home == home && own.credentials.delegation().device() == device => {
                own.credentials = credentials;
                own.sleeper = None;
                own.publisher.on_renewed(cx.now);
            }
            own => {
                let rng = self.rng.fork("dht publisher", self.seeks_begun.into());
                let mut publisher = Publisher::new(home, device, self.policy, self.numbers, rng);
                publisher.set_prekey(credentials.first_prekey(&cx.config.crypto), cx.now);
                *own = Some(Box::new(Own {
                    home,
                    credentials,
                    publisher,
                    sleeper: None,
                    revocation: None,
                    configured: Vec::new(),
                    is_hidden: false,
                }));
            }
        }
        self.set_places(cx);
        self.settle(cx);
    }

    /// Who is told where the device is.
    pub(crate) fn set_policy(&mut self, cx: &mut Cx, policy: Policy) {
        self.policy = policy;
        if let Some(own) = &mut self.own {
            own.publisher.set_policy(policy, cx.now);
        }
        self.settle(cx);
    }

    /// What the device's identity has taken back: published wherever less is known.
    pub(crate) fn set_revocation(&mut self, cx: &mut Cx, revocation: &Revocation) {
        if let Some(own) = &mut self.own {
            own.revocation = Some(Box::new(revocation.clone()));
            own.publisher.set_revocation(revocation.clone(), cx.now);
        }
        self.settle(cx);
    }

    /// Addresses of this node that were configured, and are told whatever others see.
    pub(crate) fn set_configured(&mut self, cx: &mut Cx, addresses: &[SocketAddr]) {
        if let Some(own) = &mut self.own {
            own.configured = addresses.to_vec();
        }
        self.set_places(cx);
        self.settle(cx);
    }

    /// Says of the device that it is nowhere, whatever becomes known of where it is, until [`show`](Self::show).
    pub(crate) fn withdraw(&mut self, cx: &mut Cx) {
        if let Some(own) = &mut self.own {
            own.is_hidden = true;
            own.publisher.withdraw(cx.now);
        }
        self.settle(cx);
    }

    /// Tells again where the device is.
    pub(crate) fn show(&mut self, cx: &mut Cx) {
        if let Some(own) = &mut self.own {
            own.is_hidden = false;
        }
        self.set_places(cx);
        self.settle(cx);
    }

    /// Whether it was told where the device is, so that it has to be withdrawn.
    pub(crate) fn is_told(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.publisher.is_told())
    }

    /// Until when others may say where it is.
    pub(crate) fn told_until(&self, wall: WallTime) -> Option<WallTime> {
        self.own.as_ref()?.publisher.told_until(wall)
    }

    /// Where the device can be reached, as far as it is known and proven (spec: DHT-122).
    pub(super) fn set_places(&mut self, cx: &Cx) {
        let Some(own) = self.own.as_mut().filter(|own| !own.is_hidden) else { return };
        for reach in [Scope::Loopback, Scope::Private, Scope::Global] {
            let told = |net: &&super::net::Net| net.realm.scope == reach && (reach != Scope::Global || net.reach.is_fit());
            let seen = self.nets.iter().filter(told).filter_map(|net| net.local.map(|local| net.reach.address().unwrap_or(local)));
            let configured = own.configured.iter().copied().filter(|at| scope(*at) == Some(reach));
            own.publisher.set_addresses(reach, configured.chain(seen).collect(), Vec::new(), cx.now);
        }
    }

    /// Does what the own records need to have done.
    pub(super) fn drive_own(&mut self, cx: &mut Cx) {
        let Some(mut own) = self.own.take() else { return };
        for net in &self.nets {
            own.publisher.on_servers(net.realm, net.servers, cx.now);
        }
        let crypto = cx.config.crypto;
        for _ in 0..STEPS_MAX {
            let Some(step) = own.publisher.next(Some((&crypto, &own.credentials)), cx.wall, cx.now) else { break };
            self.is_dirty = true;
            self.write_step(cx, &mut own, step);
        }
        self.drive_sleeper(cx, &mut own);
        self.own = Some(own);
    }

    fn write_step(&mut self, cx: &mut Cx, own: &mut Own, step: publish::Do) {
        use publish::Do;
        match step {
            Do::Look { realm } => {
                let net = self.net_in(realm);
                if net.and_then(|net| self.seek(cx, net, own.home, Goal::Publish(Vec::new()))).is_none() {
                    own.publisher.on_looked(
                        realm,
                        &Looked { answers: &[], size: super::estimate::Size::of(1), is_soft: true, carriers: &[] },
                        cx.now,
                    );
                }
            }
            Do::Keep { realm, kind, record } => self.keep_own(cx, own, realm, kind, &record),
            Do::Get { to, kind, device, known } => {
                let question =
                    Question::Get { target: own.home, kind, device: Some(device), known: Some(known), write: true, is_fair: false };
                self.write_to(cx, own, to, question);
            }
            Do::Put { to, kind, token, record, carry } => {
                let question = Question::Put { target: own.home, kind, token: Some(token), record: Arc::from(record), carry };
                self.write_to(cx, own, to, question);
            }
            Do::Persist(last) => {
                self.numbers = last;
                self.tell(Told::Numbers);
            }
            Do::Stored { realm, kind, tally, is_enough } => self.tell(Told::Stored { realm, kind, tally, is_enough }),
            Do::Fork { kind } => self.tell(Told::Fork { kind }),
            Do::Renewed(delegation) => self.tell(Told::Renewed(delegation)),
        }
    }

    fn write_to(&mut self, cx: &mut Cx, own: &mut Own, to: Contact, question: Question) {
        if !self.ask_contact(cx, to, question, Purpose::Write) {
            own.publisher.on_silent(to.at, cx.wall, cx.now);
        }
    }

    /// Asks somebody who is known by hint, wherever it is.
    pub(super) fn ask_contact(&mut self, cx: &mut Cx, to: Contact, question: Question, purpose: Purpose) -> bool {
        self.net_at(to.at).is_some_and(|net| {
            let rtt = self.nets.get(net).map_or(Rtt::UNKNOWN, |net| net.rtt(to.at));
            self.ask(cx, net, Whom { at: to.at, hint: Some(to.hint), rtt }, question, purpose)
        })
    }

    /// A server keeps its own user's records like any other's.
    fn keep_own(&mut self, cx: &mut Cx, own: &Own, realm: Realm, kind: Kind, record: &str) {
        let at = self.nets.iter().position(|net| net.realm == realm && net.served_id().is_some());
        let address = at.and_then(|at| self.nets.get(at)).and_then(|net| net.reach.address().or(net.local));
        if let Some((at, address)) = at.zip(address) {
            self.keep(cx, at, (own.home, kind), record, group(address));
        }
    }

    /// Keeps a record that nobody has put, if it is near enough: the own one, or what a check has shown.
    pub(super) fn keep(&mut self, cx: &mut Cx, at: usize, place: (Key, Kind), record: &str, depositor: Group) {
        // What is far away or does not count is not kept, and nobody waits for an answer.
        let _ = self.put_at_home(cx, at, place, record, depositor, Put::Own);
    }

    /// The look-up of the own home is over.
    pub(super) fn on_publish_looked(&mut self, cx: &Cx, at: usize, look_up: &LookUp, tokens: &[(SocketAddr, Token)]) {
        let Some((net, own)) = self.nets.get(at).zip(self.own.as_mut()) else { return };
        let token = |at: SocketAddr| tokens.iter().find(|(from, _)| *from == at).map(|(_, token)| *token);
        let answered = |near: super::lookup::Near| Answered { contact: Contact { hint: near.hint, at: near.at }, token: token(near.at) };
        let answers: Vec<Answered> = look_up.answers().map(answered).collect();
        let carriers = carriers(own.home.hint(), net.table.mains());
        let (size, is_soft) = (net.size(), net.reach.mode() == Mode::Soft);
        let looked = Looked { answers: &answers, size, is_soft, carriers: &carriers };
        own.publisher.on_looked(net.realm, &looked, cx.now);
        if cx.config.dht_binds > 0 {
            let nearest = choose(own.home.hint(), &answers, size, is_soft).into_iter().map(|one| one.contact).collect();
            let (realm, home) = (net.realm, own.home);
            self.tell(Told::Home { realm, home, nearest });
        }
    }

    /// Whether this device is to be bound: everybody is told where it is, and it may sign.
    pub(crate) fn is_to_be_bound(&self, wall: WallTime) -> bool {
        let may = |own: &Own| !own.is_hidden && own.credentials.delegation().check_window(wall).is_ok();
        self.policy == Policy::Everyone && self.own.as_deref().is_some_and(may)
    }

    /// The number of the own address record in a scope.
    pub(crate) fn own_number(&self, scope: Scope) -> Option<u64> {
        self.own.as_ref()?.publisher.address(scope).map(AddressRecord::sequence)
    }

    /// The own address record of a scope, to be bound with: one that says nowhere if nothing is published there.
    pub(crate) fn own_address(&mut self, cx: &Cx, scope: Scope) -> Option<AddressRecord> {
        let own = self.own.as_mut()?;
        own.publisher.address_to_bind(scope, (&cx.config.crypto, &own.credentials), cx.wall, cx.now)
    }

    /// The own device record, as it was signed last.
    pub(crate) fn own_device(&self) -> Option<String> {
        self.own.as_ref()?.publisher.device_json()
    }

    /// Somebody says that it holds a newer address record of this device: whoever keeps one is asked (spec: DHT-145).
    pub(crate) fn look_for_newer(&mut self, cx: &mut Cx, scope: Scope) {
        if let Some(own) = &mut self.own {
            own.publisher.look_for_newer(scope, cx.now);
        }
        self.settle(cx);
    }

    /// A node that own records are written to has answered.
    pub(super) fn on_written(&mut self, cx: &Cx, asked: &Asked<Purpose>, answer: &Answer<'_>) {
        // Answers to what another device wrote before are nobody's.
        let Some(own) = self.own.as_mut().filter(|own| asked.question.target() == Some(own.home)) else { return };
        self.is_dirty = true;
        match answer {
            Answer::Get(got) => own.publisher.on_got(asked.to, got, (&cx.config.crypto, &own.credentials), cx.wall, cx.now),
            Answer::Put { .. } => own.publisher.on_put(asked.to, Ok(()), cx.wall, cx.now),
            Answer::Ping | Answer::Find | Answer::Hello { .. } | Answer::Probe | Answer::Knock => {}
        }
    }

    pub(super) fn on_write_denied(&mut self, cx: &Cx, asked: &Asked<Purpose>, denied: Denied) {
        self.is_dirty = true;
        if let Some(own) = &mut self.own {
            if matches!(asked.question, Question::Put { .. }) {
                own.publisher.on_put(asked.to, Err(denied), cx.wall, cx.now);
            } else {
                own.publisher.on_silent(asked.to, cx.wall, cx.now);
            }
        }
    }

    pub(super) fn on_write_silent(&mut self, cx: &Cx, from: SocketAddr) {
        self.is_dirty = true;
        if let Some(own) = &mut self.own {
            own.publisher.on_silent(from, cx.wall, cx.now);
        }
    }

    /// As long as the delegation has ended, a newer one is looked for.
    fn drive_sleeper(&mut self, cx: &mut Cx, own: &mut Own) {
        let delegation = own.credentials.delegation();
        if delegation.check_window(cx.wall) != Err(Refusal::Expired) {
            own.sleeper = None;
            return;
        }
        let sleeper = own.sleeper.get_or_insert_with(|| Sleeper::new(delegation, cx.now));
        for _ in 0..STEPS_MAX {
            match sleeper.next(cx.now) {
                None => break,
                Some(sleeper::Do::Look) => {
                    for net in 0..self.nets.len() {
                        self.seek(cx, net, own.home, Goal::Sleep);
                    }
                }
                Some(sleeper::Do::Get { to, device, known }) => {
                    let question = Question::Get {
                        target: own.home,
                        kind: Kind::Device,
                        device: Some(device),
                        known: Some(known),
                        write: false,
                        is_fair: false,
                    };
                    if !self.ask_contact(cx, to, question, Purpose::Sleep) {
                        sleeper.on_silent(to.at, cx.now);
                    }
                }
            }
        }
    }

    pub(super) fn on_sleep_looked(&mut self, at: usize, look_up: &LookUp) {
        let Some((net, sleeper)) = self.nets.get(at).zip(self.own.as_mut().and_then(|own| own.sleeper.as_mut())) else { return };
        let nearest: Vec<Contact> = look_up.answers().map(|near| Contact { hint: near.hint, at: near.at }).collect();
        sleeper.on_looked(net.realm, &nearest);
    }

    /// Somebody who may have a newer delegation has answered.
    pub(super) fn on_slept(&mut self, cx: &Cx, from: SocketAddr, answer: &Answer<'_>) {
        let (Some(own), Answer::Get(got)) = (&mut self.own, answer) else { return };
        if let Some(sleeper) = own.sleeper.as_mut().filter(|_| got.record.is_none() && got.more) {
            sleeper.on_cut(from, cx.now);
            self.is_dirty = true;
        }
        let found = got.record.and_then(|json| DeviceRecord::from_json(json).ok());
        let newer =
            found.and_then(|found| renewal(&cx.config.crypto, own.credentials.delegation(), own.revocation.as_deref(), &found, cx.wall));
        if let Some(newer) = newer {
            self.tell(Told::Renewed(newer));
        }
    }

    pub(super) fn on_sleep_silent(&mut self, cx: &Cx, from: SocketAddr) {
        self.is_dirty = true;
        if let Some(sleeper) = self.own.as_mut().and_then(|own| own.sleeper.as_mut()) {
            sleeper.on_silent(from, cx.now);
        }
    }
}
