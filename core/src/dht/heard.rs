//! What becomes of a datagram: others' requests go to `serve`, and replies to whoever asked.

use core::net::SocketAddr;

use super::ask::Whom;
use super::key::Hint;
use super::realm::Realm;
use super::rpc::{Asked, Question};
use super::seek::numbered;
use super::table::{Admission, Answer as Answered, Miss, Rtt};
use super::wire::{self, Answer, Body, Denied, Exchange, Head, Reply};
use super::{Dht, Purpose, id};
use crate::action::Path;
use crate::address::{is_lasting, plain_socket};
use crate::cx::Cx;

/// A reply that counts.
struct Heard<'a> {
    exchange: Exchange,
    asked: Asked<Purpose>,
    /// Who is there: the one who said so now, or in an answer before.
    hint: Option<Hint>,
    rtt: Rtt,
    reply: Reply<'a>,
}

impl Dht {
    /// A datagram has come.
    pub(crate) fn on_datagram(&mut self, cx: &mut Cx, path: Path, bytes: &[u8]) {
        let from = plain_socket(path.remote);
        cx.stats.dht_in = cx.stats.dht_in.saturating_add(1);
        cx.stats.dht_bytes_in = cx.stats.dht_bytes_in.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let realm = Realm::of(from).filter(|_| !self.is_me(from));
        let datagram = realm.and_then(|realm| Some((realm, wire::read(bytes).ok()?)));
        let Some((realm, datagram)) = datagram else { return self.drop_one(cx) };
        let Some(net) = self.net_of(cx, realm, Some(path.local)) else { return self.drop_one(cx) };
        let wire::Datagram { head, body } = datagram;
        match body {
            Body::Request(request) => self.on_request(cx, net, path, bytes.len(), &head, request),
            Body::Reply(reply) => self.on_reply(cx, net, from, &head, reply),
            Body::Denied(denied) => self.on_denied(cx, net, from, &head, denied),
        }
        self.settle(cx);
    }

    fn drop_one(&mut self, cx: &mut Cx) {
        cx.stats.dht_dropped = cx.stats.dht_dropped.saturating_add(1);
    }

    fn on_reply(&mut self, cx: &mut Cx, net: usize, from: SocketAddr, head: &Head, reply: Reply<'_>) {
        let Some((asked, rtt)) = self.flight.answered(head.exchange, from, Some(reply.word()), cx.now) else { return self.drop_one(cx) };
        let is_unfit = head.id.is_some_and(|id| !id::fits(id.hint(), from));
        if is_unfit {
            cx.stats.dht_unfit = cx.stats.dht_unfit.saturating_add(1);
        }
        let id = head.id.filter(|_| !is_unfit);
        let is_other = asked.hint.zip(id).is_some_and(|(hint, id)| id.hint() != hint);
        if is_unfit || is_other {
            return self.on_other(cx, net, asked);
        }
        cx.stats.dht_answered = cx.stats.dht_answered.saturating_add(1);
        if let Some((id, cookie)) = id.zip(head.cookie) {
            self.jar.put(from, id.hint(), *cookie.as_bytes(), cx.now);
            // Either the cookie did not hold, so that the answer had little room, or there was none, and so no token.
            let is_worth_more = asked.has_cookie || asked.is_opening || asked.question.wants_token();
            // An errand goes on when whoever wants it asks again (spec: DHT-133).
            if is_worth_more && !asked.is_renewed && asked.purpose != Purpose::Errand {
                return self.ask_again(cx, net, asked);
            }
        }
        // Whoever showed one that holds gets another before it does not any more (spec: DHT-15, DHT-76).
        if let Some(hint) = asked.hint.filter(|_| asked.has_cookie && id.is_none()) {
            match head.cookie {
                Some(renewed) => self.jar.put(from, hint, *renewed.as_bytes(), cx.now),
                None => self.jar.keep(from, hint, cx.now),
            }
        }
        // Who answers a cold question without an id does not serve; to who shows a cookie nobody says it again.
        let hint = id.map(|id| id.hint()).or(asked.hint.filter(|_| asked.has_cookie || matches!(asked.question, Question::Alive(_))));
        let heard = Heard { exchange: head.exchange, asked, hint, rtt, reply };
        self.note_answer(cx, net, &heard);
        self.hand_on(cx, net, heard);
    }

    /// Somebody else than whom we asked is there, or an id that cannot be (spec: DHT-5, DHT-58).
    fn on_other(&mut self, cx: &mut Cx, at: usize, asked: Asked<Purpose>) {
        let Some(net) = self.nets.get_mut(at) else { return };
        net.table.on_change(asked.to, cx.now);
        net.on_table(cx.now);
        if let Some(hint) = asked.hint {
            self.jar.drop_cookie(asked.to, hint);
            self.on_leaf_gone(cx, at, hint);
        }
        if let Purpose::Seek { number, .. } = asked.purpose
            && let Some(seek) = numbered(&mut self.seeks, number)
        {
            seek.look_up.on_unfit(asked.to);
        } else {
            self.on_no_answer(cx, at, &asked);
        }
    }

    /// With the cookie that has just come it is asked once more (spec: DHT-45).
    fn ask_again(&mut self, cx: &mut Cx, at: usize, mut asked: Asked<Purpose>) {
        asked.begin_again();
        if let Some(asked) = self.send(cx, at, asked) {
            self.on_no_answer(cx, at, &asked);
        }
    }

    /// What an answer says of the network, whatever it was about.
    fn note_answer(&mut self, cx: &mut Cx, at: usize, heard: &Heard<'_>) {
        let Heard { asked, hint, rtt, reply, .. } = heard;
        let from = asked.to;
        let Some(net) = self.nets.get_mut(at) else { return };
        self.silent.on_heard(from);
        net.reach.on_reply(from, reply.seen.filter(|_| net.has_vote(asked)), cx.now);
        net.health.on_reply();
        if net.reach.due(cx.now).is_some_and(|due| due <= cx.now) {
            self.is_dirty = true;
        }
        let Some(hint) = *hint else {
            net.table.on_change(from, cx.now);
            return net.on_table(cx.now);
        };
        let descent = asked.purpose.descent();
        let answered = Answered {
            hint,
            at: from,
            rtt: *rtt,
            by_look_up: matches!(asked.purpose, Purpose::Seek { .. }),
            // Only cold pings are told.
            is_dual: matches!(asked.question, Question::Ping).then_some(reply.other.is_some()),
            descent,
        };
        if matches!(asked.purpose, Purpose::Table { .. }) {
            net.on_probed(false);
        }
        let admission = net.table.on_answer(&answered, cx.now);
        net.again.retain(|(_, again)| *again != from);
        if admission == Admission::Main {
            net.on_table(cx.now);
            net.upkeep.on_contact(cx.now);
            self.is_dirty = true;
        }
        if admission != Admission::Unfit && net.served_id().is_some() {
            net.leaves.offer(hint, from, cx.now);
        }
        net.leaves.on_alive(hint, cx.now, &mut self.rng);
        if let Some(other) = reply.other {
            self.meet_other(cx, at, other);
        }
    }

    /// Somebody serves in the other family too, which is of use to who knows nobody there (spec: DHT-43).
    fn meet_other(&mut self, cx: &mut Cx, at: usize, other: SocketAddr) {
        let Some(realm) = self.nets.get(at).map(|net| net.realm) else { return };
        let is_of = |found: Realm| found.scope == realm.scope && found.is_v6 != realm.is_v6;
        let found = self.nets.iter().position(|net| is_of(net.realm) && net.local.is_some() && net.table.len() < FEW);
        let Some(found) = found.filter(|_| is_lasting(other) && Realm::of(other).is_some_and(is_of)) else { return };
        if !self.flight.is_asked(other) {
            let whom = Whom { at: other, hint: None, rtt: Rtt::UNKNOWN };
            self.ask(cx, found, whom, Question::Ping, Purpose::Other);
        }
    }

    /// Hands an answer to whoever asked.
    fn hand_on(&mut self, cx: &mut Cx, at: usize, heard: Heard<'_>) {
        let Heard { exchange, asked, hint, rtt, reply } = heard;
        match asked.purpose {
            Purpose::Table { .. } | Purpose::Leaf | Purpose::Push | Purpose::Other | Purpose::Where => {}
            Purpose::Errand => self.on_errand(cx, at, &asked, reply.answer == Answer::Knock),
            Purpose::Again { number } => {
                if let (Some(hint), Answer::Get(got)) = (hint, &reply.answer) {
                    self.on_find_reply(cx, number, hint, &asked, got);
                } else {
                    self.on_again_late(number, &asked, true);
                }
            }
            Purpose::Give => self.on_offered(cx, at, &asked, &reply),
            Purpose::Entry(_) => {
                self.entries.on_answer(asked.to, hint.is_some(), &mut self.rng, cx.now);
                if let Some(net) = self.nets.get_mut(at) {
                    net.upkeep.on_contact(cx.now);
                }
                self.is_dirty = true;
            }
            Purpose::Seek { number, .. } => self.on_seek_reply(cx, number, &asked, hint, rtt, &reply),
            Purpose::Hello => self.on_hello(cx, at, exchange, &asked, &reply),
            Purpose::Check(number) => self.on_checked(cx, at, number, &asked, &reply),
            Purpose::Write => self.on_written(cx, &asked, &reply.answer),
            Purpose::Sleep => self.on_slept(cx, asked.to, &reply.answer),
            Purpose::Probe => {
                // A ping that went in its place sent nobody.
                let is_done = reply.answer == Answer::Probe;
                match self.nets.get_mut(at) {
                    Some(net) if is_done => net.reach.on_probe_answer(asked.to, cx.now),
                    Some(net) => net.reach.on_probe_refused(asked.to),
                    None => {}
                }
            }
        }
    }

    /// Somebody has refused what we asked.
    fn on_denied(&mut self, cx: &mut Cx, at: usize, from: SocketAddr, head: &Head, denied: Denied) {
        let Some((asked, _)) = self.flight.answered(head.exchange, from, None, cx.now) else { return self.drop_one(cx) };
        cx.stats.dht_denied = cx.stats.dht_denied.saturating_add(1);
        if let Some(net) = self.nets.get_mut(at) {
            net.health.on_reply();
        }
        if asked.purpose == Purpose::Write {
            self.on_write_denied(cx, &asked, denied);
        } else if asked.purpose == Purpose::Errand {
            self.on_errand_denied(cx, at, &asked);
        } else if let (Purpose::Hello, Some(hint), Some(net)) = (asked.purpose, asked.hint, self.nets.get_mut(at)) {
            net.leaves.on_busy(hint, cx.now);
        } else if let Purpose::Seek { number, .. } = asked.purpose {
            // It is there, but of no use now.
            if let Some(seek) = numbered(&mut self.seeks, number) {
                seek.look_up.on_refused(from);
            }
        } else {
            self.on_no_answer(cx, at, &asked);
        }
        self.is_dirty = true;
    }

    /// Neither a request nor its repetition was answered.
    pub(super) fn on_missed(&mut self, cx: &mut Cx, at: usize, asked: &Asked<Purpose>) {
        cx.stats.dht_missed = cx.stats.dht_missed.saturating_add(1);
        self.silent.on_silent(asked.to, cx.now);
        if let Some(hint) = asked.hint {
            self.jar.drop_cookie(asked.to, hint);
        }
        let Some(net) = self.nets.get_mut(at) else { return };
        // What was asked in one outage is one miss: the next one counts when it has been asked again (spec: DHT-46).
        let is_counted = net.again.iter().any(|(_, again)| *again == asked.to);
        let miss = if is_counted { Miss::Unknown } else { net.table.on_miss(asked.to, cx.now) };
        if matches!(asked.purpose, Purpose::Table { .. }) && miss == Miss::FIRST {
            net.on_probed(true);
        }
        match miss {
            Miss::Again(after) => net.again.push((cx.now + after, asked.to)),
            Miss::Gone => {
                net.on_table(cx.now);
                self.is_dirty = true;
            }
            Miss::Unknown => {}
        }
        let is_of_leaf = asked.purpose == Purpose::Leaf;
        let dead = asked.hint.filter(|_| is_of_leaf).and_then(|hint| net.leaves.on_silent(hint, cx.now));
        if dead.is_some() {
            net.upkeep.on_neighbour_gone(cx.now);
            self.on_leaves(cx, at);
        }
        self.on_no_answer(cx, at, asked);
    }

    /// Whoever asked gets no answer from there.
    pub(super) fn on_no_answer(&mut self, cx: &mut Cx, at: usize, asked: &Asked<Purpose>) {
        match asked.purpose {
            Purpose::Table { .. }
            | Purpose::Entry(_)
            | Purpose::Leaf
            | Purpose::Give
            | Purpose::Errand
            | Purpose::Other
            | Purpose::Where
            | Purpose::Hello => {}
            Purpose::Seek { number, .. } => self.on_seek_miss(number, asked),
            Purpose::Again { number } => self.on_again_late(number, asked, true),
            Purpose::Check(number) => self.on_check_failed(cx, at, number),
            Purpose::Push => {
                if let Some((net, hint)) = self.nets.get_mut(at).zip(asked.hint) {
                    net.repair.on_failed(hint, cx.now);
                }
            }
            Purpose::Write => self.on_write_silent(cx, asked.to),
            Purpose::Sleep => self.on_sleep_silent(cx, asked.to),
            Purpose::Probe => {
                if let Some(net) = self.nets.get_mut(at) {
                    net.reach.on_probe_refused(asked.to);
                }
            }
        }
    }
}

/// Below so many nodes a table takes whom the other family names.
const FEW: usize = 8;
