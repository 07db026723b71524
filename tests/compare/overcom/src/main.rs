//! The work on Overcom: whole nodes on `overcom-mio`, all in one loop, on loopback.
//!
//! A node publishes where its device is, which is two records: who it is and where it is. `--polled` looks at the sockets
//! every 10 ms only instead of when something has come: the control of the figure.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compare_ruler::Peer;
use mio::{Events, Poll, Token, Waker};
use overcom_core::{
    AppId, Command, Config, DhtNotice, DhtPolicy, DhtReach, DhtRecord, DhtStanding, Entry, Notice, RealmView, Tag, Time, UserId,
};
use overcom_mio::Embedded;
use overcom_std::{Clock, MemoryStore, Setup, keys};

/// A node's token numbers are its number, shifted by so many bits, and what follows.
const TOKEN_BITS: usize = 20;
/// The token of the waker lies above those of all nodes.
const WAKER: Token = Token(usize::MAX);
/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The node that all begin with answers a crowd, as a seed must be told to: with the usual 16 KiB a second it would answer 41 joins.
const SEED_BYTES_PER_SECOND: u32 = 1 << 20;
/// How often the sockets are looked at with `--polled`.
const POLLED: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    compare_ruler::main::<Overcom>()
}

struct Overcom {
    clock: Clock,
    poll: Poll,
    events: Events,
    nodes: Vec<Member>,
    /// To be given a turn at once.
    awake: VecDeque<usize>,
    /// When others are to be given one.
    dues: BTreeSet<(Time, usize)>,
    /// Who was woken by another thread, which is its store's.
    woken: Arc<Mutex<Vec<usize>>>,
    waker: Arc<Waker>,
    is_polled: bool,
    /// How many have.
    joined: usize,
}

struct Member {
    node: Embedded,
    user: UserId,
    due: Option<Time>,
    is_awake: bool,
    has_joined: bool,
    notices: VecDeque<Notice>,
}

impl Peer for Overcom {
    const NAME: &str = concat!("overcom ", env!("CARGO_PKG_VERSION"));

    fn start(nodes: usize) -> Result<Self, String> {
        let mut network = Self::open().map_err(|why| why.to_string())?;
        for number in 0..nodes {
            network.add(number).map_err(|why| format!("node {number}: {why}"))?;
        }
        network.until("all have started", |network| {
            let is_started = |member: &Member| member.notices.iter().any(|notice| matches!(notice, Notice::Started { .. }));
            Ok(network.nodes.iter().all(is_started).then_some(()))
        })?;
        for number in 0..nodes {
            network.enter(number)?;
        }
        network.until("all have joined", |network| Ok((network.joined == nodes).then_some(())))?;
        // Not before: at that pace a crowd does not come to join.
        network.is_polled = std::env::args().any(|argument| argument == "--polled");
        Ok(network)
    }

    fn rest(&mut self, time: Duration) -> Result<(), String> {
        let until = self.clock.now() + time;
        while self.clock.now() < until {
            self.step(until).map_err(|why| why.to_string())?;
        }
        self.nodes.iter_mut().for_each(|member| member.notices.clear());
        Ok(())
    }

    fn put(&mut self, writer: usize) -> Result<(), String> {
        self.ask(writer, Command::Publish { policy: DhtPolicy::Everyone, addresses: Vec::new() })?;
        let mut left = vec![DhtRecord::Address, DhtRecord::Device];
        self.until("both records are written", |network| {
            while let Some(notice) = network.nodes[writer].notices.pop_front() {
                if let Notice::Dht(DhtNotice::Published { record, is_enough: true, .. }) = notice {
                    left.retain(|other| *other != record);
                }
            }
            Ok(left.is_empty().then_some(()))
        })
    }

    fn get(&mut self, reader: usize, writer: usize, first: &mut dyn FnMut()) -> Result<(), String> {
        let (user, at) = (self.nodes[writer].user, self.nodes[writer].node.local_addr());
        let asked = self.ask(reader, Command::Locate { user, app: None, device: None })?;
        self.until("the look-up has ended", |network| {
            while let Some(notice) = network.nodes[reader].notices.pop_front() {
                match notice {
                    Notice::Dht(DhtNotice::Found { tag, addresses, .. }) if tag == asked => {
                        if *addresses != [at] {
                            return Err(format!("found {addresses:?} instead of {at}"));
                        }
                        first();
                    }
                    Notice::Dht(DhtNotice::Ended { tag, .. }) | Notice::Failed { tag, .. } if tag == asked => return Ok(Some(())),
                    _ => {}
                }
            }
            Ok(None)
        })
    }
}

impl Overcom {
    fn open() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            clock: Clock::start(),
            poll,
            events: Events::with_capacity(1_024),
            nodes: Vec::new(),
            awake: VecDeque::new(),
            dues: BTreeSet::new(),
            woken: Arc::default(),
            waker,
            joined: 0,
            is_polled: false,
        })
    }

    /// A node that knows nobody yet.
    fn add(&mut self, number: usize) -> Result<(), Box<dyn std::error::Error>> {
        let credentials = keys::ephemeral(&AppId::new("demo.chat")?, self.clock.wall())?;
        let user = credentials.delegation().user();
        // The DHT alone, as the peers are: no links between the nodes.
        let alone = Config::desktop().links_service_out_max(0);
        let config = if number == 0 { alone.dht_reply_bytes_per_second(SEED_BYTES_PER_SECOND) } else { alone };
        let setup = Setup::bind((Ipv4Addr::LOCALHOST, 0), config, credentials)?.clock(self.clock.clone());
        let (woken, waker) = (Arc::clone(&self.woken), Arc::clone(&self.waker));
        let wake = move || {
            woken.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            // A waker that fails has nobody left to wake.
            waker.wake().unwrap_or_default();
        };
        let tokens = number << TOKEN_BITS..(number + 1) << TOKEN_BITS;
        let node = Embedded::start(setup, MemoryStore::new(), self.poll.registry(), tokens, wake)?;
        self.nodes.push(Member { node, user, due: None, is_awake: false, has_joined: false, notices: VecDeque::new() });
        self.wake(number);
        Ok(())
    }

    /// By the first one; and nothing is published yet.
    fn enter(&mut self, number: usize) -> Result<(), String> {
        self.ask(number, Command::Publish { policy: DhtPolicy::Nobody, addresses: Vec::new() })?;
        if number > 0 {
            let seed: SocketAddr = self.nodes[0].node.local_addr();
            self.ask(number, Command::Enter { entries: vec![Entry { address: seed.into(), key: None }] })?;
        }
        Ok(())
    }

    fn ask(&mut self, number: usize, command: Command) -> Result<Tag, String> {
        self.wake(number);
        self.nodes[number].node.command(command).map_err(|why| why.to_string())
    }

    /// Goes on until there is what is waited for.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Result<Option<T>, String>) -> Result<T, String> {
        let give_up = self.clock.now() + PATIENCE;
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if self.clock.now() >= give_up {
                return Err(format!("waited in vain until {what}"));
            }
            self.step(give_up).map_err(|why| why.to_string())?;
        }
    }

    fn wake(&mut self, number: usize) {
        if let Some(member) = self.nodes.get_mut(number)
            && !std::mem::replace(&mut member.is_awake, true)
        {
            self.awake.push_back(number);
        }
    }

    /// A turn for each that has something to do; then waits for more, until then at the latest.
    fn step(&mut self, until: Time) -> io::Result<()> {
        for _ in 0..self.awake.len() {
            if let Some(number) = self.awake.pop_front() {
                self.turn(number)?;
            }
        }
        let due = self.dues.first().map_or(until, |(due, _)| until.min(*due));
        let mut wait = if self.awake.is_empty() { self.clock.until(due) } else { Duration::ZERO };
        if self.is_polled {
            std::thread::sleep(POLLED);
            wait = Duration::ZERO;
        }
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            other => other?,
        }
        let mut ready = std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
        for event in self.events.iter().filter(|event| event.token() != WAKER) {
            let number = event.token().0 >> TOKEN_BITS;
            if self.nodes.get_mut(number).is_some_and(|member| member.node.ready(event)) {
                ready.push(number);
            }
        }
        let now = self.clock.now();
        ready.extend(self.dues.iter().take_while(|(due, _)| *due <= now).map(|(_, number)| *number));
        ready.into_iter().for_each(|number| self.wake(number));
        Ok(())
    }

    fn turn(&mut self, number: usize) -> io::Result<()> {
        let Some(member) = self.nodes.get_mut(number) else { return Ok(()) };
        member.is_awake = false;
        if let Some(due) = member.due.take() {
            self.dues.remove(&(due, number));
        }
        let rest = member.node.turn()?;
        if !member.has_joined && has_joined(&member.node) {
            member.has_joined = true;
            self.joined += 1;
        }
        member.notices.extend(std::iter::from_fn(|| member.node.next_notice()));
        match member.node.wait_max(rest) {
            Some(Duration::ZERO) => self.wake(number),
            Some(wait) => {
                let due = self.clock.now() + wait;
                member.due = Some(due);
                self.dues.insert((due, number));
            }
            None => {}
        }
        Ok(())
    }
}

/// Whether it serves on loopback, knows others, and the look-up of its own place has ended.
fn has_joined(node: &Embedded) -> bool {
    let is_up = |realm: &RealmView| realm.reach == DhtReach::Loopback && realm.standing == DhtStanding::Serving && realm.verified > 0;
    node.node().dht().is_some_and(|dht| dht.look_ups == 0 && dht.realms.iter().any(is_up))
}
