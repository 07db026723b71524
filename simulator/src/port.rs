//! What a simulated machine does when its node wants something done.

use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{Batch, ConnectError, Notice, OpId, Packet, Path, PipeId, ResolveError, Shell};

use crate::engine::{Engine, Input, System};

/// The door through which the driver of machine `me` acts.
pub(crate) struct Port<'a> {
    pub(crate) engine: &'a mut Engine,
    pub(crate) me: usize,
}

impl Shell for Port<'_> {
    fn send_datagram(&mut self, path: Path, packet: &Packet) {
        let (engine, me) = (&mut *self.engine, self.me);
        engine.mark(me, "send datagram", |parts| {
            parts.text(format_args!("{}", path.remote));
            parts.bytes(packet.bytes());
        });
        let Some(to) = engine.route(me, path.remote).filter(|to| engine.machines[*to].address == path.remote) else { return };
        let network = engine.links.network(me, to);
        let mut draws = engine.links.draws(engine.machines[me].key, engine.machines[to].key);
        if engine.links.is_blocked(me, to) {
            return;
        }
        let arrivals = network.carry(&mut draws, engine.now, &mut engine.machines[me].busy_until, packet.bytes().len());
        let back = Path { local: path.remote, remote: engine.machines[me].address };
        for at in arrivals.into_iter().flatten() {
            engine.datagram(at, to, me, back, packet.bytes());
        }
    }

    fn connect(&mut self, op: OpId, to: SocketAddr, from_listening_port: bool) {
        let (engine, me) = (&mut *self.engine, self.me);
        let now = engine.now;
        engine.mark(me, "connect", |parts| parts.text(format_args!("{op:?} {to} {from_listening_port}")));
        if engine.route(me, to).is_none() {
            return engine.later(now + Duration::from_millis(1), me, me, Input::ConnectFailed(op, ConnectError::Unreachable));
        }
        let mut local = engine.machines[me].address;
        if !from_listening_port {
            local.set_port(engine.machines[me].port());
        }
        let life = engine.machines[me].life;
        engine.machines[me].dialling.insert(op, (local, to));
        engine.system(now, me, me, System::Try { life, op, attempt: 0 });
        engine.system(now + Duration::from_secs(10), me, me, System::GiveUp { life, op });
    }

    fn write(&mut self, pipe: PipeId, packet: Packet) {
        self.engine.mark(self.me, "write", |parts| {
            parts.bytes(&pipe.number().to_le_bytes());
            parts.bytes(packet.bytes());
        });
        self.engine.write(self.me, pipe, packet.bytes().to_vec());
        self.engine.machines[self.me].spent.push(packet);
    }

    fn close(&mut self, pipe: PipeId) {
        self.engine.mark(self.me, "close", |parts| parts.bytes(&pipe.number().to_le_bytes()));
        self.engine.close(self.me, pipe);
    }

    fn resolve(&mut self, op: OpId, name: &str, port: u16) {
        let (engine, me) = (&mut *self.engine, self.me);
        engine.mark(me, "resolve", |parts| parts.text(format_args!("{op:?} {name} {port}")));
        let known = name.strip_suffix(".sim").and_then(|name| engine.machines.iter().find(|machine| machine.name == name));
        let outcome = known.map(|machine| machine.address.ip()).ok_or(ResolveError::Unknown);
        engine.later(engine.now + Duration::from_millis(10), me, me, Input::Resolved(op, outcome));
    }

    fn store(&mut self, op: OpId, batch: Batch, durable: bool) {
        let (engine, me) = (&mut *self.engine, self.me);
        engine.mark(me, if durable { "store" } else { "store softly" }, |parts| {
            for change in &batch.changes {
                parts.bytes(&change.key);
                parts.bytes(change.value.as_deref().unwrap_or_default());
            }
        });
        let at = engine.machines[me].disk.store(engine.now, op, batch, durable);
        engine.later(at, me, me, Input::Stored(op));
    }

    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        let (engine, me) = (&mut *self.engine, self.me);
        engine.mark(me, "load", |parts| [&from[..], &to, &limit.to_le_bytes()].into_iter().for_each(|part| parts.bytes(part)));
        let at = engine.machines[me].disk.read_at(engine.now);
        engine.later(at, me, me, Input::Load(op, from, to, limit));
    }

    fn notify(&mut self, notice: Notice) {
        // Of bare nodes only: Hosted keeps notices for its application.
        self.engine.mark(self.me, "notify", |parts| parts.text(format_args!("{notice:?}")));
        self.engine.machines[self.me].notices.push_back(notice);
    }
}

#[cfg(test)]
mod tests {
    use overcom_core::Time;

    use super::*;
    use crate::clock::Clock;
    use crate::engine::{Delivery, Happened, Machine};
    use crate::network::{Links, Network, standard_address};

    const SENT: u64 = 1_000;

    /// When each of a thousand datagrams arrives that leave one a millisecond, in milliseconds after the first one's start.
    fn arrivals(network: Network, blocked: bool) -> Vec<u64> {
        let machine = |n: usize| Machine::new(if n == 0 { "ann" } else { "ben" }, standard_address(n), Clock::default());
        let mut engine = Engine::new(Links::new(5, network), vec![machine(0), machine(1)]);
        engine.machines.iter_mut().for_each(|machine| machine.up = true);
        if blocked {
            engine.links.block(0, 1);
        }
        for n in 0..SENT {
            engine.now = Time::from_millis(n);
            let path = Path { local: standard_address(0), remote: standard_address(1) };
            Port { engine: &mut engine, me: 0 }.send_datagram(path, &Packet::default());
        }
        let mut told = Vec::new();
        while let Some(happened) = engine.next(Time::from_secs(60)) {
            if let Happened::Told(1, Delivery::Datagram(..)) = happened {
                told.push(engine.now.as_micros() / 1_000);
            }
        }
        told
    }

    fn even() -> Network {
        Network { delay_us: 20_000, jitter_us: 0, ..Network::default() }
    }

    #[test]
    fn every_datagram_takes_the_delay_and_comes_once_when_nothing_is_wrong() {
        assert_eq!(arrivals(even(), false), (0..SENT).map(|n| n + 20).collect::<Vec<_>>());
        assert_eq!(arrivals(even(), true), Vec::<u64>::new());
    }

    #[test]
    fn datagrams_are_lost_and_doubled_as_often_as_is_said() {
        let lossy = arrivals(Network { loss_ppm: 300_000, ..even() }, false).len();
        let doubled = arrivals(Network { duplicate_ppm: 300_000, ..even() }, false).len();
        assert!((600..800).contains(&lossy) && (1_200..1_400).contains(&doubled), "{lossy} {doubled}");
    }

    #[test]
    fn a_datagram_that_is_held_up_is_overtaken() {
        let held = arrivals(Network { reorder_ppm: 100_000, ..even() }, false);
        let mut even = arrivals(even(), false);
        let extra = held.iter().max().copied().unwrap_or(0);
        assert!(held.len() == even.len() && extra > SENT + 20, "{extra}");
        // Two that were sent at different times arrive in the same millisecond: one of them was overtaken.
        even.dedup();
        let mut distinct = held;
        distinct.dedup();
        assert!((800..980).contains(&distinct.len()), "{}", distinct.len());
    }
}
