//! Peers that do not keep to the protocol: a wrapper around any machine, and what may be wrong with it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Action, Event, Packet, Path, Time};

use crate::draw::Draws;
use crate::swarm::Machine;

/// One datagram that a machine sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// From where, to whom. Whatever `local` says, the network knows who sends.
    pub path: Path,
    /// What it says, at most 65,535 bytes.
    pub bytes: Vec<u8>,
}

/// What a peer does beside the protocol, or in its place.
pub trait Vice {
    /// The machine sends `letter`: puts into `out` what goes out in its place. As it is, if this is not written.
    fn on_send(&mut self, _now: Time, letter: Letter, out: &mut Vec<Letter>) {
        out.push(letter);
    }

    /// A datagram has come; whether the machine is told of it. It is, if this is not written.
    fn on_hear(&mut self, _now: Time, _path: Path, _bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
        true
    }

    /// When it wants to act by itself.
    fn deadline(&self) -> Option<Time> {
        None
    }

    /// Its deadline has come: the next one must be later.
    fn on_deadline(&mut self, _now: Time, _out: &mut Vec<Letter>) {}
}

/// A machine with a vice, or without: honest peers of the same swarm have the same type and 8 bytes more than alone.
pub struct Byzantine<M> {
    machine: M,
    turned: Option<Box<Turned>>,
}

struct Turned {
    vice: Box<dyn Vice>,
    now: Time,
    letters: VecDeque<Letter>,
    /// What a call of the vice puts out, kept for its memory.
    out: Vec<Letter>,
}

impl<M: fmt::Debug> fmt::Debug for Byzantine<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Byzantine").field("machine", &self.machine).field("is_honest", &self.turned.is_none()).finish()
    }
}

impl<M> Byzantine<M> {
    /// One that keeps to the protocol.
    pub const fn honest(machine: M) -> Self {
        Self { machine, turned: None }
    }

    /// One that does not.
    pub fn turned(machine: M, vice: impl Vice + 'static) -> Self {
        let turned = Turned { vice: Box::new(vice), now: Time::ZERO, letters: VecDeque::new(), out: Vec::new() };
        Self { machine, turned: Some(Box::new(turned)) }
    }

    /// The machine inside.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine inside, to ask it for something.
    pub const fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }
}

impl Turned {
    /// Lets the vice act; what it wants sent waits for `poll`.
    fn act<R>(&mut self, act: impl FnOnce(&mut dyn Vice, &mut Vec<Letter>) -> R) -> R {
        let done = act(&mut *self.vice, &mut self.out);
        self.letters.extend(self.out.drain(..));
        done
    }
}

impl<M: Machine> Machine for Byzantine<M> {
    fn handle(&mut self, now: Time, event: Event<'_>) {
        let Some(turned) = &mut self.turned else { return self.machine.handle(now, event) };
        turned.now = now;
        let is_told = if let Event::Datagram { path, bytes, .. } = event {
            turned.act(|vice, out| vice.on_hear(now, path, bytes, out))
        } else if event == Event::Tick {
            if turned.vice.deadline().is_some_and(|due| due <= now) {
                turned.act(|vice, out| vice.on_deadline(now, out));
            }
            self.machine.deadline().is_some_and(|due| due <= now)
        } else {
            true
        };
        if is_told {
            self.machine.handle(now, event);
        }
    }

    fn poll(&mut self) -> Option<Action> {
        let Some(turned) = &mut self.turned else { return self.machine.poll() };
        loop {
            if let Some(Letter { path, bytes }) = turned.letters.pop_front() {
                return Some(Action::SendDatagram { path, packet: Packet::from(bytes) });
            }
            let action = self.machine.poll()?;
            let Action::SendDatagram { path, packet } = action else { return Some(action) };
            let (now, letter) = (turned.now, Letter { path, bytes: packet.into() });
            turned.act(|vice, out| vice.on_send(now, letter, out));
        }
    }

    fn deadline(&self) -> Option<Time> {
        let vice = self.turned.as_ref().and_then(|turned| turned.vice.deadline());
        [self.machine.deadline(), vice].into_iter().flatten().min()
    }

    fn recycle(&mut self, packet: Packet) {
        self.machine.recycle(packet);
    }
}

/// Sends only some of what it should.
#[derive(Clone, Debug)]
pub struct Drops {
    draws: Draws,
    ppm: u32,
}

impl Drops {
    /// Keeps so many in a million back.
    pub const fn new(draws: Draws, ppm: u32) -> Self {
        Self { draws, ppm }
    }
}

impl Vice for Drops {
    fn on_send(&mut self, _now: Time, letter: Letter, out: &mut Vec<Letter>) {
        if !self.draws.chance(self.ppm) {
            out.push(letter);
        }
    }
}

/// Says again what it has heard and said, to whom it pleases.
#[derive(Clone, Debug)]
pub struct Replays {
    draws: Draws,
    every: Duration,
    next: Time,
    seen: VecDeque<Letter>,
}

/// Datagrams that a replaying peer remembers (guess: enough to hold several exchanges).
const SEEN_MAX: usize = 64;

impl Replays {
    /// One of the last 64 datagrams each so often, to somebody who was in one of them.
    pub const fn new(draws: Draws, every: Duration) -> Self {
        Self { draws, every, next: Time::ZERO, seen: VecDeque::new() }
    }

    fn remember(&mut self, letter: Letter) {
        if self.seen.len() == SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(letter);
    }

    fn pick(&mut self) -> Option<&Letter> {
        self.seen.get(self.draws.below(self.seen.len() as u64) as usize)
    }
}

impl Vice for Replays {
    fn on_send(&mut self, _now: Time, letter: Letter, out: &mut Vec<Letter>) {
        self.remember(letter.clone());
        out.push(letter);
    }

    fn on_hear(&mut self, _now: Time, path: Path, bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
        self.remember(Letter { path, bytes: bytes.to_vec() });
        true
    }

    fn deadline(&self) -> Option<Time> {
        (!self.seen.is_empty()).then_some(self.next)
    }

    fn on_deadline(&mut self, now: Time, out: &mut Vec<Letter>) {
        self.next = now + self.every.max(Duration::from_micros(1));
        let path = self.pick().map(|letter| letter.path);
        let bytes = self.pick().map(|letter| letter.bytes.clone());
        out.extend(path.zip(bytes).map(|(path, bytes)| Letter { path, bytes }));
    }
}

/// Flips a bit, cuts the end off or puts something behind it.
#[derive(Clone, Debug)]
pub struct Mutates {
    draws: Draws,
    ppm: u32,
}

impl Mutates {
    /// So many datagrams in a million are changed.
    pub const fn new(draws: Draws, ppm: u32) -> Self {
        Self { draws, ppm }
    }
}

impl Vice for Mutates {
    fn on_send(&mut self, _now: Time, mut letter: Letter, out: &mut Vec<Letter>) {
        if self.draws.chance(self.ppm) {
            let at = self.draws.below(letter.bytes.len() as u64) as usize;
            match (self.draws.below(3), letter.bytes.get_mut(at)) {
                (0, _) | (_, None) => letter.bytes.push(self.draws.u64() as u8),
                (1, Some(_)) => letter.bytes.truncate(at),
                (_, Some(byte)) => *byte ^= 1 << self.draws.below(8),
            }
        }
        out.push(letter);
    }
}

/// Sends what a function makes of it.
pub struct Lies<F>(F);

impl<F: FnMut(Time, &mut Letter) -> bool> Lies<F> {
    /// The function may change everything; `false` keeps the datagram back.
    pub const fn new(lie: F) -> Self {
        Self(lie)
    }
}

impl<F> fmt::Debug for Lies<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lies")
    }
}

impl<F: FnMut(Time, &mut Letter) -> bool> Vice for Lies<F> {
    fn on_send(&mut self, now: Time, mut letter: Letter, out: &mut Vec<Letter>) {
        if (self.0)(now, &mut letter) {
            out.push(letter);
        }
    }
}

/// Does what its gang has agreed on: every member has a vice made from a clone of the same plan.
#[derive(Debug)]
pub struct Colludes<S> {
    plan: Rc<RefCell<S>>,
}

/// What members of a gang share and how they act on it. `me` stands in the path: `path.local`.
pub trait Plan {
    /// As [`Vice::on_send`].
    fn on_send(&mut self, now: Time, letter: Letter, out: &mut Vec<Letter>);

    /// As [`Vice::on_hear`].
    fn on_hear(&mut self, _now: Time, _path: Path, _bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
        true
    }
}

impl<S: Plan> Colludes<S> {
    /// A member of the gang that has this plan.
    pub const fn new(plan: Rc<RefCell<S>>) -> Self {
        Self { plan }
    }
}

impl<S: Plan> Vice for Colludes<S> {
    fn on_send(&mut self, now: Time, letter: Letter, out: &mut Vec<Letter>) {
        self.plan.borrow_mut().on_send(now, letter, out);
    }

    fn on_hear(&mut self, now: Time, path: Path, bytes: &[u8], out: &mut Vec<Letter>) -> bool {
        self.plan.borrow_mut().on_hear(now, path, bytes, out)
    }
}

/// Sends more than anybody wants.
#[derive(Clone, Debug)]
pub struct Floods {
    letters: Vec<Letter>,
    every: Duration,
    next: Time,
}

impl Floods {
    /// All of `letters`, from `from` on, each so often.
    pub const fn new(letters: Vec<Letter>, from: Time, every: Duration) -> Self {
        Self { letters, every, next: from }
    }
}

impl Vice for Floods {
    fn deadline(&self) -> Option<Time> {
        Some(self.next)
    }

    fn on_deadline(&mut self, now: Time, out: &mut Vec<Letter>) {
        self.next = now + self.every.max(Duration::from_micros(1));
        out.extend(self.letters.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use crate::swarm::toy::Toy;
    use crate::swarm::{Birth, Swarm, Terrain, address};
    use crate::{millis, secs};

    /// Machine 0 is turned and tells machine 1 a number each second, 20 of them; machine 2 is honest and does the same. What
    /// each has heard, from whom.
    fn heard(turn: impl Fn(&Birth, Toy) -> Byzantine<Toy> + 'static) -> [Vec<(u32, Vec<u8>)>; 3] {
        let network = Network { delay_us: 20_000, jitter_us: 0, ..Network::default() };
        let mut swarm = Swarm::new(1, Terrain::flat(network), move |birth: &Birth| match birth.machine {
            0 => turn(birth, Toy::telling(birth, 1)),
            1 => Byzantine::honest(Toy::silent(birth)),
            _ => Byzantine::honest(Toy::telling(birth, 1)),
        });
        swarm.start(3).expect("they rest");
        swarm.run_until(Time::from_secs(20)).expect("they rest");
        [0, 1, 2].map(|machine| {
            let toy = swarm.machine(machine).expect("it is up").machine();
            let from = |at| swarm.machine_at(at).expect("only machines send");
            toy.heard.iter().map(|(_, at, bytes)| (from(*at), bytes.clone())).collect()
        })
    }

    /// What machine 1 heard from one of the others.
    fn from(heard: &[(u32, Vec<u8>)], machine: u32) -> Vec<Vec<u8>> {
        heard.iter().filter(|(by, _)| *by == machine).map(|(_, bytes)| bytes.clone()).collect()
    }

    fn all() -> Vec<Vec<u8>> {
        (0..20).map(|n| vec![n]).collect()
    }

    #[test]
    fn an_honest_peer_is_as_if_it_were_not_wrapped() {
        let heard = heard(|_, toy| Byzantine::honest(toy));
        assert_eq!([from(&heard[1], 0), from(&heard[1], 2)], [all(), all()]);
        assert_eq!(size_of::<Byzantine<Toy>>(), size_of::<Toy>() + 8);
    }

    #[test]
    fn a_peer_that_drops_says_less_and_the_others_as_much_as_ever() {
        let heard = heard(|birth, toy| Byzantine::turned(toy, Drops::new(birth.draws, 500_000)));
        let said = from(&heard[1], 0);
        assert!((4..=16).contains(&said.len()) && said.iter().all(|word| all().contains(word)), "{said:?}");
        assert_eq!(from(&heard[1], 2), all());
    }

    #[test]
    fn a_peer_that_replays_says_the_same_again_later() {
        let heard = heard(|birth, toy| Byzantine::turned(toy, Replays::new(birth.draws, millis(300))));
        let said = from(&heard[1], 0);
        let again = said.iter().enumerate().filter(|(at, word)| said[..*at].contains(word)).count();
        // Three a second and the honest one.
        assert!((60..90).contains(&said.len()) && again == said.len() - 20, "{} {again}", said.len());
    }

    #[test]
    fn a_peer_that_mutates_says_what_the_machine_never_said() {
        let heard = heard(|birth, toy| Byzantine::turned(toy, Mutates::new(birth.draws, 1_000_000)));
        let said = from(&heard[1], 0);
        assert_eq!(said.len(), 20);
        assert!(said.iter().zip(all()).all(|(said, meant)| *said != meant), "{said:?}");
        // Longer, shorter, and of the same length.
        assert!([0, 1, 2].iter().all(|length| said.iter().any(|word| word.len() == *length)), "{said:?}");
    }

    #[test]
    fn a_peer_that_lies_says_what_its_lie_makes_of_it_to_whom_it_pleases() {
        let heard = heard(|_, toy| {
            let lie = |_, letter: &mut Letter| {
                letter.bytes[0] ^= 0x80;
                letter.path.remote = address(2);
                letter.bytes[0] != 0x85
            };
            Byzantine::turned(toy, Lies::new(lie))
        });
        assert_eq!(from(&heard[1], 0), Vec::<Vec<u8>>::new());
        let lies: Vec<Vec<u8>> = (0..20).filter(|n| *n != 5).map(|n| vec![n | 0x80]).collect();
        assert_eq!(from(&heard[2], 0), lies);
    }

    #[test]
    fn a_peer_that_floods_sends_all_it_likes_from_its_time_on() {
        let heard = heard(|birth, toy| {
            let path = Path { local: birth.address, remote: address(2) };
            let letters = vec![Letter { path, bytes: vec![7; 100] }, Letter { path, bytes: vec![8; 1_000] }];
            Byzantine::turned(toy, Floods::new(letters, Time::from_secs(10), millis(10)))
        });
        assert_eq!(from(&heard[1], 0), all());
        // 20 ms before the end the last ones leave that arrive.
        assert_eq!(from(&heard[2], 0).len(), 2 * 999);
    }

    /// A gang that passes on to its last member what any member hears, and says to nobody else what it should.
    struct Ring {
        last: std::net::SocketAddr,
        heard: u32,
    }

    impl Plan for Ring {
        fn on_send(&mut self, _now: Time, mut letter: Letter, out: &mut Vec<Letter>) {
            if letter.path.local != self.last {
                letter.path.remote = self.last;
                out.push(letter);
            }
        }

        fn on_hear(&mut self, _now: Time, path: Path, _bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
            self.heard += 1;
            path.local == self.last
        }
    }

    #[test]
    fn peers_that_collude_share_what_they_know_and_act_as_one() {
        let plan = Rc::new(RefCell::new(Ring { last: address(3), heard: 0 }));
        let shared = Rc::clone(&plan);
        let mut swarm = Swarm::new(1, Terrain::flat(Network::default()), move |birth: &Birth| match birth.machine {
            0 => Byzantine::honest(Toy::silent(birth)),
            1 | 2 => Byzantine::turned(Toy::telling(birth, 0), Colludes::new(Rc::clone(&shared))),
            3 => Byzantine::turned(Toy::silent(birth), Colludes::new(Rc::clone(&shared))),
            _ => Byzantine::honest(Toy::telling(birth, 1)),
        });
        swarm.start(5).expect("they rest");
        swarm.run_until(Time::ZERO + secs(10)).expect("they rest");
        let heard = [0, 1, 2, 3].map(|machine| swarm.machine(machine).map_or(0, |peer| peer.machine().heard.len()));
        // The honest listener hears nothing, the gang's last all that two were to tell it; what machine 4 told one of them the
        // machine inside was not told of, but the gang knows.
        assert_eq!(heard, [0, 0, 0, 20]);
        assert_eq!(plan.borrow().heard, 30);
    }
}
