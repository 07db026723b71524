//! Nodes on real sockets for the conformance suite: mio, smol, both in one network, and the loop of one's own that core's
//! examples show.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overcom_core::{Batch, Command, CommandError, Explanation, Notice, Stats, StoreError, Tag, UserId, WallTime};
use overcom_mio::Runtime;
use overcom_simulator::conformance::{Launcher, Place, Start};
use overcom_smol::Node;
use overcom_std::{Clock, Loaded, RedbStore, Setup, Store};
use smol::Timer;
use smol::future::{block_on, or};

use crate::scratch::Scratch;

#[cfg(target_os = "linux")]
#[path = "../core/examples/own_loop/shell.rs"]
mod own_loop;

/// Where the nodes of one case live.
pub(crate) struct Street {
    scratch: Scratch,
    clock: Clock,
    houses: Vec<House>,
    kinds: &'static [Kind],
}

/// A shell.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Mio,
    Smol,
    #[cfg(target_os = "linux")]
    Own,
}

struct House {
    start: Start,
    store: PathBuf,
    fails: Arc<Mutex<Option<StoreError>>>,
    address: SocketAddr,
    shell: Option<Shell>,
}

/// A store that fails from a time on.
struct Mortal {
    store: RedbStore,
    fails: Arc<Mutex<Option<StoreError>>>,
}

impl Mortal {
    /// Fails if it is to fail so.
    fn check(&self, why: StoreError) -> Result<(), StoreError> {
        let fails = *self.fails.lock().expect("nobody panics with it");
        if fails == Some(why) { Err(why) } else { Ok(()) }
    }
}

impl Store for Mortal {
    fn store(&mut self, batches: &[(Batch, bool)]) -> Result<(), StoreError> {
        self.check(StoreError::Full).and_then(|()| self.store.store(batches))
    }

    fn load(&mut self, from: &[u8], to: &[u8], limit: u32) -> Result<Loaded, StoreError> {
        self.check(StoreError::Corrupt).and_then(|()| self.store.load(from, to, limit))
    }
}

enum Shell {
    Mio(Box<Runtime>),
    Smol(Box<Node>),
    #[cfg(target_os = "linux")]
    Own(Box<own_loop::Loop>),
}

impl Street {
    pub(crate) fn of(kinds: &'static [Kind]) -> Self {
        Self { scratch: Scratch::new("conformance"), clock: Clock::start(), houses: Vec::new(), kinds }
    }

    fn open(&mut self, place: usize) -> Result<(), String> {
        let kind = self.kinds[place % self.kinds.len()];
        let house = &mut self.houses[place];
        let store = RedbStore::open(&house.store).map_err(|why| why.to_string())?;
        let store = Mortal { store, fails: Arc::clone(&house.fails) };
        let setup = Setup::bind(house.address, house.start.config, house.start.credentials.clone()).map_err(|why| why.to_string())?;
        let shell = match kind {
            Kind::Mio => Runtime::start(setup, store).map(|runtime| Shell::Mio(runtime.into())),
            Kind::Smol => Node::split(setup, store).map(|(node, running)| {
                smol::spawn(running).detach();
                Shell::Smol(node.into())
            }),
            #[cfg(target_os = "linux")]
            Kind::Own => own_loop::Loop::start(setup, store).map(|own| Shell::Own(own.into())),
        };
        let shell = shell.map_err(|why| why.to_string())?;
        house.address = match &shell {
            Shell::Mio(runtime) => runtime.local_addr(),
            Shell::Smol(node) => node.local_addr(),
            #[cfg(target_os = "linux")]
            Shell::Own(own) => own.local_addr(),
        };
        house.shell = Some(shell);
        Ok(())
    }

    fn shell(&mut self, place: Place) -> &mut Shell {
        self.houses[place.0].shell.as_mut().expect("the suite speaks with running nodes only")
    }

    /// Loops without a thread of their own: each gets a turn.
    fn step_all(&mut self) {
        for house in &mut self.houses {
            match &mut house.shell {
                Some(Shell::Mio(runtime)) => drop(runtime.step(Duration::ZERO).expect("a loop runs")),
                #[cfg(target_os = "linux")]
                Some(Shell::Own(own)) => own.step(Duration::ZERO).expect("a loop runs"),
                Some(Shell::Smol(_)) | None => {}
            }
        }
    }
}

impl Launcher for Street {
    fn start(&mut self, start: Start) -> Result<Place, String> {
        let place = self.houses.len();
        let store = self.scratch.path().join(format!("{place}.redb"));
        let (fails, address) = (Arc::default(), SocketAddr::from(([127, 0, 0, 1], 0)));
        self.houses.push(House { start, store, fails, address, shell: None });
        self.open(place).map(|()| Place(place))
    }

    fn address(&mut self, place: Place) -> SocketAddr {
        self.houses[place.0].address
    }

    fn host_name(&mut self, _place: Place) -> String {
        "localhost".into()
    }

    fn wall(&mut self) -> WallTime {
        self.clock.wall()
    }

    fn command(&mut self, place: Place, command: Command) -> Result<Tag, CommandError> {
        match self.shell(place) {
            Shell::Mio(runtime) => runtime.command(command),
            Shell::Smol(node) => block_on(node.send(command)),
            #[cfg(target_os = "linux")]
            Shell::Own(own) => own.command(command),
        }
    }

    fn next(&mut self, place: Place, within: Duration) -> Option<Notice> {
        let end = self.clock.now() + within;
        loop {
            let pause = Duration::from_millis(2);
            let notice = match self.shell(place) {
                Shell::Mio(runtime) => {
                    let notice = runtime.next_notice();
                    if notice.is_none() {
                        runtime.step(pause).expect("a loop runs");
                    }
                    notice
                }
                #[cfg(target_os = "linux")]
                Shell::Own(own) => {
                    let notice = own.next_notice();
                    if notice.is_none() {
                        own.step(pause).expect("a loop runs");
                    }
                    notice
                }
                Shell::Smol(node) => block_on(or(node.next(), async {
                    Timer::after(pause).await;
                    None
                })),
            };
            if notice.is_some() || self.clock.now() >= end {
                return notice;
            }
            self.step_all();
        }
    }

    fn explain(&mut self, place: Place, user: UserId) -> Option<Explanation> {
        match self.shell(place) {
            Shell::Mio(runtime) => Some(runtime.node().explain(user)),
            Shell::Smol(node) => block_on(node.handle().look(move |node| node.explain(user))).ok(),
            #[cfg(target_os = "linux")]
            Shell::Own(own) => Some(own.node().explain(user)),
        }
    }

    fn stats(&mut self, place: Place) -> Option<Stats> {
        self.step_all();
        match self.shell(place) {
            Shell::Mio(runtime) => Some(*runtime.node().stats()),
            Shell::Smol(node) => block_on(node.handle().look(|node| *node.stats())).ok(),
            #[cfg(target_os = "linux")]
            Shell::Own(own) => Some(*own.node().stats()),
        }
    }

    fn datagram(&mut self, place: Place, bytes: &[u8]) -> Result<(), String> {
        let sent = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(bytes, self.houses[place.0].address));
        sent.map(drop).map_err(|why| why.to_string())
    }

    fn stop(&mut self, place: Place) {
        if let Some(Shell::Smol(node)) = self.houses[place.0].shell.take() {
            // Its store is free only when its task has ended.
            block_on(node.abandon());
        }
    }

    fn restart(&mut self, place: Place) -> Result<(), String> {
        self.open(place.0)
    }

    fn rebind(&mut self, place: Place) {
        let outcome = match self.shell(place) {
            Shell::Mio(runtime) => runtime.rebind(),
            Shell::Smol(node) => block_on(node.handle().rebind()),
            #[cfg(target_os = "linux")]
            Shell::Own(own) => own.rebind(),
        };
        outcome.expect("the port is still free");
    }

    fn fail_store(&mut self, place: Place, why: StoreError) {
        *self.houses[place.0].fails.lock().expect("nobody panics with it") = Some(why);
    }
}
