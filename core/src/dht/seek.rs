//! Look-ups that go on: whom they want to ask is asked, what comes back is handed to them, and their end to who began them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;

use super::ask::Whom;
use super::find::{self, Finding};
use super::home::Name;
use super::key::{Hint, Key};
use super::lookup::{Ask, End, FAIR_MAX, LookUp, SEEDS_MAX, Start, Wants};
use super::proof::Token;
use super::realm::Realm;
use super::rpc::{Asked, Question};
use super::table::{Entry, Mode, Places, Rtt, Wanted};
use super::told::Told;
use super::wire::{Answer, Contact, Kind, Reply};
use super::{Dht, Purpose};
use crate::cx::Cx;
use crate::id::Tag;
use crate::time::Time;
use crate::wire::INTEGER_MAX;

/// A look-up that goes on.
pub(super) struct Seek {
    pub(super) number: u32,
    /// In which realm, by its place.
    pub(super) net: usize,
    pub(super) target: Key,
    pub(super) goal: Goal,
    pub(super) look_up: LookUp,
}

impl Seek {
    /// When it has something to say without anything happening.
    pub(super) fn due(&self) -> Option<Time> {
        if let Goal::Find(_, finding) = &self.goal { finding.due(&self.look_up) } else { Some(self.look_up.due()) }
    }
}

/// What it is for.
pub(super) enum Goal {
    /// The table around the own id.
    Own,
    /// The table far away.
    Far,
    /// Whom to give the own records; with the tokens that were given.
    Publish(Vec<(SocketAddr, Token)>),
    /// Who may have a renewal of the own delegation.
    Sleep,
    /// Whom to give a record that came from the other family.
    Carry(Name),
    /// What somebody has published.
    Find(Tag, Box<Finding>),
}

impl Goal {
    const fn is_upkeep(&self) -> bool {
        matches!(self, Self::Own | Self::Far | Self::Carry(_))
    }
}

impl Dht {
    /// Begins a look-up in a realm; its number.
    pub(super) fn seek(&mut self, cx: &Cx, at: usize, target: Key, goal: Goal) -> Option<u32> {
        let net = self.nets.get_mut(at)?;
        let mut seeds = Vec::new();
        let start = |entry: &Entry| Start { hint: Some(entry.hint), at: entry.at, rtt: entry.rtt };
        net.table.nearest(target.hint(), FAIR_MAX, Wanted::Asking(Places::Fair), cx.now, &mut seeds);
        let fair: Vec<Start> = seeds.iter().map(start).collect();
        net.table.nearest(target.hint(), SEEDS_MAX, Wanted::Asking(Places::All), cx.now, &mut seeds);
        let of_table = seeds.iter().map(start);
        // In a small network, and before a table is filled, whoever is an entry peer is asked too.
        let is_thin = net.reach.mode() == Mode::Soft;
        let of_entries = self.entries.addresses().filter(|entry| is_thin && Realm::of(*entry) == Some(net.realm));
        let is_new = |entry: &SocketAddr| seeds.iter().all(|known| known.at != *entry);
        let of_entries = of_entries.filter(is_new).map(|at| Start { hint: None, at, rtt: Rtt::UNKNOWN });
        let wants = match goal {
            Goal::Own | Goal::Far | Goal::Sleep | Goal::Carry(_) => Wants::Nodes,
            Goal::Publish(_) | Goal::Find(..) => Wants::Records,
        };
        let number = self.seeks_begun.wrapping_add(1);
        let rng = self.rng.fork("look-up", number.into());
        let mut look_up = LookUp::new(target.hint(), wants, net.view(), of_table.chain(of_entries), fair, rng, cx.now);
        if net.thorough.has(target.as_bytes(), cx.now) {
            look_up.end_rounds();
        }
        self.seeks_begun = number;
        self.seeks.push(Seek { number, net: at, target, goal, look_up });
        self.is_dirty = true;
        Some(number)
    }

    /// Sends what look-ups want to send, and ends those that are over.
    pub(super) fn drive_seeks(&mut self, cx: &mut Cx) {
        let mut seeks = mem::take(&mut self.seeks);
        let mut index = 0;
        while let Some(seek) = seeks.get_mut(index) {
            self.drive_seek(cx, seek);
            let is_over = if matches!(seek.goal, Goal::Find(..)) {
                self.drive_find(cx, seek)
            } else {
                seek.look_up.end().is_some() || seek.look_up.due() <= cx.now
            };
            if is_over {
                let seek = seeks.remove(index);
                self.on_sought(cx, seek);
            } else {
                index = index.saturating_add(1);
            }
        }
        // Those that began meanwhile.
        seeks.append(&mut self.seeks);
        self.seeks = seeks;
    }

    fn drive_seek(&mut self, cx: &mut Cx, seek: &mut Seek) {
        while let Some(ask) = seek.look_up.next() {
            let is_live = ask.hint.is_some_and(|hint| self.jar.get(ask.at, hint, cx.now).is_some());
            let question = question(seek, &ask, is_live);
            let is_upkeep = seek.goal.is_upkeep();
            let rtt = self.nets.get(seek.net).map_or(Rtt::UNKNOWN, |net| net.rtt(ask.at));
            let whom = Whom { at: ask.at, hint: ask.hint, rtt };
            if !self.ask(cx, seek.net, whom, question, Purpose::Seek { number: seek.number, is_upkeep }) {
                seek.look_up.on_refused(ask.at);
            }
        }
    }

    /// Somebody whom a look-up asked has answered.
    pub(super) fn on_seek_reply(
        &mut self,
        cx: &mut Cx,
        number: u32,
        asked: &Asked<Purpose>,
        hint: Option<Hint>,
        rtt: Rtt,
        reply: &Reply<'_>,
    ) {
        let Some(seek) = numbered(&mut self.seeks, number) else { return };
        self.is_dirty = true;
        seek.look_up.on_reply(asked.to, hint, rtt, reply.nodes.iter().copied());
        // Who is named to us and would have a place is asked in its turn, whatever the look-up makes of it (spec: DHT-51).
        if let Some(net) = self.nets.get_mut(seek.net).filter(|_| hint.is_some()) {
            for Contact { hint, at } in reply.nodes.iter().copied().filter(|named| !self.silent.is_silent(named.at, cx.now)) {
                net.table.on_named(hint, at, cx.now);
            }
        }
        let (Some(hint), Answer::Get(got)) = (hint, &reply.answer) else { return };
        match &mut seek.goal {
            Goal::Publish(tokens) => tokens.extend(got.token.map(|token| (asked.to, token))),
            Goal::Find(..) => self.on_find_reply(cx, number, hint, asked, got),
            Goal::Own | Goal::Far | Goal::Sleep | Goal::Carry(_) => {}
        }
    }

    /// Whom a look-up asked is slow: it goes on with others meanwhile. Whether it is asked again.
    pub(super) fn on_seek_slow(&mut self, number: u32, asked: &Asked<Purpose>) -> bool {
        let Some(seek) = numbered(&mut self.seeks, number) else { return true };
        self.is_dirty = true;
        seek.look_up.on_slow(asked.to)
    }

    pub(super) fn on_seek_miss(&mut self, number: u32, asked: &Asked<Purpose>) {
        if let Some(seek) = numbered(&mut self.seeks, number) {
            seek.look_up.on_miss(asked.to);
            self.is_dirty = true;
        }
    }

    /// A look-up is over.
    fn on_sought(&mut self, cx: &mut Cx, seek: Seek) {
        self.write_back(cx, &seek);
        let Seek { net: at, target, goal, look_up, .. } = seek;
        let is_complete = look_up.end() == Some(End::Complete);
        let Some(net) = self.nets.get_mut(at) else { return };
        if is_complete && let Some(eighth) = look_up.eighth() {
            net.estimate.on_look_up(eighth);
        }
        let is_found = matches!(&goal, Goal::Find(_, finding) if finding.is_found(&self.accepted));
        if look_up.has_begun_again() && !is_found {
            net.thorough.add(target.as_bytes(), cx.now);
        }
        if look_up.is_dense() && net.suspects.is_news(&target, cx.now) {
            let realm = net.realm;
            self.tell(Told::Eclipse { realm, target });
        }
        // What is still on its way for it is not waited for: answers go into the table all the same.
        self.is_dirty = true;
        match goal {
            Goal::Own => {
                let Some(net) = self.nets.get_mut(at) else { return };
                let answers = look_up.answers().count();
                net.upkeep.on_own_look_up(answers, cx.now);
                // Who knows somebody and got no answer has not looked yet: a crowd's entry peer has too much to do, and
                // whoever serves without neighbours is found by nobody (spec: DHT-125).
                if answers > 0 || net.servers == 0 {
                    net.reach.on_look_up_ended();
                }
            }
            Goal::Far => {}
            Goal::Publish(tokens) => self.on_publish_looked(cx, at, &look_up, &tokens),
            Goal::Sleep => self.on_sleep_looked(at, &look_up),
            Goal::Carry(name) => self.carry_to(cx, &name, &look_up.holders()),
            Goal::Find(..) => {}
        }
    }
}

/// The look-up with this number, if it goes on.
pub(super) fn numbered(seeks: &mut [Seek], number: u32) -> Option<&mut Seek> {
    seeks.iter_mut().find(|seek| seek.number == number)
}

/// What a look-up asks somebody.
fn question(seek: &Seek, ask: &Ask, is_live: bool) -> Question {
    let (target, is_fair) = (seek.target, ask.is_fair);
    let find = Question::Find { target: target.with_hint(ask.towards), is_fair };
    let get = |kind, device, known, write| Question::Get { target, kind, device, known, write, is_fair };
    match &seek.goal {
        Goal::Own | Goal::Far | Goal::Carry(_) => find,
        _ if !ask.is_get => find,
        // Only who shows a cookie is given a token, and what is held is asked for later, of those who are chosen.
        Goal::Publish(_) if is_live => get(Kind::Device, None, Some(INTEGER_MAX), true),
        Goal::Publish(_) | Goal::Sleep => find,
        Goal::Find(_, finding) => {
            let find::Question { kind, device, known } = finding.question(ask.path);
            get(kind, device, known, false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scope;
    use crate::dht::estimate::Size;
    use crate::dht::lookup::View;
    use crate::rng::{Rng, Seed};

    // spec-test: DHT-86
    #[test]
    fn nodes_are_asked_for_near_the_point_that_a_look_up_says_and_records_at_their_home() {
        let (target, point) = (Key::from_bytes([7; 32]), Hint(9));
        let realm = Realm { is_v6: false, scope: Scope::Private };
        let view = View { own: Hint(1), realm, is_hard: true, size: Size::of(100), servers: 100 };
        let rng = Rng::from_seed(&Seed::from_bytes([1; 32]));
        let look_up = LookUp::new(target.hint(), Wants::Records, view, [], [], rng, Time::ZERO);
        let seek = Seek { number: 1, net: 0, target, goal: Goal::Publish(Vec::new()), look_up };
        let asked = |is_get, towards| {
            let ask = Ask { hint: None, at: SocketAddr::from(([10, 0, 0, 1], 7)), path: 0, is_get, is_fair: true, towards };
            question(&seek, &ask, true)
        };
        let Question::Find { target: beside, is_fair: true } = asked(false, point) else { panic!("nodes") };
        assert_eq!((beside.hint(), &beside.as_bytes()[8..]), (point, &target.as_bytes()[8..]));
        assert!(matches!(asked(false, target.hint()), Question::Find { target: home, .. } if home == target));
        assert!(matches!(asked(true, target.hint()), Question::Get { target: home, is_fair: true, .. } if home == target));
    }
}
