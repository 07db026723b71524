//! Answering: what others ask, how much of it, and what their asking says of them.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::ask::{Whom, count_out};
use super::budget::{ReplyBytes, Shortage};
use super::estimate::{Held, Radius};
use super::home::{self, Bench, Kept, NotKept};
use super::key::{Hint, Key};
use super::knock::Errand;
use super::net::Net;
use super::proof::{Cookie, Shown, Token, say_hello};
use super::rate::{Rate, Rates, Verdict};
use super::reach::Heard;
use super::realm::Realm;
use super::rpc::Question;
use super::share::Good;
use super::table::{Candidate, Places, Rtt, Wanted};
use super::wire::{
    Answer, Asker, Contact, Denied, DeviceHint, ERRAND_BYTES, Exchange, Few, Got, Head, Kind, PING_BYTES, Reply, Request, nodes_max,
    write_error, write_reply,
};
use super::{Dht, Purpose};
use crate::action::{Action, Packet, Path};
use crate::address::{Group, group, plain_socket};
use crate::cx::Cx;

/// Two bursts a rate (spec: DHT-71), half a minute's bytes (spec: DHT-73), a second's signatures.
const ADDRESS_BURST_SECS: u32 = 2;
const GROUP_BURST_SECS: u32 = 4;
const REPLY_BURST_SECS: u32 = 30;
/// Proofs of the own key for others: each costs an agreement (spec: DHT-44).
const HELLOS: Rate = Rate { per_second: 4, burst: 16 };
/// What who asks too much is told to wait, in seconds (guess: about as long as a burst lasts).
const BUSY_SECS: u64 = 2;

/// A request that is looked at.
pub(super) struct Asking<'a> {
    pub(super) path: Path,
    /// Without IPv6 clothes.
    pub(super) from: SocketAddr,
    pub(super) realm: Realm,
    pub(super) exchange: Exchange,
    /// Who asks, if it serves and its id may be at its address.
    pub(super) hint: Option<Hint>,
    pub(super) is_proven: bool,
    /// What to show from now on, if it showed a cookie that will not hold for long, or does not.
    pub(super) renewed: Option<Cookie>,
    /// How long the request was.
    pub(super) bytes: usize,
    pub(super) request: Request<'a>,
}

/// What is sought at a home.
struct Sought {
    target: Key,
    kind: Kind,
    device: Option<DeviceHint>,
    known: Option<u64>,
    write: bool,
    is_fair: bool,
}

/// What became of a request.
pub(super) enum Outcome {
    /// It was answered, or is done without an answer.
    Done,
    /// It is not answered.
    Nothing,
    Denied(Denied),
}

/// Who has a record kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// This node itself, which has its signatures checked whatever others have spent.
    Own,
    /// Somebody else, perhaps to have it carried to the other family.
    Others { carry: bool },
}

impl Dht {
    /// Somebody asks something.
    pub(super) fn on_request(&mut self, cx: &mut Cx, at: usize, path: Path, bytes: usize, head: &Head, request: Request<'_>) {
        cx.stats.dht_requests_in = cx.stats.dht_requests_in.saturating_add(1);
        let from = plain_socket(path.remote);
        let Some(realm) = self.nets.get(at).map(|net| net.realm) else { return };
        self.secrets.turn(cx.now);
        let lets_write = |token: Token, target: &Key| self.secrets.lets_write(token, from, target);
        let has_token = matches!(&request, Request::Put { token: Some(token), target, .. } if lets_write(*token, target));
        let shown = head.cookie.map(|cookie| self.secrets.check(cookie, from));
        let is_proven = has_token || shown.flatten().is_some();
        let renewed = shown.filter(|shown| is_proven && *shown != Some(Shown::Current)).map(|_| self.secrets.cookie(from));
        let hint = head.id.map(|id| id.hint()).filter(|hint| realm.takes(*hint, from));
        if head.id.is_some() && hint.is_none() {
            cx.stats.dht_unfit = cx.stats.dht_unfit.saturating_add(1);
        }
        let asking = Asking { path, from, realm, exchange: head.exchange, hint, is_proven, renewed, bytes, request };
        match self.limiter.check(from, realm, is_proven, rates(cx), cx.now) {
            Verdict::Take => {}
            Verdict::Busy => return self.deny(cx, &asking, Denied::Busy { wait: BUSY_SECS }),
            Verdict::Silent => return count_refused(cx),
        }
        if self.on_heard(cx, at, &asking) {
            return;
        }
        match self.answer(cx, at, &asking, has_token) {
            Outcome::Done => {}
            Outcome::Nothing => count_refused(cx),
            Outcome::Denied(denied) => self.deny(cx, &asking, denied),
        }
    }

    /// What it says of somebody that they ask: that they are there, if the address is theirs (spec: DHT-51, DHT-59), and
    /// that strangers get through. Whether a ping has gone out in place of the answer.
    fn on_heard(&mut self, cx: &mut Cx, at: usize, asking: &Asking<'_>) -> bool {
        let Some(net) = self.nets.get_mut(at) else { return false };
        let from = asking.from;
        let is_known = asking.is_proven || net.knows(from);
        let asks_where = net.reach.on_request(Heard { from, is_known }, cx.now);
        let mut is_wanted = asks_where && asking.is_proven;
        if let Some(hint) = asking.hint.filter(|_| asking.is_proven) {
            is_wanted |= net.table.on_request(hint, from, cx.now) == Candidate::Ask;
            // A new neighbour is met however full its bucket is (spec: DHT-109).
            is_wanted |= net.served_id().is_some() && net.leaves.wants(hint);
        }
        if net.reach.due(cx.now).is_some_and(|due| due <= cx.now) {
            self.is_dirty = true;
        }
        let whom = Whom { at: from, hint: None, rtt: Rtt::UNKNOWN };
        if is_wanted && !self.flight.is_asked(from) {
            self.ask(cx, at, whom, Question::Ping, Purpose::Table { descent: None });
        }
        // A source that is forged must not get more for it than what was sent in its name: so it gets the ping alone, and once.
        let is_paid = asks_where && !asking.is_proven && asking.bytes >= PING_BYTES;
        let is_asked = is_paid && !self.flight.is_asked(from) && self.ask(cx, at, whom, Question::Ping, Purpose::Where);
        if let Some(net) = self.nets.get_mut(at).filter(|_| is_asked) {
            net.reach.on_where_asked(from, cx.now);
        }
        is_asked
    }

    fn answer(&mut self, cx: &mut Cx, at: usize, asking: &Asking<'_>, has_token: bool) -> Outcome {
        let Some(net) = self.nets.get(at) else { return Outcome::Nothing };
        if let Request::Ping { to } = asking.request {
            // Who is asked for by hint answers as that one or not at all.
            let is_me = to.is_none_or(|to| net.served_id().is_some_and(|id| id.hint() == to));
            let other = self.other(at).filter(|_| to.is_none());
            return if is_me { self.reply(cx, at, asking, Reply { other, ..Reply::new(Answer::Ping) }) } else { Outcome::Nothing };
        }
        let Some(id) = net.served_id() else { return Outcome::Nothing };
        match &asking.request {
            Request::Ping { .. } => Outcome::Nothing,
            Request::Find { target, is_fair } => {
                if self.is_short(cx, at, asking, target.hint()) {
                    return Outcome::Nothing;
                }
                let nodes = self.named(cx, at, (target.hint(), Places::of(*is_fair)), nodes_max(asking.from, false));
                self.reply(cx, at, asking, Reply { nodes, ..Reply::new(Answer::Find) })
            }
            Request::Get { target, kind, device, known, write, is_fair } => {
                let sought = Sought { target: *target, kind: *kind, device: *device, known: *known, write: *write, is_fair: *is_fair };
                self.answer_get(cx, at, asking, &sought)
            }
            Request::Put { .. } if !asking.is_proven => Outcome::Nothing,
            Request::Put { .. } if !has_token => Outcome::Denied(Denied::Token),
            Request::Put { target, kind, record, carry, .. } => self.answer_put(cx, at, asking, (*target, *kind), record, *carry),
            _ if !asking.is_proven => Outcome::Nothing,
            Request::Hello { challenge } => self.answer_hello(cx, at, asking, &id, challenge),
            Request::Probe | Request::Knock { .. } if asking.bytes < ERRAND_BYTES => Outcome::Nothing,
            Request::Probe => self.answer_probe(cx, at, asking),
            Request::Knock { at: address } => self.answer_knock(cx, at, asking, *address),
        }
    }

    fn answer_get(&mut self, cx: &mut Cx, at: usize, asking: &Asking<'_>, sought: &Sought) -> Outcome {
        let Sought { target, kind, device, known, write, is_fair } = *sought;
        if self.is_short(cx, at, asking, target.hint()) {
            return Outcome::Nothing;
        }
        let token = (write && asking.is_proven).then(|| self.secrets.token(asking.from, &target));
        let all = self.named(cx, at, (target.hint(), Places::of(is_fair)), nodes_max(asking.from, false));
        let asker = self.asker(at, asking);
        let wanted = home::Wanted { home: target, scope: asking.realm.scope, kind, device, known };
        let mut got = self.home.get(&wanted, cx.wall);
        if let Some(binds) = self.binds.as_ref().filter(|_| kind == Kind::Address) {
            got.set_bound(|listed| binds.of(target, asking.realm.scope).any(|(device, _)| DeviceHint::of(device) == listed));
        }
        let is_beside = asking.is_proven && (got.record.is_some() || got.index.as_ref().is_some_and(|index| !index.is_empty()));
        let nodes = all.iter().take(nodes_max(asking.from, is_beside)).copied().collect();
        let reply = Reply { nodes, seen: Some(asking.from), ..Reply::new(Answer::Get(Got { token, ..got })) };
        let mut out = cx.buffer();
        let is_written = write_reply(&mut out, asking.exchange, asker, &reply);
        self.send_reply(cx, asking, is_written, out)
    }

    fn answer_put(
        &mut self,
        cx: &mut Cx,
        at: usize,
        asking: &Asking<'_>,
        (target, kind): (Key, Kind),
        record: &str,
        carry: bool,
    ) -> Outcome {
        // Who serves here alone carries nothing.
        let (now, depositor, carry) = (cx.now, group(asking.from), carry && self.other(at).is_some());
        match self.put_at_home(cx, at, (target, kind), record, depositor, Put::Others { carry }) {
            Ok(kept) => {
                let share = self.shares.of(Good::Carries, asking.from, asking.realm);
                let is_carried = carry && self.carry.offer(&kept.name, kept.sequence, asking.realm.is_v6, share, now);
                self.is_dirty |= is_carried || kept.is_new;
                self.reply(cx, at, asking, Reply::new(Answer::Put { sequence: kept.sequence }))
            }
            Err(NotKept::Denied(denied)) => Outcome::Denied(denied),
            Err(NotKept::Wrong) => {
                cx.stats.dht_records_refused = cx.stats.dht_records_refused.saturating_add(1);
                Outcome::Nothing
            }
        }
    }

    /// Puts a record into the own store.
    pub(super) fn put_at_home(
        &mut self,
        cx: &mut Cx,
        at: usize,
        (home, kind): (Key, Kind),
        record: &str,
        depositor: Group,
        put: Put,
    ) -> Result<Kept, NotKept> {
        let net = self.nets.get(at).ok_or(NotKept::Wrong)?;
        let carry = matches!(put, Put::Others { carry: true });
        let put_now = home::Put { home, kind, record, realm: net.realm, depositor, radius: net.kept_radius(), carry };
        let (rate, now, verifies) = (per_second(cx.config.dht_verifies_per_second), cx.now, &mut self.verifies);
        let bench =
            Bench { crypto: &cx.config.crypto, now: cx.wall, known: &mut self.delegations, checked: &mut cx.stats.signatures_checked };
        self.home.put(&put_now, bench, |count| put == Put::Own || verifies.spend(count, rate, now))
    }

    fn answer_hello(&mut self, cx: &mut Cx, at: usize, asking: &Asking<'_>, id: &Key, challenge: &[u8; 32]) -> Outcome {
        let (from, realm) = (asking.from, asking.realm);
        if !self.hello_once.lets(from, realm, cx.now)
            || !self.hellos.spend_shared(1, HELLOS, self.shares.of(Good::Hellos, from, realm), cx.now)
        {
            return Outcome::Denied(Denied::Busy { wait: 1 });
        }
        self.hello_once.give(from, realm, cx.now);
        match say_hello(&cx.config.crypto, &self.keys, id, challenge, asking.exchange) {
            Some(proof) => self.reply(cx, at, asking, Reply::new(Answer::Hello { key: self.key, proof })),
            None => Outcome::Nothing,
        }
    }

    /// Knocks at an address because a node that we know asks for it, once (spec: DHT-134).
    fn answer_knock(&mut self, cx: &mut Cx, at: usize, asking: &Asking<'_>, address: SocketAddr) -> Outcome {
        let Some(net) = self.nets.get_mut(at) else { return Outcome::Nothing };
        let errand = Errand { by: asking.from, is_known: net.knows(asking.from), at: address, own: net.reach.address() };
        if !net.knocks.obeys(&errand, cx.now) {
            return Outcome::Denied(Denied::Busy { wait: 10 });
        }
        self.knock(cx, at, address);
        self.reply(cx, at, asking, Reply::new(Answer::Knock))
    }

    /// Whether it is too much to answer now, the more the fewer bytes are left (spec: DHT-73).
    fn is_short(&self, cx: &Cx, at: usize, asking: &Asking<'_>, target: Hint) -> bool {
        let shortage = self.replies.shortage(reply_rate(cx), cx.now);
        let Some(net) = self.nets.get(at).filter(|_| shortage > Shortage::None) else { return false };
        let is_near = || Radius::of(Held::SIXTEEN, net.size()).holds(target.distance(net.own.hint()));
        let is_find = matches!(asking.request, Request::Find { .. });
        match shortage {
            Shortage::None => false,
            Shortage::ColdFinds => is_find && !asking.is_proven,
            Shortage::ColdGets => !asking.is_proven && (is_find || !is_near()),
            Shortage::AllButOwn => !is_near() || (is_find && !asking.is_proven),
        }
    }

    /// The nodes that are named for a target.
    fn named(&self, cx: &Cx, at: usize, (target, places): (Hint, Places), count: usize) -> Few<Contact> {
        let Some(net) = self.nets.get(at) else { return Few::NONE };
        let mut nearest = Vec::with_capacity(count);
        net.table.nearest(target, count, Wanted::Naming(places), cx.now, &mut nearest);
        nearest.iter().map(|entry| Contact { hint: entry.hint, at: entry.at }).collect()
    }

    fn asker(&self, at: usize, asking: &Asking<'_>) -> Asker {
        if asking.is_proven {
            return Asker::Proven { renewed: asking.renewed };
        }
        let id = self.nets.get(at).and_then(Net::served_id);
        Asker::Unproven { bytes: asking.bytes, own: id.map(|id| (id, self.secrets.cookie(asking.from))) }
    }

    pub(super) fn reply(&mut self, cx: &mut Cx, at: usize, asking: &Asking<'_>, reply: Reply<'_>) -> Outcome {
        let reply = Reply { seen: Some(asking.from), ..reply };
        let mut out = cx.buffer();
        let is_written = write_reply(&mut out, asking.exchange, self.asker(at, asking), &reply);
        self.send_reply(cx, asking, is_written, out)
    }

    fn send_reply(&mut self, cx: &mut Cx, asking: &Asking<'_>, is_written: bool, out: Vec<u8>) -> Outcome {
        if !is_written {
            cx.recycle(out);
            return Outcome::Nothing;
        }
        if !self.send_back(cx, asking, out) {
            return Outcome::Nothing;
        }
        cx.stats.dht_replies_out = cx.stats.dht_replies_out.saturating_add(1);
        if let Some(net) = self.nets.iter_mut().find(|net| net.realm == asking.realm) {
            let is_of_table = net.knows(asking.from);
            net.reach.on_replied(asking.from, is_of_table, cx.now);
        }
        Outcome::Done
    }

    /// Says no, to who is proven (spec: DHT-16).
    pub(super) fn deny(&mut self, cx: &mut Cx, asking: &Asking<'_>, denied: Denied) {
        count_refused(cx);
        if asking.is_proven {
            let mut out = cx.buffer();
            write_error(&mut out, asking.exchange, denied);
            self.send_back(cx, asking, out);
        }
    }

    /// Sends to who asked, if there are as many bytes left for it (spec: DHT-73).
    fn send_back(&mut self, cx: &mut Cx, asking: &Asking<'_>, out: Vec<u8>) -> bool {
        let bytes = u32::try_from(out.len()).unwrap_or(u32::MAX);
        let share = self.shares.of(ReplyBytes::good(asking.is_proven), asking.from, asking.realm);
        let is_allowed = self.replies.spend(bytes, asking.is_proven, reply_rate(cx), share, cx.now);
        if is_allowed {
            count_out(cx, out.len());
            cx.actions.push_back(Action::SendDatagram { path: asking.path, packet: Packet::from_vec(out) });
        } else {
            cx.recycle(out);
        }
        is_allowed
    }
}

fn count_refused(cx: &mut Cx) {
    cx.stats.dht_refused = cx.stats.dht_refused.saturating_add(1);
}

const fn per_second(rate: u32) -> Rate {
    Rate { per_second: rate, burst: rate }
}

fn rates(cx: &Cx) -> Rates {
    let of = |rate: u32, secs: u32| Rate { per_second: rate, burst: rate.saturating_mul(secs) };
    Rates {
        address: of(cx.config.dht_requests_per_second, ADDRESS_BURST_SECS),
        group: of(cx.config.dht_group_requests_per_second, GROUP_BURST_SECS),
    }
}

fn reply_rate(cx: &Cx) -> Rate {
    let bytes = cx.config.dht_reply_bytes_per_second;
    Rate { per_second: bytes, burst: bytes.saturating_mul(REPLY_BURST_SECS) }
}
