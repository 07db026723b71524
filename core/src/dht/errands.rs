//! Probes that others have asked for, each until whoever was sent to knock says that it has (spec: DHT-133).

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::ask::Whom;
use super::knock;
use super::rpc::{Asked, Question};
use super::serve::{Asking, Outcome};
use super::table::Entry;
use super::wire::{Answer, Denied, Exchange, Reply, Request};
use super::{Dht, Purpose};
use crate::action::Path;
use crate::address::group;
use crate::cx::Cx;
use crate::time::Time;

/// More are refused for the time being (guess: a server's neighbours start within a second once a year).
const ERRANDS_MAX: usize = 16;
/// Whoever asks has given up by then: a time-out and a repetition are 3 s at most.
const LENGTH: Duration = Duration::from_secs(5);

/// Somebody wants to be knocked at.
struct Sent {
    /// Where, and whence it was asked.
    path: Path,
    asker: SocketAddr,
    /// Of the last time it was asked.
    exchange: Exchange,
    /// Who goes.
    to: Entry,
    has_knocked: bool,
    until: Time,
}

/// Those that go on, at most 16. No heap when there are none.
#[derive(Default)]
pub(super) struct Errands {
    sent: Vec<Sent>,
}

impl Errands {
    /// Bytes of heap.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.sent.capacity().saturating_mul(size_of::<Sent>())
    }

    fn forget(&mut self, now: Time) {
        self.sent.retain(|sent| sent.until > now);
        if self.sent.is_empty() {
            self.sent = Vec::new();
        }
    }
}

impl Dht {
    /// Has somebody knock at the asker's address, for each datagram that asks for it with one of its own: a `ping` as long as
    /// no cookie is there, then the `knock`. It is answered when that is obeyed.
    pub(super) fn answer_probe(&mut self, cx: &mut Cx, at: usize, asking: &Asking<'_>) -> Outcome {
        self.errands.forget(cx.now);
        if !self.errands.sent.iter().any(|sent| sent.asker == asking.from) {
            if self.errands.sent.len() >= ERRANDS_MAX {
                return Outcome::Denied(Denied::Busy { wait: 1 });
            }
            let Some(to) = self.knocker(cx, at, asking.from) else { return Outcome::Denied(Denied::Busy { wait: 60 }) };
            let (path, exchange) = (asking.path, asking.exchange);
            self.errands.sent.push(Sent { path, asker: asking.from, exchange, to, has_knocked: false, until: cx.now + LENGTH });
        }
        let Some(sent) = self.errands.sent.iter_mut().find(|sent| sent.asker == asking.from) else { return Outcome::Nothing };
        (sent.path, sent.exchange) = (asking.path, asking.exchange);
        if sent.has_knocked {
            return self.reply(cx, at, asking, Reply::new(Answer::Probe));
        }
        let whom = Whom { at: sent.to.at, hint: Some(sent.to.hint), rtt: sent.to.rtt };
        let is_on_way = self.flight.any(|asked| asked.purpose == Purpose::Errand && asked.question.is_knock_at(asking.from));
        if is_on_way || self.ask(cx, at, whom, Question::Knock(asking.from), Purpose::Errand) {
            Outcome::Done
        } else {
            self.errands.sent.retain(|sent| sent.asker != asking.from);
            Outcome::Denied(Denied::Busy { wait: 1 })
        }
    }

    /// Whom to send: somebody who knows this node too, since it would not go for anybody else, and so a leaf, if there is
    /// one; of those that will do one who has given a cookie.
    fn knocker(&mut self, cx: &Cx, at: usize, asker: SocketAddr) -> Option<Entry> {
        let net = self.nets.get(at)?;
        let except = [group(asker), group(net.reach.address().unwrap_or(asker))];
        let leaves: Vec<Entry> = net.leaves.leaves().filter_map(|leaf| net.table.find(leaf.at)).collect();
        let is_open = |entry: &Entry| self.jar.get(entry.at, entry.hint, cx.now).is_some();
        let open: Vec<Entry> = leaves.iter().copied().filter(is_open).collect();
        let mut pick = |nodes: &[Entry]| knock::pick(nodes.iter().copied(), &except, &mut self.rng);
        pick(&open).or_else(|| pick(&leaves)).or_else(|| knock::pick(net.table.mains(), &except, &mut self.rng))
    }

    /// Whoever was sent has answered: that it goes, or first with a cookie.
    pub(super) fn on_errand(&mut self, cx: &mut Cx, at: usize, asked: &Asked<Purpose>, has_knocked: bool) {
        let Some(sent) = self.errand_of(asked).filter(|_| has_knocked) else { return };
        sent.has_knocked = true;
        self.end_errand(cx, at, asked, None);
    }

    /// It does not go.
    pub(super) fn on_errand_denied(&mut self, cx: &mut Cx, at: usize, asked: &Asked<Purpose>) {
        self.end_errand(cx, at, asked, Some(Denied::Busy { wait: 10 }));
        self.errands.sent.retain(|sent| !asked.question.is_knock_at(sent.asker));
    }

    fn errand_of(&mut self, asked: &Asked<Purpose>) -> Option<&mut Sent> {
        self.errands.sent.iter_mut().find(|sent| asked.question.is_knock_at(sent.asker))
    }

    /// Says to whoever asked what came of it.
    fn end_errand(&mut self, cx: &mut Cx, at: usize, asked: &Asked<Purpose>, denied: Option<Denied>) {
        let Some(realm) = self.nets.get(at).map(|net| net.realm) else { return };
        let Some(&mut Sent { path, asker: from, exchange, .. }) = self.errand_of(asked) else { return };
        // Nobody else's probe is taken at all.
        let renewed = Some(self.secrets.cookie(from));
        let asking = Asking { path, from, realm, exchange, hint: None, is_proven: true, renewed, bytes: 0, request: Request::Probe };
        match denied {
            Some(denied) => self.deny(cx, &asking, denied),
            None => drop(self.reply(cx, at, &asking, Reply::new(Answer::Probe))),
        }
    }
}
