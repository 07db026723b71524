//! `frame-cost`: what a game's frame pays for a node that has nothing to do.

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use overcom_core::{AppId, Command, Config, Message, Notice, Time, UserId};
use overcom_mio::{Handle, Runtime};
use overcom_std::{Clock, MemoryStore, keys};

use crate::figure::{Measured, Size};

const LINKS: u64 = 100;
const TARGET_US: f64 = 200.0;
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two frames, so that the peers' loops get their turns on machines with few cores.
const PAUSE: Duration = Duration::from_millis(2);

/// The 99th percentile of `run_once(Duration::ZERO)` on a node with 100 idle links, in microseconds of the clock. In the
/// control every peer says something in every frame.
pub(crate) fn frame_cost(size: Size) -> Result<Measured, String> {
    let frames = size.of(1_000, 10_000, 100_000);
    let mut hall = Hall::open()?;
    let idle = hall.frames(frames, false)?;
    let busy = hall.frames(frames / 10, true)?;
    hall.close()?;
    Ok(Measured {
        value: percentile(&idle, 99),
        unit: "µs",
        target: TARGET_US,
        control: percentile(&busy, 99),
        size: frames,
        seeds: 1,
        detail: format!(
            "with {LINKS} idle links; the median frame takes {:.1} µs, the longest {:.0}; control: a message from every peer in every frame",
            percentile(&idle, 50),
            percentile(&idle, 100)
        ),
    })
}

/// So many of a hundred are no larger.
fn percentile(sorted: &[f64], of_100: usize) -> f64 {
    let rank = (sorted.len() * of_100).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or_default()
}

/// A node and its peers, which share a thread of their own.
struct Hall {
    hub: Runtime,
    me: UserId,
    peers: Vec<Handle>,
    threads: Vec<thread::JoinHandle<Result<(), String>>>,
    clock: Clock,
}

fn runtime(config: Config, clock: &Clock) -> Result<Runtime, String> {
    let app = AppId::new("figures").map_err(|why| why.to_string())?;
    let credentials = keys::ephemeral(&app, clock.wall()).map_err(|why| why.to_string())?;
    Runtime::bind((Ipv4Addr::LOCALHOST, 0), config, credentials, MemoryStore::new()).map_err(|why| why.to_string())
}

impl Hall {
    fn open() -> Result<Self, String> {
        let clock = Clock::start();
        let mut hub = runtime(Config::desktop(), &clock)?;
        let (mut peers, mut threads) = (Vec::new(), Vec::new());
        let (me, address) = (hub.node().me().user, hub.local_addr());
        for _ in 0..LINKS {
            let mut peer = runtime(Config::embedded(), &clock)?;
            peers.push(peer.handle());
            threads.push(thread::spawn(move || {
                let mut is_running = true;
                while is_running {
                    let mut starts = false;
                    is_running = peer
                        .run_once(PATIENCE, |notice| starts |= matches!(notice, Notice::Started { .. }))
                        .map_err(|why| why.to_string())?;
                    if starts {
                        peer.command(Command::introduce(me, [address.into()])).map_err(|why| why.to_string())?;
                        peer.command(Command::find(me)).map_err(|why| why.to_string())?;
                    }
                }
                Ok(())
            }));
        }
        while (hub.node().links().count() as u64) < LINKS {
            if clock.now() > Time::ZERO + PATIENCE {
                return Err(format!("{} of {LINKS} links are up", hub.node().links().count()));
            }
            hub.run_once(Duration::from_millis(10), drop).map_err(|why| why.to_string())?;
        }
        Ok(Self { hub, me, peers, threads, clock })
    }

    /// How long frames take, in ascending order.
    fn frames(&mut self, frames: u64, is_busy: bool) -> Result<Vec<f64>, String> {
        let mut took = Vec::new();
        for _ in 0..frames {
            if is_busy {
                for peer in &self.peers {
                    let message = Message::new("note", "x").map_err(|why| why.to_string())?;
                    peer.command(Command::send(self.me, message)).map_err(|why| why.to_string())?;
                }
            }
            thread::sleep(PAUSE);
            let begin = self.clock.now();
            self.hub.run_once(Duration::ZERO, drop).map_err(|why| why.to_string())?;
            took.push(self.clock.now().since(begin).as_secs_f64() * 1e6);
        }
        took.sort_by(f64::total_cmp);
        Ok(took)
    }

    fn close(self) -> Result<(), String> {
        for peer in &self.peers {
            peer.stop().map_err(|why| why.to_string())?;
        }
        self.threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a peer panicked")?)
    }
}
