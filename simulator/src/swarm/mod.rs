//! A great many machines that live on datagrams and time: the simulator's engine without pipes, disks, applications and
//! scenarios, for networks of up to millions.
//!
//! A [`Swarm`] and a [`Sim`](crate::Sim) share queue, network and digest. What a machine costs beside its own state is 48
//! bytes and its one entry in the queue; nothing is kept for a pair of machines, and no datagram asks for memory once the
//! run is warm.
//!
//! ```
//! use overcom_core::{Action, Event, Packet, Time};
//! use overcom_simulator::swarm::{Machine, Swarm, Terrain};
//! use overcom_simulator::{Network, secs};
//!
//! /// Wakes each second.
//! struct Beat(Time);
//!
//! impl Machine for Beat {
//!     fn handle(&mut self, now: Time, event: Event<'_>) {
//!         if let Event::Tick = event {
//!             self.0 = now + secs(1);
//!         }
//!     }
//!     fn poll(&mut self) -> Option<Action> {
//!         None
//!     }
//!     fn deadline(&self) -> Option<Time> {
//!         Some(self.0)
//!     }
//!     fn recycle(&mut self, _: Packet) {}
//! }
//!
//! let mut swarm = Swarm::new(1, Terrain::flat(Network::default()), |birth| Beat(birth.now + secs(1)));
//! swarm.start(1_000)?;
//! swarm.run_until(Time::from_secs(60))?;
//! assert_eq!(swarm.tally().ticks, 60 * 1_000);
//! # Ok::<(), overcom_simulator::Failure>(())
//! ```

pub mod byzantine;
mod churn;
mod lasting;
mod machine;
mod parcels;
mod places;
mod terrain;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use overcom_core::{Notice, Time, WallTime};

pub use churn::Churn;
pub use lasting::Lasting;
pub use machine::Machine;
pub use terrain::{MACHINES_MAX, Terrain, address};

use crate::digest::Marks;
use crate::draw::Draws;
use crate::network::Network;
use crate::queue::Queue;
use crate::run::Failure;
use parcels::{Parcel, Parcels};
use places::Places;

/// Events whose machines are fetched into the cache together (guess: about as many as a core can wait for at once).
const AHEAD: u32 = 16;

/// What a machine is made from, at its start and after each end of its process.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    /// Its number in the swarm, from 0.
    pub machine: u32,
    /// How many processes it has had before.
    pub life: u32,
    /// The time.
    pub now: Time,
    /// What its wall clock says.
    pub wall: WallTime,
    /// Where it listens; the first address if it has several, all of which its first event names.
    pub address: SocketAddr,
    /// Chance of its own, for its seed among others.
    pub draws: Draws,
}

/// What has happened so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Deadlines that came.
    pub ticks: u64,
    /// Datagrams that machines were told of.
    pub received: u64,
    /// Datagrams that machines sent.
    pub sent: u64,
    /// Of these: lost on their way.
    pub lost: u64,
    /// Of these: to an address without a machine, or with one that was down.
    pub unreachable: u64,
    /// Processes that began.
    pub joined: u64,
    /// Processes that ended.
    pub left: u64,
}

/// What is due at a machine.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// Its deadline, in this life.
    Wake(u32),
    /// A [`Parcel`], whose parts stand here so that an entry takes 32 bytes.
    Datagram {
        block: u32,
        length: u16,
        /// To which of the machine's addresses.
        at: u8,
    },
    Join,
    /// The end of this life by churn, and the start after it.
    Leave(u32),
    Return,
    /// The end of whatever life it has.
    Gone,
}

/// What the engine looks at for each event; the machine's own state lies right behind it.
#[derive(Debug)]
struct Head {
    /// When its live entry in the queue is; entries at other times are dead.
    queued: Time,
    /// When a later entry is that the live one has come before: it lives again once that one has come.
    queued_too: Time,
    busy_until: Time,
    /// Datagrams sent in all lives: what their draws are keyed by.
    sent: u64,
    life: u32,
    /// The minute in which it was told the wall clock last; `u32::MAX`: not in this life.
    clock: u32,
    is_up: bool,
}

struct Seat<M> {
    head: Head,
    /// `None` while it is down, and before it is touched.
    machine: Option<M>,
}

type Factory<M> = Box<dyn FnMut(&Birth) -> M>;
type Ear = Box<dyn FnMut(Time, u32, Notice)>;

/// Machines on a virtual network.
pub struct Swarm<M> {
    now: Time,
    seed: u64,
    queue: Queue<Due>,
    seats: Vec<Seat<M>>,
    parcels: Parcels,
    terrain: Terrain,
    crossings: Draws,
    /// What differs from the terrain.
    special: BTreeMap<(u32, u32), Network>,
    blocked: BTreeSet<(u32, u32)>,
    places: Places,
    marks: Marks,
    factory: Factory<M>,
    ear: Option<Ear>,
    churn: Option<Churn>,
    tally: Tally,
}

impl<M> fmt::Debug for Swarm<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Swarm(seed {:#x}, {} machines, at {})", self.seed, self.seats.len(), self.now)
    }
}

impl<M: Machine> Swarm<M> {
    /// An empty one at time zero; `factory` makes each machine, at its start and whenever it comes back.
    pub fn new(seed: u64, terrain: Terrain, factory: impl FnMut(&Birth) -> M + 'static) -> Self {
        Self {
            now: Time::ZERO,
            seed,
            queue: Queue::new(),
            seats: Vec::new(),
            parcels: Parcels::default(),
            terrain,
            crossings: Draws::new(seed, "link", &[]),
            special: BTreeMap::new(),
            blocked: BTreeSet::new(),
            places: Places::default(),
            marks: Marks::default(),
            factory: Box::new(factory),
            ear: None,
            churn: None,
            tally: Tally::default(),
        }
    }

    /// Adds machines that are down; the number of the first. [`MACHINES_MAX`] in all at most: what is more is left out.
    pub fn add(&mut self, count: u32) -> u32 {
        let first = self.len();
        let head =
            || Head { queued: Time::MAX, queued_too: Time::MAX, busy_until: Time::ZERO, sent: 0, life: 0, clock: u32::MAX, is_up: false };
        let count = count.min(MACHINES_MAX - first);
        self.seats.reserve_exact(count as usize);
        self.seats.extend((0..count).map(|_| Seat { head: head(), machine: None }));
        first
    }

    /// Adds machines and starts them, now.
    ///
    /// # Errors
    /// As [`Swarm::run_until`].
    pub fn start(&mut self, count: u32) -> Result<(), Failure> {
        let first = self.add(count);
        (first..self.len()).try_for_each(|machine| self.join(machine))
    }

    /// Adds machines that are up from now on, but made only when the first datagram reaches them, or [`Swarm::with`].
    pub fn start_when_touched(&mut self, count: u32) {
        let first = self.add(count) as usize;
        for seat in &mut self.seats[first..] {
            seat.head.is_up = true;
            self.tally.joined += 1;
        }
    }

    /// How many machines there are, up or down.
    pub fn len(&self) -> u32 {
        self.seats.len() as u32
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// The time.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// What has happened so far.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// The digest of all that happened, and the last events. Machines go by their numbers.
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// A machine; `None` while it is down or has not been touched.
    pub fn machine(&self, machine: u32) -> Option<&M> {
        self.seats.get(machine as usize).and_then(|seat| seat.machine.as_ref())
    }

    /// All machines that are there, with their numbers.
    pub fn machines(&self) -> impl Iterator<Item = (u32, &M)> {
        (0..).zip(&self.seats).filter_map(|(number, seat)| Some((number, seat.machine.as_ref()?)))
    }

    /// Asks a machine for something, then lets it do what it wants; `None` if it is down.
    ///
    /// # Errors
    /// As [`Swarm::run_until`].
    pub fn with<R>(&mut self, machine: u32, ask: impl FnOnce(&mut M, Time) -> R) -> Result<Option<R>, Failure> {
        if !self.is_up(machine) {
            return Ok(None);
        }
        self.wake_up(machine);
        let now = self.now;
        let answer = self.seats[machine as usize].machine.as_mut().map(|machine| ask(machine, now));
        self.drive(machine)?;
        Ok(answer)
    }

    /// Who is told what machines notify: time, machine, notice. Without it notices are dropped.
    pub fn listen(&mut self, ear: impl FnMut(Time, u32, Notice) + 'static) {
        self.ear = Some(Box::new(ear));
    }

    /// Where a machine listens first; [`address`] unless it was placed elsewhere.
    pub fn address(&self, machine: u32) -> SocketAddr {
        self.places.nth(machine, 0)
    }

    /// Gives a machine other addresses than [`address`] does: beside others', of both families, private ones. A datagram
    /// leaves from the first that reaches its receiver, by scope and family as in a [`Sim`](crate::Sim), and is unreachable if
    /// none does. A machine that is up hears that all its sockets are new; what is under way to the old ones reaches the new ones.
    ///
    /// # Errors
    /// As [`Swarm::run_until`].
    pub fn place(&mut self, machine: u32, addresses: &[SocketAddr]) -> Result<(), Failure> {
        self.places.set(machine, addresses);
        self.tell_addresses(machine, true);
        self.drive(machine)
    }

    /// The machine at an address.
    pub fn machine_at(&self, address: SocketAddr) -> Option<u32> {
        self.seat_at(address).map(|(machine, _)| machine)
    }

    fn seat_at(&self, address: SocketAddr) -> Option<(u32, u8)> {
        self.places.machine_at(address).filter(|(machine, _)| *machine < self.len())
    }

    /// Sets one direction of one link.
    pub fn set_link(&mut self, from: u32, to: u32, network: Network) {
        self.special.insert((from, to), network);
    }

    /// Lets nothing pass from one machine to another.
    pub fn block(&mut self, from: u32, to: u32) {
        self.blocked.insert((from, to));
    }

    /// Ends all blocks.
    pub fn heal(&mut self) {
        self.blocked.clear();
    }

    /// Lets everything happen until then.
    ///
    /// # Errors
    /// [`Failure`] of a machine that never comes to rest, or rests at a deadline that is over (C6).
    pub fn run_until(&mut self, until: Time) -> Result<(), Failure> {
        let mut fetched = 0;
        while let Some((key, due)) = self.queue.pop_until(until) {
            if fetched == 0 {
                self.fetch();
                fetched = AHEAD;
            }
            fetched -= 1;
            self.now = key.at;
            self.happen(key.to, key.from, due)?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// Reads something of what the next events will need. With many machines nothing of it is in the cache, and to wait for all
    /// at once takes hardly longer than to wait for one.
    fn fetch(&self) {
        for (key, due) in self.queue.upcoming(AHEAD as usize) {
            if let Some(seat) = self.seats.get(key.to as usize) {
                std::hint::black_box((seat.head.sent, seat.machine.as_ref().and_then(Machine::deadline)));
            }
            if let Due::Datagram { block, length, .. } = *due {
                std::hint::black_box(self.parcels.first(Parcel { block, length }));
            }
        }
    }

    fn is_up(&self, machine: u32) -> bool {
        self.seats.get(machine as usize).is_some_and(|seat| seat.head.is_up)
    }

    fn link(&self, from: u32, to: u32) -> Network {
        let special = if self.special.is_empty() { None } else { self.special.get(&(from, to)).copied() };
        special.unwrap_or_else(|| self.terrain.network(from, to))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;
