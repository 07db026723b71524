//! Shells with one mistake each, to show that the suite notices: a case that no mistake breaks proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{Batch, Driver, Event, Next, Notice, OpId, Packet, Path, PipeId, Shell, Time};

use super::run_with;
use super::simulated::{Conduct, Simulated};
use crate::engine::Delivery;
use crate::port::Port;

/// What a shell does wrong. Each is a plausible slip, and all but the first let a first message pass.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Mistake {
    /// It never answers a load.
    LoadsNothing,
    /// It says `Taken` as soon as it has the notice.
    TakesAtOnce,
    /// It forgets to say that a pipe has ended.
    ForgetsEnds,
    /// It gives a pipe no second `PipeWritten`.
    WritesOnce,
    /// It throws away what is written to a pipe after its twentieth write, and says that it is written.
    LosesWrites,
    /// It gives credit for each write twice, and has room for one.
    CreditsTwice,
    /// It forgets to say that nobody answers at an address.
    ForgetsDialFailures,
    /// It forgets to say that a name does not resolve.
    ForgetsUnknownNames,
    /// It dials names without looking them up: nobody is there.
    KnowsNoNames,
    /// It answers that a batch is stored, and keeps it in memory only.
    StoresInMemory,
    /// It says that the first page of a load is all there is.
    LoadsOnePage,
    /// It says that a failed batch is stored.
    HidesFailedWrites,
    /// It says that a store that cannot be read is empty.
    HidesFailedReads,
    /// It sleeps on past the deadline until something else wakes it.
    Oversleeps,
    /// It takes new sockets and says only where they are.
    HidesNewSockets,
    /// It never says where it listens.
    HidesAddresses,
    /// It says where it listens when a pipe has ended, as if it had woken.
    RepeatsAddresses,
    /// It dials the second node that was started, whoever is meant.
    DialsElsewhere,
    /// It has room for eight pipes, and loses sight of the rest.
    EightPipes,
    /// It closes a pipe before what was written to it is handed over.
    ClosesTooEarly,
    /// It takes its wall clock for a day ahead.
    MisreadsClock,
    /// It hands notices out in the wrong order, each second one before the first.
    SwapsNotices,
    /// It never looks at its datagrams.
    IgnoresDatagrams,
    /// It reads a datagram again when nothing new has come.
    RepeatsDatagrams,
    /// It has room for 1 KiB of what comes on a pipe at once, and forgets the rest.
    CutsBytes,
    /// It hands in what came on a pipe in the wrong order, its first half kilobyte last.
    SwapsBytes,
}

use Mistake::*;

const MISTAKES: [Mistake; 26] = [
    LoadsNothing,
    TakesAtOnce,
    ForgetsEnds,
    WritesOnce,
    LosesWrites,
    CreditsTwice,
    ForgetsDialFailures,
    ForgetsUnknownNames,
    KnowsNoNames,
    StoresInMemory,
    LoadsOnePage,
    HidesFailedWrites,
    HidesFailedReads,
    Oversleeps,
    HidesNewSockets,
    HidesAddresses,
    RepeatsAddresses,
    DialsElsewhere,
    EightPipes,
    ClosesTooEarly,
    MisreadsClock,
    SwapsNotices,
    IgnoresDatagrams,
    RepeatsDatagrams,
    CutsBytes,
    SwapsBytes,
];

struct Wrong {
    mistake: Mistake,
    addresses: BTreeMap<usize, (SocketAddr, u32)>,
    written: BTreeSet<(usize, PipeId)>,
    pipes: BTreeMap<usize, BTreeSet<PipeId>>,
    /// Writes to the pipes of all nodes.
    writes: BTreeMap<(usize, PipeId), u32>,
}

impl Wrong {
    fn new(mistake: Mistake) -> Self {
        Self { mistake, addresses: BTreeMap::new(), written: BTreeSet::new(), pipes: BTreeMap::new(), writes: BTreeMap::new() }
    }
}

impl Conduct for Wrong {
    fn tell(&mut self, me: usize, delivery: Delivery) -> Vec<Delivery> {
        match (self.mistake, delivery) {
            (LoadsNothing, Delivery::Loaded(..)) => vec![],
            (ForgetsEnds, Delivery::Closed(_)) => vec![],
            (WritesOnce, Delivery::Written(pipe)) if !self.written.insert((me, pipe)) => vec![],
            (ForgetsDialFailures, Delivery::ConnectFailed(..)) => vec![],
            (ForgetsUnknownNames, Delivery::Resolved(_, Err(_))) => vec![],
            (KnowsNoNames, Delivery::Resolved(op, _)) => vec![Delivery::Resolved(op, Ok([10, 99, 99, 99].into()))],
            (LoadsOnePage, Delivery::Loaded(op, Ok((items, _)))) => vec![Delivery::Loaded(op, Ok((items, false)))],
            (HidesFailedWrites, Delivery::Stored(op, _)) => vec![Delivery::Stored(op, Ok(()))],
            (HidesFailedReads, Delivery::Loaded(op, Err(_))) => vec![Delivery::Loaded(op, Ok((vec![], false)))],
            (HidesNewSockets, Delivery::Addresses(local, _)) => vec![Delivery::Addresses(local, false)],
            (HidesAddresses, Delivery::Addresses(..)) => vec![],
            (RepeatsAddresses, Delivery::Addresses(local, rebound)) => {
                self.addresses.entry(me).or_insert((local[0], 0));
                vec![Delivery::Addresses(local, rebound)]
            }
            (RepeatsAddresses, Delivery::Closed(pipe)) => {
                let again = self.addresses.get_mut(&me).filter(|(_, times)| *times < 3).map(|(address, times)| {
                    *times += 1;
                    Delivery::Addresses(vec![*address], false)
                });
                [Delivery::Closed(pipe)].into_iter().chain(again).collect()
            }
            (CreditsTwice, Delivery::Written(pipe)) => vec![Delivery::Written(pipe), Delivery::Written(pipe)],
            (MisreadsClock, Delivery::Clock(wall)) => vec![Delivery::Clock(wall + Duration::from_secs(86_400))],
            (IgnoresDatagrams, Delivery::Datagram(..)) => vec![],
            (RepeatsDatagrams, Delivery::Datagram(path, bytes)) => {
                vec![Delivery::Datagram(path, bytes.clone()), Delivery::Datagram(path, bytes)]
            }
            (CutsBytes, Delivery::Bytes(pipe, mut bytes)) => {
                bytes.truncate(1_024);
                vec![Delivery::Bytes(pipe, bytes)]
            }
            (SwapsBytes, Delivery::Bytes(pipe, mut bytes)) if bytes.len() > 1_024 => {
                bytes.rotate_left(512);
                vec![Delivery::Bytes(pipe, bytes)]
            }
            (EightPipes, Delivery::Opened(pipe, op, local, remote)) => {
                let pipes = self.pipes.entry(me).or_default();
                if pipes.len() < 8 && pipes.insert(pipe) { vec![Delivery::Opened(pipe, op, local, remote)] } else { vec![] }
            }
            (_, delivery) => vec![delivery],
        }
    }

    fn drive(&mut self, driver: &mut Driver, mut port: Port<'_>, now: Time) -> Next {
        let me = port.me;
        let before = port.engine.machines[me].notices.len();
        let next = driver.drive(&mut Hands { port: &mut port, wrong: self, written: None }, now, 4_096);
        let notices = &mut port.engine.machines[me].notices;
        let fresh = notices.len() - before;
        if self.mistake == TakesAtOnce && fresh > 0 {
            driver.handle(now, Event::taken(fresh as u64, &[]));
            return Next::Again;
        }
        if self.mistake == SwapsNotices && notices.len() > 1 {
            notices.make_contiguous().chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        next
    }

    fn wake(&mut self, due: Option<Time>) -> Option<Time> {
        due.filter(|_| self.mistake != Oversleeps)
    }
}

/// The actions on their way from the driver to the machine.
struct Hands<'a, 'b> {
    port: &'a mut Port<'b>,
    wrong: &'a mut Wrong,
    /// A write that is not handed over yet.
    written: Option<(PipeId, Packet)>,
}

impl Hands<'_, '_> {
    fn hand_over(&mut self) {
        if let Some((pipe, packet)) = self.written.take() {
            self.port.write(pipe, packet);
        }
    }
}

impl Drop for Hands<'_, '_> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

impl Shell for Hands<'_, '_> {
    fn send_datagram(&mut self, path: Path, packet: &Packet) {
        self.port.send_datagram(path, packet);
    }

    fn connect(&mut self, op: OpId, to: SocketAddr, from_listening_port: bool) {
        let to = if self.wrong.mistake == DialsElsewhere { SocketAddr::from(([10, 0, 0, 2], 7575)) } else { to };
        self.port.connect(op, to, from_listening_port);
    }

    fn write(&mut self, pipe: PipeId, packet: Packet) {
        self.hand_over();
        let writes = self.wrong.writes.entry((self.port.me, pipe)).or_default();
        *writes += 1;
        if self.wrong.mistake == LosesWrites && *writes > 20 {
            self.port.write(pipe, Packet::default());
        } else {
            self.written = Some((pipe, packet));
        }
    }

    fn close(&mut self, pipe: PipeId) {
        if self.wrong.mistake == ClosesTooEarly {
            self.written.take_if(|(written, _)| *written == pipe);
        }
        self.hand_over();
        self.port.close(pipe);
    }

    fn resolve(&mut self, op: OpId, name: &str, port: u16) {
        self.port.resolve(op, name, port);
    }

    fn store(&mut self, op: OpId, batch: Batch, durable: bool) {
        let batch = if self.wrong.mistake == StoresInMemory { Batch::default() } else { batch };
        self.port.store(op, batch, durable);
    }

    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        self.port.load(op, from, to, limit);
    }

    fn notify(&mut self, notice: Notice) {
        self.port.notify(notice);
    }
}

/// Every mistake in words, and the claims that a shell which makes it breaks: to find what is wrong with a shell from what it
/// breaks, and to see that no case is for show. Takes some seconds.
pub fn mistakes() -> Vec<(String, Vec<&'static str>)> {
    let broken = |mistake| broken_by(|| Box::new(Wrong::new(mistake))).into_iter().collect();
    MISTAKES.iter().map(|mistake| (format!("{mistake:?}"), broken(*mistake))).collect()
}

fn broken_by(conduct: impl Fn() -> Box<dyn Conduct>) -> BTreeSet<&'static str> {
    // What is in vain fails after four seconds; nobody has to wait for longer here.
    let outcomes = run_with(Duration::from_secs(6), || Simulated::with(1, conduct()));
    outcomes.into_iter().filter_map(|outcome| outcome.broken.map(|_| outcome.claim)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::CASES;
    use super::*;

    /// Cases that a shell breaks only if next to nothing works on it: they are about the node in it.
    const ABOUT_THE_NODE: [&str; 2] = ["a_node_starts_and_says_who_it_is", "a_forgotten_user_fails_what_waits"];
    /// Mistakes with which next to nothing works.
    const GROSS: [Mistake; 2] = [LoadsNothing, MisreadsClock];

    // spec-test: SHELL-1, SHELL-7, SHELL-8, SHELL-14
    #[test]
    fn every_mistake_is_noticed_and_every_case_notices_one() {
        let mut notice = BTreeSet::new();
        for mistake in MISTAKES {
            let broken = broken_by(|| Box::new(Wrong::new(mistake)));
            assert!(!broken.is_empty(), "no case notices a shell that {mistake:?}");
            if GROSS.contains(&mistake) {
                assert!(ABOUT_THE_NODE.iter().any(|claim| broken.contains(claim)), "{mistake:?} breaks {broken:?}");
            } else {
                notice.extend(broken);
            }
        }
        let blind: Vec<_> = CASES.iter().map(|(claim, _)| *claim).filter(|claim| !notice.contains(claim)).collect();
        assert_eq!(blind, ABOUT_THE_NODE);
    }

    /// A shell that does nothing wrong, as unlike the others as it may: bytes in small pieces, ticks that nobody asked for,
    /// one action a turn, loads in the middle of other things.
    struct Odd;

    impl Conduct for Odd {
        fn tell(&mut self, _me: usize, delivery: Delivery) -> Vec<Delivery> {
            if let Delivery::Bytes(pipe, bytes) = delivery {
                return bytes.chunks(700).map(|piece| Delivery::Bytes(pipe, piece.to_vec())).collect();
            }
            vec![delivery]
        }

        fn drive(&mut self, driver: &mut Driver, mut port: Port<'_>, now: Time) -> Next {
            driver.handle(now, Event::Tick);
            driver.handle(now, Event::entropy(&[7; 32]));
            driver.drive(&mut port, now, 1)
        }

        fn wake(&mut self, due: Option<Time>) -> Option<Time> {
            // As a loop that is busy elsewhere.
            due.map(|due| due + Duration::from_millis(30))
        }
    }

    #[test]
    fn an_odd_shell_that_keeps_the_contract_passes_every_case() {
        assert_eq!(broken_by(|| Box::new(Odd)), BTreeSet::new());
    }
}
