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
        engine.mark(me, "send datagram", &[path.remote.to_string().as_bytes(), packet.bytes()]);
        let Some(to) = engine.route(me, path.remote).filter(|to| engine.machines[*to].address == path.remote) else { return };
        let network = engine.links.network(me, to);
        let (Some(mut crossing), mut draws) = engine.cross(me, to) else { return };
        if draws.chance(network.reorder_ppm) {
            crossing *= 4;
        }
        let departs = crate::network::depart(engine.now, &mut engine.machines[me].busy_until, network.busy(packet.bytes().len()));
        let back = Path { local: path.remote, remote: engine.machines[me].address };
        let copies = if draws.chance(network.duplicate_ppm) { 2 } else { 1 };
        for copy in 0..copies {
            let at = departs + crossing * (copy + 1);
            engine.later(at, to, me, Input::Datagram(back, packet.bytes().to_vec()));
        }
    }

    fn connect(&mut self, op: OpId, to: SocketAddr, from_listening_port: bool) {
        let (engine, me) = (&mut *self.engine, self.me);
        let now = engine.now;
        engine.mark(me, "connect", &[format!("{op:?} {to} {from_listening_port}").as_bytes()]);
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
        self.engine.mark(self.me, "write", &[&pipe.number().to_le_bytes(), packet.bytes()]);
        self.engine.write(self.me, pipe, packet.bytes().to_vec());
        self.engine.machines[self.me].spent.push(packet);
    }

    fn close(&mut self, pipe: PipeId) {
        self.engine.mark(self.me, "close", &[&pipe.number().to_le_bytes()]);
        self.engine.close(self.me, pipe);
    }

    fn resolve(&mut self, op: OpId, name: &str, port: u16) {
        let (engine, me) = (&mut *self.engine, self.me);
        engine.mark(me, "resolve", &[format!("{op:?} {name} {port}").as_bytes()]);
        let known = name.strip_suffix(".sim").and_then(|name| engine.machines.iter().find(|machine| machine.name == name));
        let outcome = known.map(|machine| machine.address.ip()).ok_or(ResolveError::Unknown);
        engine.later(engine.now + Duration::from_millis(10), me, me, Input::Resolved(op, outcome));
    }

    fn store(&mut self, op: OpId, batch: Batch, durable: bool) {
        let (engine, me) = (&mut *self.engine, self.me);
        let mut parts: Vec<&[u8]> = Vec::new();
        batch.changes.iter().for_each(|change| parts.extend([&change.key[..], change.value.as_deref().unwrap_or_default()]));
        engine.mark(me, if durable { "store" } else { "store softly" }, &parts);
        let at = engine.machines[me].disk.store(engine.now, op, batch, durable);
        engine.later(at, me, me, Input::Stored(op));
    }

    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        let (engine, me) = (&mut *self.engine, self.me);
        engine.mark(me, "load", &[&from, &to, &limit.to_le_bytes()]);
        let at = engine.machines[me].disk.read_at(engine.now);
        engine.later(at, me, me, Input::Load(op, from, to, limit));
    }

    fn notify(&mut self, notice: Notice) {
        // Of bare nodes only: Hosted keeps notices for its application.
        let text = format!("{notice:?}");
        self.engine.mark(self.me, "notify", &[text.as_bytes()]);
        self.engine.machines[self.me].notices.push_back(notice);
    }
}
