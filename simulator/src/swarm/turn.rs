//! What happens at a machine of a swarm, and what it does then.

use std::net::{IpAddr, SocketAddr};

use overcom_core::{Action, ConnectError, Event, Packet, Page, Path, ResolveError, Time};

use super::machine::Machine;
use super::parcels::Parcel;
use super::{Birth, Due, Seat, Swarm};
use crate::clock::Clock;
use crate::digest::Parts;
use crate::draw::Draws;
use crate::run::Failure;

/// Actions and ticks at one instant after which a machine is said never to come to rest (guess: more than any has to do).
const TURNS_MAX: u32 = 100_000;

impl<M: Machine> Swarm<M> {
    pub(super) fn happen(&mut self, me: u32, from: u32, due: Due) -> Result<(), Failure> {
        match due {
            Due::Wake(life) => {
                let head = &mut self.seats[me as usize].head;
                if head.queued != self.now || head.life != life {
                    return Ok(());
                }
                head.queued = std::mem::replace(&mut head.queued_too, Time::MAX);
                self.drive(me)
            }
            Due::Datagram { block, length, at } => self.arrive(me, at, from, Parcel { block, length }),
            Due::Join => self.join(me),
            Due::Return if self.comes_and_goes(me) => self.join(me),
            Due::Leave(life) if self.comes_and_goes(me) && self.seats[me as usize].head.life == life => {
                self.leave(me);
                self.return_later(me);
                Ok(())
            }
            Due::Return | Due::Leave(_) => Ok(()),
            Due::Gone => {
                self.leave(me);
                Ok(())
            }
        }
    }

    /// A process begins; nothing if there is one.
    pub(super) fn join(&mut self, me: u32) -> Result<(), Failure> {
        if self.is_up(me) || me >= self.len() {
            return Ok(());
        }
        self.seats[me as usize].head.is_up = true;
        self.tally.joined += 1;
        self.leave_later(me);
        self.wake_up(me);
        self.drive(me)
    }

    /// Makes the machine of a process that has none yet, and tells it what every shell says first.
    pub(super) fn wake_up(&mut self, me: u32) {
        if self.seats[me as usize].machine.is_some() {
            return;
        }
        let (now, address, life) = (self.now, self.address(me), self.seats[me as usize].head.life);
        let draws = Draws::new(self.seed, "machine", &[u64::from(me), u64::from(life)]);
        let birth = Birth { machine: me, life, now, wall: Clock::default().wall(now), address, draws };
        self.seats[me as usize].machine = Some((self.factory)(&birth));
        self.tell_addresses(me, false);
        self.tell_clock(me);
    }

    /// The process ends without a word.
    pub(super) fn leave(&mut self, me: u32) {
        let Seat { head, machine } = &mut self.seats[me as usize];
        if std::mem::take(&mut head.is_up) {
            (head.life, head.clock) = (head.life.wrapping_add(1), u32::MAX);
            (head.queued, head.queued_too) = (Time::MAX, Time::MAX);
            *machine = None;
            self.tally.left += 1;
        }
    }

    fn arrive(&mut self, me: u32, at: u8, from: u32, parcel: Parcel) -> Result<(), Failure> {
        if !self.is_up(me) {
            self.parcels.free(parcel);
            self.tally.unreachable += 1;
            return Ok(());
        }
        self.wake_up(me);
        self.tally.received += 1;
        let local = self.places.nth(me, at);
        // Whoever has moved on since is still known by where it is.
        let remote = self.places.towards(from, local).unwrap_or_else(|| self.address(from));
        let path = Path { local, remote };
        self.tell_clock(me);
        let Self { marks, seats, parcels, now, .. } = self;
        let bytes = parcels.get(parcel);
        marks.add(*now, me, "datagram", |parts| {
            endpoint(parts, path.remote);
            parts.bytes(bytes);
        });
        if let Some(machine) = &mut seats[me as usize].machine {
            machine.handle(*now, Event::datagram(path, bytes));
        }
        parcels.free(parcel);
        self.drive(me)
    }

    /// Tells a machine, and the digest.
    fn tell(&mut self, me: u32, kind: &'static str, payload: impl FnOnce(&mut Parts<'_>), event: Event<'_>) {
        if let Some(machine) = &mut self.seats[me as usize].machine {
            self.marks.add(self.now, me, kind, payload);
            machine.handle(self.now, event);
        }
    }

    pub(super) fn tell_addresses(&mut self, me: u32, rebound: bool) {
        if self.machine(me).is_some() {
            let all = self.places.all(me);
            self.tell(me, "addresses", |parts| all.iter().for_each(|one| endpoint(parts, *one)), Event::addresses(&all, rebound));
        }
    }

    /// Tells the wall clock if it has not been told in this minute. A machine that nothing else happens to is not told: it
    /// could do nothing with it.
    fn tell_clock(&mut self, me: u32) {
        let minute = (self.now.as_micros() / 60_000_000) as u32;
        if std::mem::replace(&mut self.seats[me as usize].head.clock, minute) != minute {
            let wall = Clock::default().wall(self.now);
            self.tell(me, "clock", |parts| parts.bytes(&wall.as_millis().to_le_bytes()), Event::clock(wall));
        }
    }

    /// Lets a machine act until it rests, then sets its one timer (C5, C6).
    pub(super) fn drive(&mut self, me: u32) -> Result<(), Failure> {
        for _ in 0..TURNS_MAX {
            let Some(machine) = self.seats.get_mut(me as usize).and_then(|seat| seat.machine.as_mut()) else { return Ok(()) };
            if let Some(action) = machine.poll() {
                self.carry_out(me, action);
                continue;
            }
            match machine.deadline() {
                Some(due) if due <= self.now => {
                    self.tally.ticks += 1;
                    self.tell_clock(me);
                    self.tell(me, "tick", |_| {}, Event::Tick);
                }
                due => {
                    self.set_timer(me, due);
                    return Ok(());
                }
            }
        }
        Err(Failure { check: "C6".into(), at: self.now, detail: format!("machine {me} never comes to rest") })
    }

    /// One live entry a machine: one that is too early is looked at when it comes, one that is too late dies.
    pub(super) fn set_timer(&mut self, me: u32, due: Option<Time>) {
        let head = &mut self.seats[me as usize].head;
        if let Some(due) = due.filter(|due| *due < head.queued) {
            head.queued_too = std::mem::replace(&mut head.queued, due);
            self.queue.push(due, me, me, Due::Wake(head.life));
        }
    }

    fn carry_out(&mut self, me: u32, action: Action) {
        match action {
            Action::SendDatagram { path, packet } => {
                self.send(me, path.remote, &packet);
                self.recycle(me, packet);
            }
            // What a shell without pipes, names and disk answers: there is no way, no such name, and what is stored lasts as
            // long as the process.
            Action::Connect { op, .. } => {
                self.tell(me, "connect failed", |_| {}, Event::connect_failed(op, ConnectError::Unreachable));
            }
            Action::Write { packet, .. } => self.recycle(me, packet),
            Action::Close { .. } => {}
            Action::Resolve { op, .. } => self.tell(me, "resolved", |_| {}, Event::resolved(op, Err(ResolveError::Unknown))),
            Action::Store { op, .. } => self.tell(me, "stored", |_| {}, Event::stored(op, Ok(()))),
            Action::Load { op, .. } => self.tell(me, "loaded", |_| {}, Event::loaded(op, Ok(Page { items: &[], more: false }))),
            Action::Notify { notice } => {
                self.marks.add(self.now, me, "notify", |parts| parts.text(format_args!("{notice:?}")));
                if let Some(ear) = &mut self.ear {
                    ear(self.now, me, notice);
                }
                self.tell(me, "taken", |_| {}, Event::taken(1, &[]));
            }
        }
    }

    fn recycle(&mut self, me: u32, packet: Packet) {
        if let Some(machine) = &mut self.seats[me as usize].machine {
            machine.recycle(packet);
        }
    }

    fn send(&mut self, me: u32, remote: SocketAddr, packet: &Packet) {
        self.marks.add(self.now, me, "send datagram", |parts| {
            endpoint(parts, remote);
            parts.bytes(packet.bytes());
        });
        self.tally.sent += 1;
        let way = self.places.towards(me, remote).and_then(|_| self.seat_at(remote));
        let Some((to, place)) = way else {
            self.tally.unreachable += 1;
            return;
        };
        let network = self.link(me, to);
        let head = &mut self.seats[me as usize].head;
        head.sent += 1;
        let mut draws = self.crossings.of(&[u64::from(me), u64::from(to), head.sent]);
        let arrivals = match self.blocked.is_empty() || !self.blocked.contains(&(me, to)) {
            true => network.carry(&mut draws, self.now, &mut head.busy_until, packet.bytes().len()),
            false => [None; 2],
        };
        if arrivals[0].is_none() {
            self.tally.lost += 1;
        }
        for at in arrivals.into_iter().flatten() {
            if let Some(Parcel { block, length }) = self.parcels.put(packet.bytes()) {
                self.queue.push(at, to, me, Due::Datagram { block, length, at: place });
            }
        }
    }
}

/// An address in the digest: 4 or 16 bytes and the port.
fn endpoint(parts: &mut Parts<'_>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => parts.bytes(&ip.octets()),
        IpAddr::V6(ip) => parts.bytes(&ip.octets()),
    }
    parts.bytes(&address.port().to_le_bytes());
}
