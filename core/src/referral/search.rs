//! The search for a user through people one is linked with, first version: signed by the searcher, in the clear,
//! answered by the target dialling back (OC-52…OC-63) under the rules of FIND-13.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use serde_json::value::RawValue;

use crate::address::{plain_socket, scope};
use crate::cx::Cx;
use crate::handshake::Own;
use crate::id::{Peer, PipeId, SearchId, UserId, array_from_base64, to_base64};
use crate::identity::{CLOCK_TOLERANCE_MS, Delegation};
use crate::time::Time;
use crate::wire::line::{SearchContent, SearchLine};
use crate::wire::{Limits, signing_bytes, walk};

/// What a searcher's signature begins with (spec: FIND-7).
pub(crate) const LABEL: &str = "overcom/1 search";
/// How long a search is remembered, so that it is passed on once (spec: FIND-9).
const REMEMBERED: Duration = Duration::from_secs(20 * 60);
/// How long answers find their way back (spec: FIND-11).
pub(crate) const CRUMBS: Duration = Duration::from_secs(60);
/// To how many peers a search goes from one node (spec: FIND-10).
const BRANCHES_MAX: usize = 4;
/// Addresses in a search (spec: FIND-7).
const ADDRESSES_MAX: usize = 3;
/// One dial to an address in this time for others (spec: FIND-13).
const SAME_ADDRESS: Duration = Duration::from_secs(10);
/// Dials that wait for one requester (spec: FIND-13).
const WAITING_PER_REQUESTER_MAX: usize = 3;
const MINUTE: Duration = Duration::from_secs(60);

/// The user dials back.
pub(crate) const FOUND: u16 = 200;
/// Passed on.
pub(crate) const PASSED: u16 = 202;
/// Nobody to ask.
pub(crate) const NOBODY: u16 = 404;
/// Too many searches.
pub(crate) const TOO_MANY: u16 = 429;

/// A search that this node has seen.
struct Crumb {
    wanted: UserId,
    /// Where it came from; `None`: it is this node's own.
    from: Option<PipeId>,
    at: Time,
    /// Who was asked and has not given a last answer, at most four.
    asked: Vec<PipeId>,
    answered: bool,
}

/// A search whose form and signature are right.
pub(crate) struct Checked {
    pub(crate) id: SearchId,
    pub(crate) wanted: UserId,
    pub(crate) searcher: Delegation,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) budget: u32,
}

/// What a user has spent in the present minute.
struct Spent {
    since: Time,
    units: u32,
}

#[derive(Default)]
pub(crate) struct Searches {
    crumbs: BTreeMap<SearchId, Crumb>,
    order: VecDeque<SearchId>,
    /// By whom, whatever link they are on: a new link brings no new units.
    spent: BTreeMap<UserId, Spent>,
    /// Dials for others: when, whereto, for whom.
    dials: VecDeque<(Time, SocketAddr, UserId)>,
}

/// A signed search, ready to be said to several peers.
pub(crate) struct Signed {
    pub(crate) id: SearchId,
    content: alloc::boxed::Box<RawValue>,
    signature: alloc::string::String,
}

impl Searches {
    /// Signs a search of this node's own.
    pub(crate) fn sign(&mut self, cx: &mut Cx, own: &Own, wanted: UserId, addresses: Vec<SocketAddr>) -> Option<Signed> {
        let id = SearchId::from_bytes(cx.rng.array());
        let content = SearchContent { id, wanted, addresses, time: cx.wall };
        let text = serde_json::to_string(&content).ok()?;
        let signature = own.credentials.sign(&cx.config.crypto, &signing_bytes(LABEL, &[text.as_bytes()]));
        self.remember(cx, id, wanted, None);
        Some(Signed { id, content: RawValue::from_string(text).ok()?, signature: to_base64(&signature) })
    }

    /// Reads and checks a search that came on a link. `Err`: the status to answer, `None` for silence (spec: FIND-8).
    pub(crate) fn check(
        &mut self,
        cx: &mut Cx,
        own: &mut Own,
        from: (UserId, PipeId),
        line: &SearchLine<'_>,
    ) -> Result<Checked, Option<u16>> {
        let (user, pipe) = from;
        if !self.pay(cx, user, 1) {
            cx.stats.searches_dropped = cx.stats.searches_dropped.saturating_add(1);
            return Err(Some(TOO_MANY));
        }
        let bytes = line.content.get().as_bytes();
        walk(bytes, Limits::CONTENT).map_err(|_| None)?;
        let content: SearchContent = serde_json::from_slice(bytes).map_err(|_| None)?;
        if self.crumbs.contains_key(&content.id) {
            cx.stats.searches_dropped = cx.stats.searches_dropped.saturating_add(1);
            return Err(Some(PASSED));
        }
        let age = cx.wall.as_millis().abs_diff(content.time.as_millis());
        if age > CLOCK_TOLERANCE_MS || content.addresses.len() > ADDRESSES_MAX {
            return Err(None);
        }
        own.check(&line.delegation, &cx.config, cx.wall, &mut cx.stats.signatures_checked).map_err(|_| None)?;
        let signature = array_from_base64::<64>(&line.signature).map_err(|_| None)?;
        cx.stats.signatures_checked = cx.stats.signatures_checked.saturating_add(1);
        if !cx.config.crypto.verify(line.delegation.signing(), &signing_bytes(LABEL, &[bytes]), &signature) {
            return Err(None);
        }
        self.remember(cx, content.id, content.wanted, Some(pipe));
        let budget = line.budget.min(cx.config.search_units);
        Ok(Checked { id: content.id, wanted: content.wanted, searcher: line.delegation.clone(), addresses: content.addresses, budget })
    }

    /// To whom a search goes, and with how much budget each: the nearest linked peers, not back where it came from (spec: FIND-10).
    pub(crate) fn branches(
        wanted: UserId,
        searcher: UserId,
        from: Option<PipeId>,
        budget: u32,
        peers: impl Iterator<Item = (Peer, PipeId)>,
    ) -> Vec<(PipeId, u32)> {
        let mut near: Vec<(UserId, PipeId)> =
            peers.filter(|(peer, pipe)| Some(*pipe) != from && peer.user != searcher).map(|(peer, pipe)| (peer.user, pipe)).collect();
        near.sort_by_key(|(user, pipe)| (distance(*user, wanted), *pipe));
        near.truncate(BRANCHES_MAX.min(budget as usize));
        let (count, left) = (u32::try_from(near.len()).unwrap_or(1).max(1), budget);
        // The nearest one gets what cannot be shared evenly.
        near.iter().enumerate().map(|(at, (_, pipe))| (*pipe, left / count + u32::from(at == 0) * (left % count))).collect()
    }

    /// To whom a search goes from here: only they may answer it.
    pub(crate) fn on_passed(&mut self, id: SearchId, branches: &[(PipeId, u32)]) {
        if let Some(crumb) = self.crumbs.get_mut(&id) {
            crumb.asked = branches.iter().map(|(pipe, _)| *pipe).collect();
        }
    }

    /// An answer came on `pipe`. Whose it is: the pipe to tell, or the user that this node looks for; and what to tell.
    /// What nobody asked for is counted (spec: FIND-16).
    pub(crate) fn on_answer(&mut self, cx: &mut Cx, pipe: PipeId, id: SearchId, status: u16) -> Option<(Result<PipeId, UserId>, u16)> {
        let now = cx.now;
        let open = self.crumbs.get_mut(&id).filter(|crumb| now.since(crumb.at) <= CRUMBS && !crumb.answered);
        let asked = open.and_then(|crumb| crumb.asked.iter().position(|asked| *asked == pipe).map(|at| (crumb, at)));
        let Some((crumb, at)) = asked else {
            cx.stats.search_answers_dropped = cx.stats.search_answers_dropped.saturating_add(1);
            return None;
        };
        if status == PASSED {
            return crumb.from.is_none().then_some((Err(crumb.wanted), PASSED));
        }
        crumb.asked.swap_remove(at);
        if status != FOUND && !crumb.asked.is_empty() {
            return None;
        }
        crumb.answered = true;
        let whose = crumb.from.ok_or(crumb.wanted);
        Some((whose, if status == FOUND { FOUND } else { NOBODY }))
    }

    /// Where a searcher may be dialled for its search that came over `via`; counts the dials (spec: FIND-13).
    pub(crate) fn may_dial(&mut self, cx: &mut Cx, searcher: UserId, via: SocketAddr, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let now = cx.now;
        while self.dials.front().is_some_and(|(at, ..)| now.since(*at) > MINUTE) {
            self.dials.pop_front();
        }
        let mut allowed = Vec::new();
        for address in addresses.iter().map(|address| plain_socket(*address)) {
            let waiting = self.dials.iter().filter(|(at, _, who)| *who == searcher && now.since(*at) <= SAME_ADDRESS).count();
            let is_same = self.dials.iter().any(|(at, to, _)| *to == address && now.since(*at) <= SAME_ADDRESS);
            let in_scope = scope(address).is_some() && scope(address) == scope(plain_socket(via));
            if in_scope
                && !is_same
                && waiting < WAITING_PER_REQUESTER_MAX
                && self.dials.len() < cx.config.dials_for_others_per_minute as usize
            {
                self.dials.push_back((now, address, searcher));
                allowed.push(address);
            } else {
                cx.stats.dials_refused = cx.stats.dials_refused.saturating_add(1);
            }
        }
        allowed
    }

    /// Spends units of a user's minute (spec: FIND-12).
    pub(crate) fn pay(&mut self, cx: &Cx, user: UserId, units: u32) -> bool {
        let now = cx.now;
        // Who left keeps an entry for the rest of the minute; twice as many as there may be links.
        let spent_max = 2 * cx.config.links_user_max as usize;
        if self.spent.len() >= spent_max && !self.spent.contains_key(&user) {
            self.spent.retain(|_, spent| now.since(spent.since) < MINUTE);
            let oldest = self.spent.iter().min_by_key(|(_, spent)| spent.since).map(|(user, _)| *user);
            if let Some(oldest) = oldest.filter(|_| self.spent.len() >= spent_max) {
                self.spent.remove(&oldest);
            }
        }
        let spent = self.spent.entry(user).or_insert(Spent { since: now, units: 0 });
        if now.since(spent.since) >= MINUTE {
            *spent = Spent { since: now, units: 0 };
        }
        if spent.units.saturating_add(units) > cx.config.search_units_per_minute {
            return false;
        }
        spent.units = spent.units.saturating_add(units);
        true
    }

    /// How many searches are remembered.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.crumbs.len().max(self.order.len())
    }

    /// How many searches of this node's own are remembered: each was signed once.
    #[cfg(test)]
    pub(crate) fn signed(&self) -> usize {
        self.crumbs.values().filter(|crumb| crumb.from.is_none()).count()
    }

    fn remember(&mut self, cx: &Cx, id: SearchId, wanted: UserId, from: Option<PipeId>) {
        while let Some(oldest) = self.order.front() {
            let is_old = self.crumbs.get(oldest).is_none_or(|crumb| cx.now.since(crumb.at) > REMEMBERED);
            if !is_old && self.order.len() < cx.config.searches_max as usize {
                break;
            }
            self.crumbs.remove(oldest);
            self.order.pop_front();
        }
        self.crumbs.insert(id, Crumb { wanted, from, at: cx.now, asked: Vec::new(), answered: false });
        self.order.push_back(id);
    }
}

impl Signed {
    /// The line for one peer.
    pub(crate) fn line(&self, delegation: &Delegation, budget: u32) -> SearchLine<'_> {
        SearchLine { budget, content: &self.content, signature: self.signature.clone(), delegation: delegation.clone() }
    }
}

/// Where this node can be dialled, as far as it can tell: what the shell says, and how links see this end.
pub(crate) fn own_addresses(listening: &[SocketAddr], links: impl Iterator<Item = IpAddr>) -> Vec<SocketAddr> {
    let Some(port) = listening.first().map(SocketAddr::port) else { return Vec::new() };
    let seen = links.map(|local| SocketAddr::new(local, port));
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in seen.chain(listening.iter().copied()).map(plain_socket) {
        if scope(address).is_some() && !found.contains(&address) && found.len() < ADDRESSES_MAX {
            found.push(address);
        }
    }
    found
}

/// How far two users are apart: the exclusive or of their ids, as a number.
fn distance(a: UserId, b: UserId) -> [u8; 32] {
    let mut out = [0; 32];
    for (slot, (x, y)) in out.iter_mut().zip(a.as_bytes().iter().zip(b.as_bytes())) {
        *slot = x ^ y;
    }
    out
}
