//! From "something waits for a user" to a link with them: dial what is known, search through people, try again later.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::Parts;
use crate::command::{Address, Entry};
use crate::handshake::Want;
use crate::id::{Peer, PipeId, UserId};
use crate::notice::{FailReason, Notice};
use crate::outbox::GiveUp;
use crate::referral::book::User;
use crate::referral::dial::Target;
use crate::referral::search::{self, Searches};
use crate::timer::TimerKey;
use crate::trace::Said;
use crate::view::Phase;
use crate::wire::line::Line;

/// People that are dialled so as to ask them, when nobody is linked (spec: FIND-15).
const ASKED_BY_DIAL_MAX: usize = 4;
/// Users that are sought in one call, as many as timers run in one; the others follow after the first wait (C7).
const SOUGHT_AT_ONCE_MAX: usize = 1_024;
/// The longest wait between two dials of an entry peer (guess: as a stored message's) (spec: FIND-6).
const ENTRY_WAIT_MAX: Duration = Duration::from_secs(300);

impl Parts {
    /// Something waits for `user`: tries at once, and again until nothing waits any more.
    pub(super) fn seek(&mut self, user: UserId) {
        if self.begin(user, 0) {
            self.attempt(user);
        }
    }

    /// A link with `user` fell as soon as it was up: tries go on where they stood, so that who lets itself be dialled and
    /// then refuses is not dialled in a loop (spec: MSG-16).
    pub(super) fn seek_again(&mut self, user: UserId) {
        let spent = self.book.user(user).map_or(0, |known| known.spent);
        self.begin(user, spent);
    }

    /// Waits for the try after so many. `false`: it waits already, or must not.
    fn begin(&mut self, user: UserId, tries: u32) -> bool {
        if !matches!(self.phase, Phase::Running) {
            return false;
        }
        let wait = self.wait(tries);
        let Some(known) = self.book.user_mut(&mut self.cx, user).filter(|known| known.tries.is_none()) else { return false };
        (known.tries, known.spent) = (Some(tries), tries);
        self.cx.timers.set(TimerKey::Retry(user), self.cx.now + wait);
        true
    }

    /// Tries from the beginning: something has changed that may help.
    pub(super) fn seek_anew(&mut self, user: UserId) {
        self.stop_seeking(user);
        self.seek(user);
    }

    /// Nothing waits for `user` any more, or nothing can be done.
    pub(super) fn stop_seeking(&mut self, user: UserId) {
        if let Some(known) = self.book.known_mut(user) {
            known.tries = None;
        }
        self.cx.timers.cancel(TimerKey::Retry(user));
        let _ = self.dials.finish(&mut self.cx, Target::User(user));
        self.stop_looking(user);
    }

    /// Everything that waits is tried: after a start, a wake, or new addresses of one's own.
    pub(super) fn seek_all(&mut self) {
        let mut users = self.outbox.users();
        users.extend(self.joins.users());
        users.extend(self.sought());
        users.retain(|user| self.is_wanted(*user));
        self.dials.finish_all(&mut self.cx, users.iter().flat_map(targets));
        for (at, user) in users.into_iter().enumerate() {
            self.stop_seeking(user);
            if self.begin(user, 0) && at < SOUGHT_AT_ONCE_MAX {
                self.attempt(user);
            }
        }
        for at in 0..u32::try_from(self.book.entries.len()).unwrap_or(0) {
            self.dial_entry(at);
        }
    }

    /// Whom finds wait for.
    fn sought(&self) -> impl Iterator<Item = UserId> + '_ {
        self.book.users().filter(|(_, known)| !known.finds.is_empty()).map(|(user, _)| *user)
    }

    /// Whether anything needs a link with `user`.
    pub(super) fn is_wanted(&self, user: UserId) -> bool {
        self.outbox.is_stuck(user) || self.book.user(user).is_some_and(|known| !known.finds.is_empty()) || self.is_join_stuck(user)
    }

    /// Dials what is known of `user`, or looks and searches for them (spec: FIND-4). Whoever is still being dialled at the next
    /// try may be elsewhere: the DHT is asked meanwhile (spec: DHT-165).
    fn attempt(&mut self, user: UserId) {
        if self.dials.is_dialling(Target::User(user)) {
            return self.look_up(user);
        }
        let addresses: Vec<Address> = self.book.user(user).map(addresses).unwrap_or_default();
        if addresses.is_empty() {
            self.look_up(user);
            self.search(user, None);
        } else {
            self.dials.start(&mut self.cx, Target::User(user), addresses);
        }
    }

    /// Every address of `user` was tried in vain.
    pub(super) fn on_unreachable(&mut self, user: UserId) {
        if self.is_wanted(user) {
            self.look_up(user);
            self.search(user, None);
        }
    }

    /// How long until the next try for a user, after so many (spec: MSG-13).
    fn wait(&self, tries: u32) -> Duration {
        if tries > self.cx.config.retries { Duration::from_millis(u64::from(self.cx.config.retry_ms_disk)) } else { self.doubled(tries) }
    }

    fn doubled(&self, times: u32) -> Duration {
        let first = Duration::from_millis(u64::from(self.cx.config.retry_ms_first));
        first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX))
    }

    /// The time for another try has come (spec: MSG-13).
    pub(super) fn on_retry(&mut self, user: UserId) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let tries = self.book.user(user).and_then(|known| known.tries);
        let Some(tries) = tries.filter(|_| self.is_wanted(user)) else { return self.stop_seeking(user) };
        let tries = tries.saturating_add(1);
        if let Some(known) = self.book.known_mut(user) {
            (known.tries, known.spent) = (Some(tries), tries);
        }
        if tries > self.cx.config.retries {
            self.give_up_in_ram(user);
            if !self.is_wanted(user) {
                return self.stop_seeking(user);
            }
        }
        self.cx.timers.set(TimerKey::Retry(user), self.cx.now + self.wait(tries));
        self.outbox.on_try(user);
        self.attempt(user);
    }

    /// The life of a message is over (spec: MSG-14).
    pub(super) fn on_ends(&mut self, user: UserId) {
        if self.is_stopped() {
            return;
        }
        self.outbox.give_up(&mut self.cx, user, GiveUp::Ended);
        let linked: Vec<Peer> = self.links.devices_of(user).collect();
        for peer in linked {
            self.pump(peer);
        }
        let is_sought = self.book.user(user).is_some_and(|known| known.tries.is_some());
        if is_sought && !self.is_wanted(user) {
            self.stop_seeking(user);
        }
    }

    /// Three retries were in vain: what is only in RAM fails, and so do finds.
    fn give_up_in_ram(&mut self, user: UserId) {
        let why = self.reason(user);
        self.outbox.give_up(&mut self.cx, user, GiveUp::InRam(why));
        self.fail_finds(user, why);
        if self.is_join_stuck(user) {
            self.fail_joins(user, why);
        }
    }

    fn fail_finds(&mut self, user: UserId, why: FailReason) {
        let finds = self.book.known_mut(user).map(|known| {
            known.failure = Some(why);
            core::mem::take(&mut known.finds)
        });
        for tag in finds.unwrap_or_default() {
            self.cx.notify(Notice::Failed { tag, why });
        }
    }

    /// Nobody else can be asked: if this was the last try, that is the verdict.
    pub(super) fn on_search_over(&mut self, user: UserId) {
        let is_last = self.book.user(user).and_then(|known| known.tries).is_some_and(|tries| tries >= self.cx.config.retries);
        if is_last && !self.dials.is_dialling(Target::User(user)) && !self.is_looked_up(user) {
            self.give_up_in_ram(user);
        }
    }

    /// Searches for `wanted` through people one is linked with, or through one new link; dials people to ask if there is none.
    pub(super) fn search(&mut self, wanted: UserId, only: Option<PipeId>) {
        let me = self.me().user;
        let mut is_somebody = false;
        // Who has not read the last ones is not asked more: the next try comes by itself.
        let peers = self.links.peers().filter(|(peer, pipe)| {
            let is_askable = peer.user != wanted && only.is_none_or(|only| only == *pipe);
            is_somebody |= is_askable;
            is_askable && self.links.has_room(&self.cx.config, *pipe)
        });
        let branches = Searches::branches(wanted, me, None, self.cx.config.search_units, peers);
        if branches.is_empty() && is_somebody {
            return;
        }
        if branches.is_empty() {
            if only.is_none() && !self.dial_someone_to_ask(wanted) {
                self.on_search_over(wanted);
            }
            return;
        }
        let locals: Vec<IpAddr> = branches.iter().filter_map(|(pipe, _)| self.links.ends(*pipe)).map(|(local, _)| local).collect();
        let addresses = search::own_addresses(&self.listening, locals.into_iter());
        let Some(signed) = self.searches.sign(&mut self.cx, &self.own, wanted, addresses) else { return };
        let asked = u32::try_from(branches.len()).unwrap_or(u32::MAX);
        self.searches.on_passed(signed.id, &branches);
        self.book.on_search(wanted, self.cx.now, asked);
        let delegation = self.own.credentials.delegation().clone();
        for (pipe, budget) in branches {
            let line = signed.line(&delegation, budget);
            self.links.say(&mut self.cx, pipe, &Line::Search(line), || Said::Search { wanted, searcher: me });
        }
    }

    /// Dials people of the address book so as to ask them. `false`: there is nobody (spec: FIND-15). Who is sought themselves
    /// is dialled at the times of their own tries: two who do not answer would have each other dialled without a pause.
    fn dial_someone_to_ask(&mut self, wanted: UserId) -> bool {
        let me = self.me().user;
        let others = self
            .book
            .users()
            .filter(|(user, known)| **user != wanted && **user != me && known.tries.is_none() && !known.addresses.is_empty());
        let people: Vec<(UserId, Vec<Address>)> = others.take(ASKED_BY_DIAL_MAX).map(|(user, known)| (*user, addresses(known))).collect();
        let is_somebody = !people.is_empty();
        for (user, addresses) in people {
            self.dials.start(&mut self.cx, Target::User(user), addresses);
        }
        is_somebody
    }

    /// A new link: whoever is wanted and not there yet is searched for through it.
    pub(super) fn search_through(&mut self, pipe: PipeId) {
        // Whoever is sought has a timer; the book holds many more, and every link that comes up asks.
        let is_sought = |user: &UserId| self.book.user(*user).is_some_and(|known| known.tries.is_some());
        let wanted: Vec<UserId> = self.cx.timers.users().filter(is_sought).collect();
        for user in wanted {
            if !self.links.has_room(&self.cx.config, pipe) {
                // The others are searched for at their next try.
                return;
            }
            if self.is_wanted(user) && !self.dials.is_dialling(Target::User(user)) {
                self.search(user, Some(pipe));
            }
        }
    }

    /// A search came on a link (spec: FIND-11).
    pub(super) fn on_search(&mut self, pipe: PipeId, text: &str) {
        let Ok(Line::Search(line)) = Line::parse(text) else { return };
        let Some(peer) = self.user_on(pipe) else { return };
        let checked = match self.searches.check(&mut self.cx, &mut self.own, (peer.user, pipe), &line) {
            Ok(checked) => checked,
            Err(Some(status)) => return self.answer_content(pipe, &line, status),
            Err(None) => {
                self.cx.stats.searches_dropped = self.cx.stats.searches_dropped.saturating_add(1);
                return;
            }
        };
        let with = self.links.link(pipe).map(|link| link.with);
        let (wanted, searcher) = (checked.wanted, checked.searcher.user());
        self.cx.saw(with, false, || Said::Search { wanted, searcher });
        if wanted == self.me().user {
            self.on_wanted(pipe, &checked);
            return;
        }
        let peers = self.links.peers().filter(|(_, pipe)| self.links.has_room(&self.cx.config, *pipe));
        let branches = Searches::branches(wanted, searcher, Some(pipe), checked.budget.saturating_sub(1), peers);
        if branches.is_empty() {
            self.cx.stats.searches_dropped = self.cx.stats.searches_dropped.saturating_add(1);
            self.answer(pipe, checked.id, search::NOBODY);
            return;
        }
        self.cx.stats.searches_passed = self.cx.stats.searches_passed.saturating_add(1);
        self.searches.on_passed(checked.id, &branches);
        for (to, budget) in branches {
            let onward = crate::wire::line::SearchLine {
                budget,
                content: line.content,
                signature: line.signature.clone(),
                delegation: line.delegation.clone(),
            };
            self.links.say(&mut self.cx, to, &Line::Search(onward), || Said::Search { wanted, searcher });
        }
        self.answer(pipe, checked.id, search::PASSED);
    }

    /// This node's user is looked for: dials the searcher, if the rules allow it (OC-57, OC-58) (spec: FIND-14).
    fn on_wanted(&mut self, pipe: PipeId, checked: &search::Checked) {
        let by = checked.searcher.peer();
        if self.links.of(by).is_some() {
            return self.answer(pipe, checked.id, search::FOUND);
        }
        let Some((_, via)) = self.links.ends(pipe) else { return };
        let allowed = self.searches.may_dial(&mut self.cx, by.user, via, &checked.addresses);
        if allowed.is_empty() {
            return self.answer(pipe, checked.id, search::NOBODY);
        }
        self.cx.notify(Notice::Wanted { by, search: checked.id });
        self.book.on_proven(&mut self.cx, &checked.searcher);
        self.answer(pipe, checked.id, search::FOUND);
        self.dials.start(&mut self.cx, Target::User(by.user), allowed.into_iter().map(Address::Ip));
    }

    fn answer_content(&mut self, pipe: PipeId, line: &crate::wire::line::SearchLine<'_>, status: u16) {
        if let Ok(content) = serde_json::from_str::<crate::wire::line::SearchContent>(line.content.get()) {
            self.answer(pipe, content.id, status);
        }
    }

    fn answer(&mut self, pipe: PipeId, id: crate::id::SearchId, status: u16) {
        let answer = crate::wire::line::SearchAnswer { id, status };
        self.links.say(&mut self.cx, pipe, &Line::SearchAnswer(answer), || Said::SearchAnswer { status });
    }

    /// A search's answer came: told on, or taken to heart.
    pub(super) fn on_search_answer(&mut self, pipe: PipeId, id: crate::id::SearchId, status: u16) {
        match self.searches.on_answer(&mut self.cx, pipe, id, status) {
            None => {}
            Some((Ok(pipe), status)) => self.answer(pipe, id, status),
            Some((Err(user), status)) => {
                self.book.on_answer(user, status);
                if status == search::NOBODY {
                    self.on_search_over(user);
                }
            }
        }
    }

    /// What the dialler of a target must know of it.
    pub(super) fn want_of(&self, target: Target) -> Want {
        match target {
            Target::User(user) => {
                let known = self.book.user(user).map(|known| known.devices.iter().cloned().collect()).unwrap_or_default();
                Want::User { user, known }
            }
            Target::Found(user) => {
                // What the DHT has shown saves a round trip, as what is remembered does.
                let book = self.book.user(user).into_iter().flat_map(|known| known.devices.iter());
                let found = self.found_delegations(user).iter();
                Want::User { user, known: found.chain(book).take(self.cx.config.devices_per_user_max as usize).cloned().collect() }
            }
            Target::Entry(at) => Want::Service { key: self.book.entries.get(at as usize).and_then(|peer| peer.entry.key) },
            Target::Home(_) | Target::Claim(_) => Want::Service { key: None },
        }
    }

    /// Puts new entry peers in the place of the old ones.
    pub(super) fn set_entries(&mut self, entries: Vec<Entry>) {
        for at in 0..u32::try_from(self.book.entries.len()).unwrap_or(0) {
            let _ = self.dials.finish(&mut self.cx, Target::Entry(at));
            self.cx.timers.cancel(TimerKey::Entry(at));
        }
        self.book.set_entries(&mut self.cx, entries);
        self.on_entries();
        for at in 0..u32::try_from(self.book.entries.len()).unwrap_or(0) {
            self.dial_entry(at);
        }
    }

    /// Dials an entry peer, unless it is linked.
    pub(super) fn dial_entry(&mut self, at: u32) {
        if let Some(peer) = self.book.entries.get(at as usize).filter(|peer| !peer.linked)
            && matches!(self.phase, Phase::Running)
            && at < self.cx.config.links_service_out_max
        {
            let address = peer.entry.address.clone();
            self.dials.start(&mut self.cx, Target::Entry(at), [address]);
        }
    }

    /// An entry peer is not there, or not any more: later again, and from the start if its link was `steady` (spec: FIND-6).
    pub(super) fn on_entry_lost(&mut self, at: u32, steady: bool) {
        if let Some(peer) = self.book.entries.get_mut(at as usize) {
            peer.linked = false;
            let tries = if steady { 0 } else { peer.tries };
            peer.tries = tries.saturating_add(1);
            let wait = self.doubled(tries).min(ENTRY_WAIT_MAX);
            self.cx.timers.set(TimerKey::Entry(at), self.cx.now + wait);
        }
    }

    /// A find has come to its end.
    pub(super) fn on_found(&mut self, peer: Peer) {
        let finds = self.book.known_mut(peer.user).map(|known| {
            known.failure = None;
            core::mem::take(&mut known.finds)
        });
        for tag in finds.unwrap_or_default() {
            self.cx.notify(Notice::Found { tag, peer });
        }
        if !self.outbox.is_stuck(peer.user) {
            self.stop_seeking(peer.user);
        } else {
            let _ = self.dials.finish(&mut self.cx, Target::User(peer.user));
            self.stop_looking(peer.user);
        }
    }

    /// The delegation has ended: what waits only in RAM fails, finds too.
    pub(super) fn give_up_expired(&mut self) {
        let mut users = self.outbox.users();
        users.extend(self.sought());
        self.dials.finish_all(&mut self.cx, users.iter().flat_map(targets));
        for user in users {
            self.outbox.give_up(&mut self.cx, user, GiveUp::InRam(FailReason::Expired));
            self.fail_finds(user, FailReason::Expired);
            self.stop_seeking(user);
        }
    }
}

/// Every round of dials that a user may have.
const fn targets(user: &UserId) -> [Target; 2] {
    [Target::User(*user), Target::Found(*user)]
}

fn addresses(known: &User) -> Vec<Address> {
    known.addresses.iter().map(|view| view.address.clone()).collect()
}
