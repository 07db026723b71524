//! Pipes: bytes in order, late when segments are lost, a bounded number of them under way.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{OpId, PipeId, Time};

use crate::engine::{Delivery, Engine, Input};
use crate::network::{depart, segment_delay};

/// Bytes under way or not read yet, in each direction (guess: a small socket buffer).
const WINDOW: usize = 64 << 10;
/// Bytes that travel as one event: up to twelve segments.
const CHUNK: usize = 16 << 10;
/// The bytes of one segment, each lost for itself.
const SEGMENT: usize = 1_400;
/// A pipe whose bytes do not get through for so long is reset.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Which end of a pipe: the dialler's is `A`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

#[derive(Debug)]
struct End {
    machine: usize,
    pipe: PipeId,
    open: bool,
    closing: bool,
    flow: Flow,
}

/// What one end sends.
#[derive(Debug, Default)]
struct Flow {
    /// Bytes of the outstanding write, and how many of them are under way.
    pending: Option<(Vec<u8>, usize)>,
    chunks: VecDeque<Chunk>,
    under_way: usize,
    last_arrival: Time,
    busy_until: Time,
    stalled: Option<Time>,
    fin: bool,
}

#[derive(Debug)]
enum Chunk {
    Bytes(Vec<u8>),
    Fin,
}

#[derive(Debug)]
struct Pipe {
    a: End,
    b: End,
}

impl Pipe {
    const fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }
}

/// All pipes, by a number of the simulator's own that no draw and no order depends on.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    next: u64,
    pipes: BTreeMap<u64, Pipe>,
    ends: BTreeMap<(usize, PipeId), (u64, Side)>,
}

impl Pipes {
    fn flow(&mut self, key: u64, side: Side) -> Option<&mut Flow> {
        self.pipes.get_mut(&key).map(|pipe| &mut pipe.end(side).flow)
    }

    pub(crate) fn open_end(&mut self, key: u64, side: Side) -> Option<PipeId> {
        let end = self.pipes.get_mut(&key)?.end(side);
        end.open.then_some(end.pipe)
    }

    /// Ends one end; its number, the first time.
    pub(crate) fn end(&mut self, key: u64, side: Side) -> Option<PipeId> {
        let pipe = self.pipes.get_mut(&key)?;
        let end = pipe.end(side);
        let ended = std::mem::replace(&mut end.open, false).then_some((end.machine, end.pipe));
        if !pipe.a.open && !pipe.b.open {
            self.pipes.remove(&key);
        }
        let (machine, number) = ended?;
        self.ends.remove(&(machine, number));
        Some(number)
    }

    fn place(&self, key: u64, side: Side) -> Option<(usize, usize)> {
        let pipe = self.pipes.get(&key)?;
        Some(match side {
            Side::A => (pipe.a.machine, pipe.b.machine),
            Side::B => (pipe.b.machine, pipe.a.machine),
        })
    }
}

impl Engine {
    pub(crate) fn open_pipe(&mut self, dialler: usize, by: usize, op: OpId, local: SocketAddr, remote: SocketAddr) {
        let key = self.pipes.next;
        self.pipes.next += 1;
        let network = self.links.network(dialler, by);
        let crossing = network.crossing(&mut self.links.draws(self.machines[dialler].key, self.machines[by].key));
        let accepted = self.now + crossing;
        let mut end = |machine: usize, last_arrival| {
            let pipe = self.machines[machine].pipe();
            let flow = Flow { last_arrival, ..Flow::default() };
            End { machine, pipe, open: true, closing: false, flow }
        };
        let (a, b) = (end(dialler, accepted), end(by, Time::ZERO));
        let (ours, theirs) = (a.pipe, b.pipe);
        self.pipes.ends.insert((dialler, ours), (key, Side::A));
        self.pipes.ends.insert((by, theirs), (key, Side::B));
        self.pipes.pipes.insert(key, Pipe { a, b });
        self.later(self.now, dialler, dialler, Input::Opened(ours, Some(op), local, remote));
        self.later(accepted, by, dialler, Input::Opened(theirs, None, remote, local));
        let line = format!("{} -> {}: pipe", self.machines[dialler].name, self.machines[by].name);
        self.say(line);
    }

    pub(crate) fn write(&mut self, me: usize, pipe: PipeId, bytes: Vec<u8>) {
        let Some(&(key, side)) = self.pipes.ends.get(&(me, pipe)) else { return };
        if let Some(flow) = self.pipes.flow(key, side) {
            flow.pending = Some((bytes, 0));
        }
        self.pump(key, side);
    }

    pub(crate) fn close(&mut self, me: usize, pipe: PipeId) {
        let Some(&(key, side)) = self.pipes.ends.get(&(me, pipe)) else { return };
        if let Some(pipe) = self.pipes.pipes.get_mut(&key) {
            pipe.end(side).closing = true;
        }
        self.later(self.now + Duration::from_secs(1), me, me, Input::CloseDue(key, side));
        self.pump(key, side);
    }

    /// Puts as much under way as the window takes.
    fn pump(&mut self, key: u64, side: Side) {
        let Some((me, _)) = self.pipes.place(key, side) else { return };
        loop {
            let Some(flow) = self.pipes.flow(key, side) else { return };
            let room = WINDOW.saturating_sub(flow.under_way).min(CHUNK);
            let Some((written, offset)) = flow.pending.as_mut() else { break };
            let rest = written.get(*offset..).unwrap_or_default();
            if room == 0 && !rest.is_empty() {
                return;
            }
            let bytes = rest.get(..rest.len().min(room)).unwrap_or_default().to_vec();
            *offset += bytes.len();
            let done = *offset >= written.len();
            let length = bytes.len();
            flow.under_way += length;
            flow.chunks.push_back(Chunk::Bytes(bytes));
            if done {
                flow.pending = None;
            }
            self.set_out(key, side, length);
            if done {
                self.later(self.now, me, me, Input::Written(key, side));
            }
        }
        let Some(end) = self.pipes.pipes.get_mut(&key).map(|pipe| pipe.end(side)) else { return };
        if end.closing && !end.flow.fin {
            self.send_fin(key, side);
            self.later(self.now, me, me, Input::Closed(key, side));
        }
    }

    fn send_fin(&mut self, key: u64, side: Side) {
        if let Some(flow) = self.pipes.flow(key, side).filter(|flow| !flow.fin) {
            flow.fin = true;
            flow.pending = None;
            flow.chunks.push_back(Chunk::Fin);
            self.set_out(key, side, 0);
        }
    }

    /// Says when the chunk that was put last arrives, after all before it.
    fn set_out(&mut self, key: u64, side: Side, length: usize) {
        let Some((me, to)) = self.pipes.place(key, side) else { return };
        let network = self.links.network(me, to);
        let mut draws = self.links.draws(self.machines[me].key, self.machines[to].key);
        let mut late = Some(Duration::ZERO);
        for _ in 0..length.div_ceil(SEGMENT).max(1) {
            late = late.and_then(|late| segment_delay(&network, &mut draws).map(|next| late.max(next)));
        }
        let crossing = network.crossing(&mut draws);
        let now = self.now;
        let Some(late) = late else { return self.reset(key) };
        let Some(flow) = self.pipes.flow(key, side) else { return };
        let at = (depart(now, &mut flow.busy_until, network.busy(length)) + crossing + late).max(flow.last_arrival);
        flow.last_arrival = at;
        self.later(at, to, me, Input::Chunk(key, side));
    }

    /// The first chunk that `side` sent and that is still under way has come to the other end.
    pub(crate) fn chunk_arrives(&mut self, key: u64, side: Side) -> Option<Delivery> {
        let (from, to) = self.pipes.place(key, side)?;
        let (now, blocked) = (self.now, self.links.is_blocked(from, to));
        let flow = self.pipes.flow(key, side)?;
        if blocked {
            let since = *flow.stalled.get_or_insert(now);
            if now.since(since) > STALL_MAX {
                self.reset(key);
            } else {
                // As a sender whose first wait doubles to a second: often enough to notice a healed partition.
                self.later(now + Duration::from_secs(1), to, from, Input::Chunk(key, side));
            }
            return None;
        }
        flow.stalled = None;
        match flow.chunks.pop_front()? {
            Chunk::Bytes(bytes) => {
                flow.under_way = flow.under_way.saturating_sub(bytes.len());
                // The credit of the reader travels back at once: only its amount matters, not its delay.
                self.pump(key, side);
                self.pipes.open_end(key, side.other()).map(|pipe| Delivery::Bytes(pipe, bytes))
            }
            Chunk::Fin => self.pipes.end(key, side.other()).map(Delivery::Closed),
        }
    }

    /// A close that could not hand its writes over within its second breaks the pipe.
    pub(crate) fn close_late(&mut self, key: u64, side: Side) -> Option<PipeId> {
        self.pipes.open_end(key, side)?;
        self.send_fin(key, side);
        self.pipes.end(key, side)
    }

    /// Both ends are told that it is over, now; what is under way is lost.
    fn reset(&mut self, key: u64) {
        for side in [Side::A, Side::B] {
            if let Some((me, _)) = self.pipes.place(key, side)
                && self.pipes.open_end(key, side).is_some()
            {
                self.later(self.now, me, me, Input::Closed(key, side));
            }
            if let Some(flow) = self.pipes.flow(key, side) {
                (flow.pending, flow.fin) = (None, true);
                flow.chunks.clear();
            }
        }
    }

    /// The machine's ends vanish without a word to it; the other ends learn it after what was under way.
    pub(crate) fn break_pipes(&mut self, me: usize) {
        let mine: Vec<(u64, Side)> =
            self.pipes.ends.range((me, PipeId::new(0))..=(me, PipeId::new(u64::MAX))).map(|(_, end)| *end).collect();
        for (key, side) in mine {
            self.send_fin(key, side);
            self.pipes.end(key, side);
        }
    }
}

#[cfg(test)]
mod tests;
