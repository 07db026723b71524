//! One node of overcom-mio on loopback that serves, its neighbours, and those who ask it: the half of `dht-serve-rate` that
//! real sockets have.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use overcom_core::{Command, Config, Crypto, DhtStanding, Entry, Node, RealmView, Time};
use overcom_mio::{Handle, Runtime};
use overcom_std::{Clock, MemoryStore};
use serde_json::{Value, json};

use super::door::{asks, first_ping};
use super::net::{base64, home};
use crate::meter::spent;
use crate::wired::node;

/// Others that serve beside it: as many as a reply names at most, and some more.
const NEIGHBOURS: u64 = 16;
/// Sockets that ask. On loopback each counts as an address and a group of its own.
const ASKERS: u64 = 16;
/// Requests that one of them has under way: together less than a receive buffer of the usual 208 KiB takes.
const UNDER_WAY: u64 = 8;
/// What has not come by then was lost.
const LOST: Duration = Duration::from_millis(200);
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the neighbours look at their sockets.
const REST: Duration = Duration::from_millis(5);
/// How long all of them have published once the node knows its neighbours.
const SETTLE: Duration = Duration::from_secs(3);

/// A served block.
pub(super) struct Block {
    /// CPU of the serving thread for a request that was answered, the kernel's work for its sockets with it.
    pub(super) micros: f64,
    /// The share of that in the kernel, as it accounts for it.
    pub(super) kernel: f64,
    /// Requests answered in a second, by the clock on the wall.
    pub(super) a_second: f64,
    pub(super) asked: u64,
    pub(super) answered: u64,
}

/// The node, whose loop has a thread of its own, and all around it.
pub(super) struct Served {
    handle: Handle,
    running: Vec<JoinHandle<()>>,
    ends: Arc<AtomicBool>,
    askers: Vec<Asker>,
    clock: Clock,
}

/// A socket, its requests with the cookie that it was given, and what has become of them.
struct Asker {
    socket: UdpSocket,
    requests: Vec<Request>,
    next: usize,
    under_way: u64,
    heard: Time,
}

struct Request {
    bytes: Vec<u8>,
    /// How its reply begins.
    reply: Vec<u8>,
}

impl Served {
    /// Starts all of them, and waits until the node knows its neighbours and keeps what some have published.
    pub(super) fn start(config: Config) -> Result<Self, String> {
        let clock = Clock::start();
        // The DHT alone: no links between the nodes.
        let mut server = node(0, config.links_service_out_max(0), MemoryStore::new())?;
        let (at, handle, ends) = (server.local_addr(), server.handle(), Arc::new(AtomicBool::new(false)));
        let mut neighbours = Vec::new();
        for number in 1..=NEIGHBOURS {
            let mut neighbour = node(number, Config::desktop().links_service_out_max(0), MemoryStore::new())?;
            neighbour.command(Command::enter([Entry { address: at.into(), key: None }])).map_err(|why| why.to_string())?;
            neighbours.push(neighbour);
        }
        let homes: Vec<String> =
            neighbours.iter().map(|neighbour| home(&Crypto::standard(), neighbour.node().me().user, "figures")).collect();
        // An error of a loop shows as a block that never ends.
        let serving = spawn("server", move || drop(server.run(drop)))?;
        let has_ended = Arc::clone(&ends);
        let beside = spawn("neighbours", move || turn_by_turn(&mut neighbours, &has_ended))?;
        let mut served = Self { handle, running: vec![serving, beside], ends, askers: Vec::new(), clock };
        served.settle()?;
        for number in 0..ASKERS {
            served.askers.push(Asker::new(at, number, &homes, served.clock)?);
        }
        Ok(served)
    }

    fn settle(&self) -> Result<(), String> {
        while self.clock.now() < Time::ZERO + PATIENCE {
            if self.handle.look(is_settled).map_err(|why| why.to_string())? {
                thread::sleep(SETTLE);
                return Ok(());
            }
            thread::sleep(REST);
        }
        let view = self.handle.look(Node::dht).map_err(|why| why.to_string())?;
        Err(format!("the served node knows too few neighbours or keeps too little: {view:?}"))
    }

    /// Has so many requests answered.
    pub(super) fn block(&mut self, requests: u64) -> Result<Block, String> {
        let look = || self.handle.look(|_| spent()).map_err(|why| why.to_string());
        let (begun, before) = (self.clock.now(), look()?);
        let (mut asked, mut answered) = (0, 0);
        let mut buffer = [0; 2_048];
        while answered < requests || self.askers.iter().any(|asker| asker.under_way > 0) {
            let now = self.clock.now();
            if now.since(begun) > PATIENCE {
                return Err(format!("{answered} of {requests} requests were answered in time"));
            }
            let came = answered;
            for asker in &mut self.askers {
                answered += asker.hear(now, &mut buffer)?;
                if answered < requests {
                    asked += asker.ask(now).map_err(|why| why.to_string())?;
                }
            }
            if came == answered {
                thread::yield_now();
            }
        }
        let wall = self.clock.now().since(begun).as_secs_f64();
        let spent = look()?.since(&before);
        Ok(Block {
            micros: spent.cpu.as_secs_f64() * 1e6 / answered as f64,
            kernel: spent.system as f64 / (spent.user + spent.system).max(1) as f64,
            a_second: answered as f64 / wall,
            asked,
            answered,
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // A loop that has ended by itself needs no stopping.
        let _ = self.handle.stop();
        for thread in self.running.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Asker {
    fn new(server: SocketAddr, number: u64, homes: &[String], clock: Clock) -> Result<Self, String> {
        let open = || -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(server)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        };
        let socket = open().map_err(|why| why.to_string())?;
        let exchange = base64(&number.to_be_bytes());
        let cookie = ask(&socket, &first_ping(&exchange))?["cookie"].as_str().map(str::to_owned).ok_or("no cookie")?;
        let mut requests = Vec::new();
        for home in homes {
            let mut asked = asks(&exchange, home);
            asked.iter_mut().for_each(|request| request["cookie"] = json!(cookie));
            // Others may be nearer to this home.
            if ask(&socket, &asked[2])?.get("record").is_none() {
                continue;
            }
            for request in asked {
                let (reply, kind) = (ask(&socket, &request)?, request["q"].as_str().unwrap_or_default());
                let is_whole = kind == "ping" || reply["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty());
                if reply["r"] != kind || !is_whole {
                    return Err(format!("{request} was answered by {reply}"));
                }
                let reply = format!(r#"{{"v":1,"t":"{exchange}","r":"{kind}""#).into_bytes();
                requests.push(Request { bytes: request.to_string().into_bytes(), reply });
            }
        }
        if requests.is_empty() {
            return Err("it keeps none of the records".into());
        }
        socket.set_nonblocking(true).map_err(|why| why.to_string())?;
        let next = number as usize % requests.len();
        Ok(Self { socket, requests, next, under_way: 0, heard: clock.now() })
    }

    /// Takes what has come; how many answers were among it.
    fn hear(&mut self, now: Time, buffer: &mut [u8]) -> Result<u64, String> {
        let mut answered = 0;
        loop {
            match self.socket.recv(buffer) {
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if !self.requests.iter().take(3).any(|request| bytes.starts_with(&request.reply)) {
                        return Err(format!("answered by {}", String::from_utf8_lossy(bytes)));
                    }
                    answered += 1;
                    self.under_way = self.under_way.saturating_sub(1);
                    self.heard = now;
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
                Err(why) => return Err(why.to_string()),
            }
        }
        if now.since(self.heard) > LOST {
            self.under_way = 0;
        }
        Ok(answered)
    }

    /// Asks as much as may be under way; how many those are.
    fn ask(&mut self, now: Time) -> io::Result<u64> {
        let mut asked = 0;
        if self.under_way == 0 {
            self.heard = now;
        }
        while self.under_way < UNDER_WAY {
            let Some(request) = self.requests.get(self.next) else { break };
            self.socket.send(&request.bytes)?;
            self.next = (self.next + 1) % self.requests.len();
            self.under_way += 1;
            asked += 1;
        }
        Ok(asked)
    }
}

/// Whether it serves, knows all around it, and keeps something.
fn is_settled(node: &Node) -> bool {
    let serves = |realm: &RealmView| realm.standing == DhtStanding::Serving && realm.verified >= NEIGHBOURS;
    node.dht().is_some_and(|dht| dht.realms.iter().any(serves) && dht.records > 0)
}

/// Asks and waits for the answer.
fn ask(socket: &UdpSocket, request: &Value) -> Result<Value, String> {
    let mut buffer = [0; 2_048];
    socket.send(request.to_string().as_bytes()).map_err(|why| why.to_string())?;
    let length = socket.recv(&mut buffer).map_err(|why| format!("{request} was not answered: {why}"))?;
    serde_json::from_slice(buffer.get(..length).unwrap_or_default()).map_err(|why| why.to_string())
}

fn turn_by_turn(nodes: &mut [Runtime], has_ended: &AtomicBool) {
    while !has_ended.load(Ordering::Relaxed) {
        for node in &mut *nodes {
            // As above: it shows.
            let _ = node.run_once(Duration::ZERO, drop);
        }
        thread::sleep(REST);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    thread::Builder::new().name(name.into()).spawn(work).map_err(|why| why.to_string())
}
