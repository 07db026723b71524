//! Both families and datagrams on real sockets: what listens on `[::]` is reached by either, and says plain addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use overcom_core::{
    AppId, Command, Config, Credentials, Delegation, DeviceKeys, IdentitySecret, LinkView, Message, Notice, Rng, Seed, Stats, UserId,
};
use overcom_mio::Runtime;
use overcom_smol::Node;
use overcom_std::{Clock, MemoryStore, Setup};
use serde_json::Value;
use smol::Timer;
use smol::future::{block_on, or};

/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);
const BOTH: [fn(u16) -> SocketAddr; 2] =
    [|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)), |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port))];

fn credentials(number: u8) -> Credentials {
    let identity = IdentitySecret::from_bytes([number; 32]);
    let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([number; 32])));
    let (app, now, hour) = (AppId::new("dual").unwrap(), Clock::start().wall(), Duration::from_secs(3_600));
    keys.credentials(Delegation::sign(&identity, &keys.grant(app, now - hour, now + hour)).unwrap())
}

fn user(number: u8) -> UserId {
    IdentitySecret::from_bytes([number; 32]).user()
}

/// A node on the wildcard of both families.
fn setup(number: u8) -> Setup {
    Setup::bind((Ipv6Addr::UNSPECIFIED, 0), Config::test(), credentials(number)).unwrap()
}

/// Whether this machine has IPv6; says so if a test has to do without.
fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        eprintln!("SKIPPED: this machine has no ::1, so nothing was shown of IPv6");
    }
    has
}

/// One of the runtimes, as far as this asks.
trait Runs {
    fn port(&self) -> u16;
    fn ask(&mut self, command: Command);
    /// The next notice, if one comes at once.
    fn next(&mut self) -> Option<Notice>;
    fn stats(&mut self) -> Stats;
    fn links(&mut self) -> Vec<LinkView>;
}

impl Runs for Runtime {
    fn port(&self) -> u16 {
        self.local_addr().port()
    }

    fn ask(&mut self, command: Command) {
        self.command(command).unwrap();
    }

    fn next(&mut self) -> Option<Notice> {
        self.step(Duration::from_millis(1)).unwrap();
        self.next_notice()
    }

    fn stats(&mut self) -> Stats {
        *self.node().stats()
    }

    fn links(&mut self) -> Vec<LinkView> {
        self.node().links().collect()
    }
}

impl Runs for Node {
    fn port(&self) -> u16 {
        self.local_addr().port()
    }

    fn ask(&mut self, command: Command) {
        block_on(self.send(command)).unwrap();
    }

    fn next(&mut self) -> Option<Notice> {
        block_on(or(self.receive(), async {
            Timer::after(Duration::from_millis(1)).await;
            None
        }))
    }

    fn stats(&mut self) -> Stats {
        block_on(self.handle().look(|node| *node.stats())).unwrap()
    }

    fn links(&mut self) -> Vec<LinkView> {
        block_on(self.handle().look(|node| node.links().collect())).unwrap()
    }
}

fn on_mio(number: u8) -> Box<dyn Runs> {
    Box::new(Runtime::start(setup(number), MemoryStore::new()).unwrap())
}

fn on_smol(number: u8) -> Box<dyn Runs> {
    let (node, running) = Node::split(setup(number), MemoryStore::new()).unwrap();
    smol::spawn(running).detach();
    Box::new(node)
}

/// Lets all of them run until `is_it` holds of one's notice.
fn until(nodes: &mut [Box<dyn Runs>], what: &str, mut is_it: impl FnMut(usize, &Notice) -> bool) {
    let clock = Clock::start();
    loop {
        assert!(clock.now() < overcom_core::Time::ZERO + PATIENCE, "{what} did not come");
        for (index, node) in nodes.iter_mut().enumerate() {
            if node.next().is_some_and(|notice| is_it(index, &notice)) {
                return;
            }
        }
    }
}

/// A node on `[::]:0` is dialled by each family, is sent a message and a datagram by each, and says where both came from and
/// went to as plain addresses.
fn both_families_reach(start: fn(u8) -> Box<dyn Runs>) {
    if !has_ipv6() {
        return;
    }
    let mut nodes: Vec<Box<dyn Runs>> = (1..=3).map(start).collect();
    let mut started = 0;
    until(&mut nodes, "a start", |_, notice| {
        started += u32::from(matches!(notice, Notice::Started { .. }));
        started == 3
    });
    let port = nodes[0].port();
    for (index, address) in BOTH.into_iter().enumerate() {
        let (dialler, text) = (index + 1, format!("over {}", address(port)));
        nodes[dialler].ask(Command::introduce(user(1), [address(port).into()]));
        nodes[dialler].ask(Command::send(user(1), Message::new("say", &text).unwrap()));
        until(&mut nodes, &text, |at, notice| {
            at == 0 && matches!(notice, Notice::Message(message) if message.parse::<String>().is_ok_and(|it| it == text))
        });
        // Each end says its addresses as they are on the wire: IPv4 as IPv4.
        let wanted = address(0).ip();
        let dialled: Vec<SocketAddr> = nodes[dialler].links().iter().map(|link| link.remote).collect();
        assert_eq!(dialled, [address(port)]);
        let accepted: Vec<_> = nodes[0].links().iter().map(|link| link.remote.ip()).collect();
        assert!(accepted.contains(&wanted), "{accepted:?} for {wanted}");
        assert_eq!(accepted.len(), index + 1);
    }
    for address in BOTH {
        answers_from_where_it_was_asked(&mut nodes[0], address(port), &UdpSocket::bind(address(0)).unwrap());
    }
}

/// A datagram comes in and is counted, one goes out, from where it was asked; and the node took the asker for who it is: a
/// dual-stack socket shows IPv4 as IPv6.
fn answers_from_where_it_was_asked(node: &mut Box<dyn Runs>, at: SocketAddr, socket: &UdpSocket) {
    const PING: &[u8] = include_bytes!("fuzz/corpus/datagram/ping-cold");
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let (before, clock) = (node.stats().dht_in, Clock::start());
    socket.send_to(PING, at).unwrap();
    let mut bytes = [0; 2_048];
    let (length, from) = loop {
        assert!(clock.now() < overcom_core::Time::ZERO + PATIENCE, "no datagram came back from {at}");
        let _ = node.next();
        // A request of the node's own may come first.
        if let Ok((length, from)) = socket.recv_from(&mut bytes)
            && bytes[..length].windows(10).any(|part| part == b"\"r\":\"ping\"")
        {
            break (length, from);
        }
    };
    let (asked, answer): (Value, Value) = (serde_json::from_slice(PING).unwrap(), serde_json::from_slice(&bytes[..length]).unwrap());
    assert_eq!((from, &answer["t"]), (at, &asked["t"]));
    assert_eq!(answer["seen"], socket.local_addr().unwrap().to_string(), "the node's shell says where a datagram came from");
    assert!(node.stats().dht_in > before);
}

// spec-test: SHELL-6
#[test]
fn mio_on_both_families_is_reached_by_either_and_says_plain_addresses() {
    both_families_reach(on_mio);
}

// spec-test: SHELL-6
#[test]
fn smol_on_both_families_is_reached_by_either_and_says_plain_addresses() {
    both_families_reach(on_smol);
}
