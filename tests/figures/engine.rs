//! `sim-engine`: what an event of the simulator costs when there are very many machines.

use std::time::Duration;

use overcom_core::{Action, Event, Packet, Time};
use overcom_simulator::Digest;
use overcom_simulator::swarm::{Machine, Swarm, Tally, Terrain};

use crate::figure::{Measured, Size, median};
use crate::meter::{allocations, cpu, heap_of};
use crate::ping::{self, Ping, Plain};
use crate::speed::Speed;

/// What an event may cost on the reference, in nanoseconds: 1,500,000 and 1,000,000 a second.
const ALLOWED: [(u32, f64); 2] = [(100_000, 1e9 / 1.5e6), (1_000_000, 1e9 / 1e6)];
/// Simulated time before the measurement: every machine has sent, and buffers have grown.
const WARM: Duration = Duration::from_millis(300);
/// Simulated time of a block; the median block counts.
const BLOCK: Duration = Duration::from_millis(250);

/// What a machine that waits for its deadline may cost beside its own state, in bytes.
const IDLE_BYTES: f64 = 200.0;

/// CPU of an event, which is a deadline or a datagram that has come, with the digest of all that happens, over what it may
/// cost: the worse of 100,000 machines and a million; and the bytes of an idle machine over what they may be. Each machine
/// wakes every 100 ms and sends 64 bytes to another one, which sends them back. The control is the same work on the engine that one writes first; it comes to the same digest.
pub(crate) fn sim_engine(size: Size) -> Result<Measured, String> {
    let speed = Speed::measure()?;
    let (blocks, sizes) = (size.of(4, 8, 40), if size == Size::Quick { &ALLOWED[..1] } else { &ALLOWED[..] });
    let (mut worst, mut details, mut first) = (0.0_f64, Vec::new(), None);
    for (machines, allowed) in sizes {
        let run = swarm(*machines, blocks)?;
        let nanos = run.nanos * speed.factor();
        worst = worst.max(nanos / allowed);
        details.push(format!(
            "{machines} machines: {:.0} events a CPU-second here, {:.0} on the reference, {} bytes a machine with the {} of its own, \
             {} allocations in {} events",
            1e9 / run.nanos,
            1e9 / nanos,
            run.bytes,
            size_of::<Ping>(),
            run.allocations,
            run.events,
        ));
        first.get_or_insert(run);
    }
    let idle = idle_bytes(sizes.last().map_or(0, |(machines, _)| *machines))?;
    worst = worst.max(idle / IDLE_BYTES);
    let (machines, allowed) = ALLOWED[0];
    let control = plain(machines, first.as_ref().map(|run| run.digest))?;
    Ok(Measured {
        value: worst,
        unit: "of what is allowed",
        target: 1.0,
        control: control * speed.factor() / allowed,
        size: sizes.last().map_or(0, |(machines, _)| u64::from(*machines)),
        seeds: 1,
        detail: format!(
            "{}; an idle one {idle:.0} bytes beside its own; {speed}; control: a binary heap, a map of addresses, memory for each \
             datagram and text for the digest, {:.0} events a CPU-second, to the same digest",
            details.join("; "),
            1e9 / control,
        ),
    })
}

struct Run {
    /// CPU of an event.
    nanos: f64,
    events: u64,
    allocations: u64,
    /// Heap for each machine, its own state included.
    bytes: u64,
    /// After the warm-up.
    digest: Digest,
}

fn swarm(machines: u32, blocks: u64) -> Result<Run, String> {
    let mut swarm = ping::swarm(1, machines)?;
    let mut until = Time::ZERO + WARM;
    swarm.run_until(until).map_err(|failure| format!("{failure:?}"))?;
    let happened = |tally: Tally| tally.ticks + tally.received;
    let (digest, begun, asked) = (swarm.marks().digest(), happened(swarm.tally()), allocations());
    let mut costs = Vec::with_capacity(blocks as usize);
    for _ in 0..blocks {
        let (before, clock) = (happened(swarm.tally()), cpu());
        until = until + BLOCK;
        swarm.run_until(until).map_err(|failure| format!("{failure:?}"))?;
        costs.push(cpu().saturating_sub(clock).as_nanos() as f64 / (happened(swarm.tally()) - before) as f64);
    }
    let allocations = allocations() - asked;
    let answered: u64 = swarm.machines().map(|(_, machine)| u64::from(machine.answered)).sum();
    if answered == 0 {
        return Err("no ping was answered".into());
    }
    let events = happened(swarm.tally()) - begun;
    // Buckets and blocks still grow now and then; datagrams ask for nothing.
    if allocations > events / 1_000 {
        return Err(format!("{allocations} allocations in {events} events"));
    }
    Ok(Run { nanos: median(costs), events, allocations, bytes: heap_of(swarm) / u64::from(machines), digest })
}

/// Waits.
struct Idle(Time);

impl Machine for Idle {
    fn handle(&mut self, now: Time, event: Event<'_>) {
        if event == Event::Tick {
            self.0 = now + Duration::from_secs(3_600);
        }
    }

    fn poll(&mut self) -> Option<Action> {
        None
    }

    fn deadline(&self) -> Option<Time> {
        Some(self.0)
    }

    fn recycle(&mut self, _: Packet) {}
}

/// Heap of a machine beside its own state, when its deadline is somewhere in the next hour.
fn idle_bytes(machines: u32) -> Result<f64, String> {
    let mut swarm = Swarm::new(1, Terrain::flat(ping::network()), |birth| {
        let mut draws = birth.draws;
        Idle(birth.now + Duration::from_secs(1 + draws.below(3_600)))
    });
    swarm.start(machines).map_err(|failure| format!("{failure:?}"))?;
    Ok(heap_of(swarm) as f64 / f64::from(machines) - size_of::<Idle>() as f64)
}

/// CPU of an event in nanoseconds.
fn plain(machines: u32, expected: Option<Digest>) -> Result<f64, String> {
    let mut plain = Plain::new(1, machines);
    plain.run_until(Time::ZERO + WARM);
    if expected != Some(plain.digest()) {
        return Err(format!("the engines differ: {:?} and {}", expected, plain.digest()));
    }
    let (before, clock) = (plain.happened, cpu());
    plain.run_until(Time::ZERO + WARM + BLOCK);
    Ok(cpu().saturating_sub(clock).as_nanos() as f64 / (plain.happened - before) as f64)
}
