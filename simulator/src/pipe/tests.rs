use overcom_core::{ConnectError, OpId, PipeId, Shell, Time};

use super::*;
use crate::clock::Clock;
use crate::engine::{Happened, Machine};
use crate::network::{Links, Network, standard_address};
use crate::port::Port;

const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 7575);

/// Two machines without nodes, and what their processes were told.
struct Two {
    engine: Engine,
    told: Vec<(Time, usize, Delivery)>,
}

impl Two {
    fn new(seed: u64, network: Network) -> Self {
        let mut machines: Vec<Machine> =
            ["ann", "ben"].iter().enumerate().map(|(n, name)| Machine::new(name, standard_address(n), Clock::default())).collect();
        machines.iter_mut().for_each(|machine| machine.up = true);
        Self { engine: Engine::new(Links::new(seed, network), machines), told: Vec::new() }
    }

    fn run(&mut self, until: Time) {
        while let Some(happened) = self.engine.next(until) {
            if let Happened::Told(me, delivery) = happened {
                self.told.push((self.engine.now, me, delivery));
            }
        }
        self.engine.now = until;
    }

    fn dial(&mut self, to: SocketAddr) {
        Port { engine: &mut self.engine, me: 0 }.connect(OpId::new(1), to, false);
    }

    fn open() -> Self {
        Self::open_over(3, Network::default())
    }

    fn open_over(seed: u64, network: Network) -> Self {
        let mut two = Self::new(seed, network);
        two.dial(TO);
        two.run(Time::from_secs(9));
        assert_eq!(two.opened(), [true, true]);
        two
    }

    fn opened(&self) -> [bool; 2] {
        [0, 1].map(|who| self.told.iter().any(|(_, me, delivery)| *me == who && matches!(delivery, Delivery::Opened(..))))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.engine.write(0, PipeId::new(1), bytes.to_vec());
    }

    fn count(&self, who: usize, what: impl Fn(&Delivery) -> bool) -> usize {
        self.told.iter().filter(|(_, me, delivery)| *me == who && what(delivery)).count()
    }

    fn closed(&self) -> [usize; 2] {
        [0, 1].map(|who| self.count(who, |delivery| matches!(delivery, Delivery::Closed(_))))
    }

    fn read(&self) -> Vec<u8> {
        let bytes = |delivery: &Delivery| if let Delivery::Bytes(_, bytes) = delivery { bytes.clone() } else { Vec::new() };
        self.told.iter().filter(|(_, me, _)| *me == 1).flat_map(|(.., delivery)| bytes(delivery)).collect()
    }

    fn failed(&self) -> Option<(Time, ConnectError)> {
        self.told.iter().find_map(|(at, _, delivery)| if let Delivery::ConnectFailed(_, why) = delivery { Some((*at, *why)) } else { None })
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n * 7 % 251).expect("below 251")).collect()
}

#[test]
fn bytes_come_whole_and_in_order_however_much_is_lost() {
    let mut arrived = 0;
    for seed in 0..20 {
        let mut two = Two::new(seed, Network::default().loss_ppm(100_000));
        two.dial(TO);
        two.run(Time::from_secs(9));
        if two.opened() != [true, true] {
            continue;
        }
        let sent = pattern(200_000);
        two.write(&sent);
        two.run(Time::from_secs(100));
        let read = two.read();
        assert!(sent.starts_with(&read), "never another byte");
        assert!(read.len() == sent.len() || two.closed()[1] == 1, "all of it, or a broken pipe");
        arrived += usize::from(read.len() == sent.len());
    }
    assert!(arrived > 10, "{arrived} of 20");
}

#[test]
fn a_reader_that_stands_still_stalls_the_writer_and_nothing_is_lost() {
    let mut two = Two::open();
    two.engine.machines[1].paused = true;
    let sent = pattern(WINDOW + 10_000);
    two.write(&sent);
    two.run(Time::from_secs(20));
    let written = |two: &Two| two.count(0, |delivery| matches!(delivery, Delivery::Written(_)));
    assert_eq!(written(&two), 0);
    two.engine.resume(1);
    two.run(Time::from_secs(30));
    assert_eq!((written(&two), two.read()), (1, sent));
}

#[test]
fn a_close_comes_after_the_write_and_once_to_each_side() {
    let mut two = Two::open();
    let sent = pattern(40_000);
    two.write(&sent);
    two.engine.close(0, PipeId::new(1));
    two.engine.close(0, PipeId::new(1));
    two.run(Time::from_secs(60));
    assert_eq!((two.read(), two.closed()), (sent, [1, 1]));
    assert!(matches!(two.told.last(), Some((_, 1, Delivery::Closed(_)))), "the reader's close is the last that happens");
}

#[test]
fn a_close_that_cannot_hand_over_ends_within_its_second() {
    let mut two = Two::open();
    two.engine.machines[1].paused = true;
    two.write(&pattern(WINDOW * 2));
    two.engine.close(0, PipeId::new(1));
    two.run(Time::from_millis(10_500));
    assert_eq!(two.closed(), [1, 0]);
    let at = two.told.iter().find(|(.., delivery)| matches!(delivery, Delivery::Closed(_))).map(|(at, ..)| *at);
    assert_eq!(at, Some(Time::from_secs(10)));
}

#[test]
fn a_partition_delays_bytes_and_resets_only_after_thirty_seconds() {
    for (heal_after, survives) in [(10, true), (40, false)] {
        let mut two = Two::open();
        two.engine.links.block(0, 1);
        two.write(b"hello");
        two.run(Time::from_secs(9 + heal_after));
        two.engine.links.heal();
        two.run(Time::from_secs(100));
        assert_eq!(two.read() == b"hello", survives);
        assert_eq!(two.closed(), if survives { [0, 0] } else { [1, 1] });
    }
}

#[test]
fn a_crash_ends_the_pipe_at_the_other_side_only_and_what_was_under_way_arrives() {
    let mut two = Two::open();
    two.write(b"last words");
    two.engine.end_process(0);
    two.run(Time::from_secs(20));
    assert_eq!((two.closed(), two.read()), ([0, 1], b"last words".to_vec()));
}

#[test]
fn a_rebind_tells_the_node_nothing_and_the_peer_once() {
    let mut two = Two::open();
    two.engine.rebind(1, Some(9_999));
    two.run(Time::from_secs(20));
    assert_eq!(two.closed(), [1, 0]);
    two.dial(TO);
    two.run(Time::from_secs(40));
    assert_eq!(two.failed().map(|(_, why)| why), Some(ConnectError::Refused), "the old port is nobody's");
}

#[test]
fn a_dial_fails_as_the_way_fails() {
    let mut nobody = Two::new(1, Network::default());
    nobody.dial(SocketAddr::from(([10, 9, 9, 9], 1)));
    nobody.run(Time::from_secs(1));
    assert_eq!(nobody.failed().map(|(_, why)| why), Some(ConnectError::Unreachable));

    let mut silent = Two::new(1, Network::default());
    silent.engine.links.block(0, 1);
    silent.dial(TO);
    silent.run(Time::from_secs(60));
    assert_eq!(silent.failed(), Some((Time::from_secs(10), ConnectError::TimedOut)));

    let mut down = Two::new(1, Network::default());
    down.engine.machines[1].up = false;
    down.dial(TO);
    down.run(Time::from_secs(60));
    assert_eq!(down.failed().map(|(_, why)| why), Some(ConnectError::Refused));
    assert_eq!(down.told.len(), 1, "one answer only");
}

#[test]
fn a_lost_first_try_is_made_again_after_a_second() {
    let mut two = Two::new(1, Network::default());
    two.engine.links.block(0, 1);
    two.dial(TO);
    two.run(Time::from_millis(500));
    two.engine.links.heal();
    two.run(Time::from_secs(2));
    assert_eq!(two.opened(), [true, true]);
    let at = two.told.first().map(|(at, ..)| *at);
    assert!(at.is_some_and(|at| at > Time::from_secs(1) && at < Time::from_millis(1_100)), "{at:?}");
}

#[test]
fn a_limited_line_takes_its_time() {
    let mut two = Two::open_over(3, Network::default().bytes_per_second(10_000));
    two.write(&pattern(20_000));
    two.run(Time::from_millis(10_500));
    assert!(two.read().len() < 20_000);
    two.run(Time::from_millis(11_500));
    assert_eq!(two.read().len(), 20_000);
}

#[test]
fn nothing_is_left_when_both_ends_are_over() {
    let mut two = Two::open();
    two.write(b"x");
    two.engine.close(0, PipeId::new(1));
    two.run(Time::from_secs(60));
    assert!(two.engine.pipes.pipes.is_empty() && two.engine.pipes.ends.is_empty());
    assert!(two.engine.queue.pop_until(Time::MAX).is_none(), "and then silence");
}
