//! Sending: our own requests, with whatever opens doors at the other end, and within our own budgets.

use core::net::SocketAddr;

use super::budget::{self, EndpointRates};
use super::key::Hint;
use super::proof::Cookie;
use super::rate::Rate;
use super::rpc::{Asked, Question, timeout};
use super::share::Good;
use super::table::Rtt;
use super::wire::{Exchange, Head, Request, write_request};
use super::{Dht, Purpose};
use crate::action::{Action, Packet, Path};
use crate::address::plain_socket;
use crate::cx::Cx;

/// Whom to ask.
#[derive(Clone, Copy)]
pub(super) struct Whom {
    pub(super) at: SocketAddr,
    /// Who is to be there, if that is known.
    pub(super) hint: Option<Hint>,
    pub(super) rtt: Rtt,
}

impl Dht {
    /// Asks somebody something; `false` if that is too much now, or on hearsay of somebody who is silent. Nothing is told then.
    pub(super) fn ask(&mut self, cx: &mut Cx, net: usize, whom: Whom, question: Question, purpose: Purpose) -> bool {
        let at = plain_socket(whom.at);
        // Whoever names our own address would have us wait for ourselves.
        if self.is_me(at) || self.flight.len() >= self.in_flight_max() {
            return false;
        }
        let is_of_table = self.nets.get(net).is_some_and(|net| net.table.find(at).is_some());
        // Of one's own table and entry peers nobody needs to be told (spec: DHT-75).
        let is_hearsay = purpose.is_hearsay() && !is_of_table && self.entries.number(at).is_none();
        if is_hearsay && self.silent.is_silent(at, cx.now) {
            return false;
        }
        let is_known = is_of_table || self.nets.get_mut(net).is_some_and(|net| net.reach.has_contacted(at, cx.now));
        // Entry peers count, but are few, and named by the application.
        if !is_known && !self.may_meet(cx, net, at, purpose) && !matches!(purpose, Purpose::Entry(_)) {
            cx.stats.dht_held_back = cx.stats.dht_held_back.saturating_add(1);
            return false;
        }
        let usual = self.nets.get(net).and_then(|net| net.usual);
        let asked = Asked::new(at, whom.hint, question, purpose, timeout(whom.rtt, usual));
        self.send(cx, net, asked).is_none()
    }

    /// Sends a request, or sends it again; gives it back if nothing went out.
    pub(super) fn send(&mut self, cx: &mut Cx, at: usize, mut asked: Asked<Purpose>) -> Option<Asked<Purpose>> {
        let Some(net) = self.nets.get_mut(at) else { return Some(asked) };
        let exchange = Exchange::from_bytes(self.rng.array());
        let cookie = asked.hint.and_then(|hint| self.jar.get(asked.to, hint, cx.now)).map(Cookie::from_bytes);
        let shows_id = match &asked.question {
            Question::Ping | Question::Put { .. } | Question::Hello(_) | Question::Knock(_) => true,
            Question::Find { .. } | Question::Get { .. } | Question::Offer { .. } => cookie.is_none() || asked.purpose.is_upkeep(),
            Question::Alive(_) | Question::Probe => false,
        };
        let cookie = cookie.filter(|_| !matches!(asked.question, Question::Ping | Question::Alive(_)));
        let head = Head { exchange, id: net.served_id().filter(|_| shows_id), cookie };
        asked.is_opening = asked.question.needs_cookie() && cookie.is_none();
        let request = if asked.is_opening { Request::Ping { to: None } } else { asked.question.request() };
        let mut out = cx.buffer();
        let is_whole = write_request(&mut out, asked.to, &head, &request);
        let Some(local) = net.local.filter(|_| is_whole) else {
            cx.recycle(out);
            return Some(asked);
        };
        asked.has_cookie = cookie.is_some();
        asked.on_sent(exchange, cx.now);
        net.reach.on_sent(asked.to, cx.now);
        net.health.on_request_sent(cx.now);
        count_out(cx, out.len());
        cx.stats.dht_requests_out = cx.stats.dht_requests_out.saturating_add(1);
        cx.actions.push_back(Action::SendDatagram { path: Path { local, remote: asked.to }, packet: Packet::from_vec(out) });
        self.flight.add(asked);
        None
    }

    /// Whether one more address may be spoken to that we never spoke to (spec: DHT-74).
    fn may_meet(&mut self, cx: &Cx, net: usize, at: SocketAddr, purpose: Purpose) -> bool {
        let Some(net) = self.nets.get(net) else { return false };
        let serves = net.served_id().is_some();
        let asked = if purpose == Purpose::Where {
            budget::Asked::ForPlace
        } else if purpose.is_upkeep() {
            budget::Asked::ForUpkeep { serves }
        } else {
            budget::Asked::InLookUp
        };
        let rates = EndpointRates {
            upkeep: Rate { per_second: cx.config.dht_endpoints_per_second, burst: UPKEEP_BURST },
            look_ups: Rate { per_second: cx.config.dht_endpoints_per_second.saturating_mul(4), burst: LOOK_UP_BURST },
        };
        // Others come to who serves, and to who does not know where it is.
        let good = match asked {
            budget::Asked::ForUpkeep { serves: true } => Some(Good::Upkeep),
            budget::Asked::ForPlace => Some(Good::Strangers),
            budget::Asked::ForUpkeep { serves: false } | budget::Asked::InLookUp => None,
        };
        let share = good.and_then(|good| self.shares.of(good, at, net.realm));
        self.endpoints.spend(asked, share, rates, cx.now)
    }

    fn in_flight_max(&self) -> usize {
        if self.nets.iter().any(|net| net.served_id().is_some()) { IN_FLIGHT_SERVER } else { IN_FLIGHT_CLIENT }
    }
}

/// New addresses that upkeep, and look-ups, may speak to at once (spec: DHT-74).
const UPKEEP_BURST: u32 = 60;
const LOOK_UP_BURST: u32 = 96;
/// Requests on their way (spec: DHT-42).
const IN_FLIGHT_SERVER: usize = 512;
const IN_FLIGHT_CLIENT: usize = 128;

/// A datagram goes out.
pub(super) fn count_out(cx: &mut Cx, bytes: usize) {
    cx.stats.dht_bytes_out = cx.stats.dht_bytes_out.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
}
