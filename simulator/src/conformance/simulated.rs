//! The simulator as one of the shells that the suite holds to the contract: bare nodes in virtual time.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{
    Command, CommandError, Driver, Event, Explanation, Next, Node, Notice, Path, Seed, Stats, StoreError, Tag, Time, UserId, WallTime,
};

use super::{Launcher, Place, Start};
use crate::clock::Clock;
use crate::draw::Draws;
use crate::engine::{Delivery, Engine, Happened, Machine};
use crate::network::{Links, Network, standard_address};
use crate::port::Port;

/// Actions in one turn (guess: more than a real loop does between looking at its sockets).
const BUDGET: u32 = 4_096;
/// Turns before other things get theirs; a node that never rests must not stop the world.
const TURNS_MAX: u32 = 1_000;

/// Nodes in a simulated network, each driven bare: there is no [`App`](overcom_core::App), and a notice is taken when
/// the next is asked for. Time passes in [`Launcher::next`] only, and only as far as it must.
pub struct Simulated {
    seed: u64,
    engine: Engine,
    houses: Vec<House>,
    conduct: Box<dyn Conduct>,
}

struct House {
    start: Start,
    driver: Option<Driver>,
    /// Whether a notice was given out and is not taken yet.
    is_held: bool,
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulated(seed {:#x}, {} nodes)", self.seed, self.houses.len())
    }
}

/// What a shell does between a driver and its machine. What is written here is right; the tests of the suite put one
/// mistake each in its place.
pub(super) trait Conduct {
    /// Says what the node is told when this has happened.
    fn tell(&mut self, me: usize, delivery: Delivery) -> Vec<Delivery> {
        let _ = me;
        vec![delivery]
    }

    /// Drives a node once.
    fn drive(&mut self, driver: &mut Driver, mut port: Port<'_>, now: Time) -> Next {
        driver.drive(&mut port, now, BUDGET)
    }

    /// Says when the shell wakes for a node that wants to be driven then.
    fn wake(&mut self, due: Option<Time>) -> Option<Time> {
        due
    }
}

struct Right;

impl Conduct for Right {}

impl Simulated {
    /// An empty network; `seed` decides every draw.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Box::new(Right))
    }

    pub(super) fn with(seed: u64, conduct: Box<dyn Conduct>) -> Self {
        Self { seed, engine: Engine::new(Links::new(seed, Network::default()), Vec::new()), houses: Vec::new(), conduct }
    }

    fn boot(&mut self, me: usize) -> Result<(), String> {
        let (machine, start) = (&self.engine.machines[me], &self.houses[me].start);
        let seed = Seed::from_bytes(Draws::new(self.seed, "node", &[machine.key, u64::from(machine.life)]).bytes());
        let (now, wall) = (self.engine.now, machine.clock.wall(self.engine.now));
        let node = Node::new(start.config, start.credentials.clone(), seed, now, wall).map_err(|why| why.to_string())?;
        self.houses[me].driver = Some(Driver::new(node));
        self.houses[me].is_held = false;
        for delivery in self.engine.begin_process(me) {
            self.tell(me, delivery);
        }
        self.turn(me);
        Ok(())
    }

    fn tell(&mut self, me: usize, delivery: Delivery) {
        let Some(driver) = self.houses[me].driver.as_mut() else { return };
        for delivery in self.conduct.tell(me, delivery) {
            self.engine.hand(me, driver, delivery);
        }
    }

    /// Drives a node until it rests, then sets its one timer.
    fn turn(&mut self, me: usize) {
        let now = self.engine.now;
        let Some(driver) = self.houses[me].driver.as_mut() else { return };
        let mut due = Some(now);
        for _ in 0..TURNS_MAX {
            let next = self.conduct.drive(driver, Port { engine: &mut self.engine, me }, now);
            self.engine.recycle(me, driver);
            if let Next::Until(until) = next {
                due = until;
                break;
            }
        }
        // Time moves on even past a node that asks to be driven at once for ever.
        let due = self.conduct.wake(due.map(|due| due.max(now + Duration::from_micros(1))));
        self.engine.set_timer(me, due);
    }

    /// Lets one thing happen; whether there was one until then.
    fn step(&mut self, until: Time) -> bool {
        match self.engine.next(until) {
            None => return false,
            Some(Happened::Due(me)) => self.turn(me),
            Some(Happened::Told(me, delivery)) => {
                self.tell(me, delivery);
                self.turn(me);
            }
            Some(Happened::Step(_) | Happened::Nothing) => {}
        }
        true
    }

    /// The application has come back: what it held is taken.
    fn take(&mut self, me: usize) {
        let now = self.engine.now;
        if let (true, Some(driver)) = (std::mem::take(&mut self.houses[me].is_held), self.houses[me].driver.as_mut()) {
            driver.handle(now, Event::taken(1, &[]));
            self.turn(me);
        }
    }
}

impl Launcher for Simulated {
    fn start(&mut self, start: Start) -> Result<Place, String> {
        let me = self.houses.len();
        self.engine.add(Machine::new(&format!("n{me}"), standard_address(me), Clock::default()));
        self.houses.push(House { start, driver: None, is_held: false });
        self.boot(me).map(|()| Place(me))
    }

    fn address(&mut self, place: Place) -> SocketAddr {
        self.engine.machines[place.0].address
    }

    fn host_name(&mut self, place: Place) -> String {
        format!("{}.sim", self.engine.machines[place.0].name)
    }

    fn wall(&mut self) -> WallTime {
        Clock::default().wall(self.engine.now)
    }

    fn command(&mut self, place: Place, command: Command) -> Result<Tag, CommandError> {
        let now = self.engine.now;
        let Some(driver) = self.houses[place.0].driver.as_mut() else { return Err(CommandError::Stopped) };
        let outcome = driver.command(now, command);
        self.turn(place.0);
        outcome
    }

    fn next(&mut self, place: Place, within: Duration) -> Option<Notice> {
        self.take(place.0);
        let end = self.engine.now + within;
        loop {
            if let Some(notice) = self.engine.machines[place.0].notices.pop_front() {
                self.houses[place.0].is_held = true;
                return Some(notice);
            }
            if !self.step(end) {
                self.engine.now = end;
                return None;
            }
        }
    }

    fn explain(&mut self, place: Place, user: UserId) -> Option<Explanation> {
        self.houses[place.0].driver.as_ref().map(|driver| driver.node().explain(user))
    }

    fn stats(&mut self, place: Place) -> Option<Stats> {
        self.houses[place.0].driver.as_ref().map(|driver| *driver.node().stats())
    }

    fn datagram(&mut self, place: Place, bytes: &[u8]) -> Result<(), String> {
        let (at, local) = (self.engine.now + Duration::from_millis(1), self.engine.machines[place.0].address);
        // From nobody who is here.
        let path = Path { local, remote: SocketAddr::from(([10, 99, 99, 99], 7575)) };
        self.engine.datagram(at, place.0, place.0, path, bytes);
        Ok(())
    }

    fn stop(&mut self, place: Place) {
        let (now, machine) = (self.engine.now, &mut self.engine.machines[place.0]);
        let mut draws = Draws::new(self.seed, "crash", &[machine.key, u64::from(machine.life)]);
        machine.disk.crash(now, &mut draws);
        self.houses[place.0].driver = None;
        self.engine.end_process(place.0);
    }

    fn restart(&mut self, place: Place) -> Result<(), String> {
        self.boot(place.0)
    }

    fn rebind(&mut self, place: Place) {
        self.engine.rebind(place.0, None);
        let address = self.engine.machines[place.0].address;
        self.tell(place.0, Delivery::Addresses(vec![address], true));
        self.turn(place.0);
    }

    fn fail_store(&mut self, place: Place, why: StoreError) {
        self.engine.machines[place.0].disk.set_failing(Some(why));
    }
}
