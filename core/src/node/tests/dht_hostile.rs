//! Whatever comes to a node's DHT: it holds what it may, and goes on.

use super::dht::{ask, enter, entered, entry, suspend};
use super::*;
use crate::id::to_base64;

/// Whatever a datagram holds: no panic, nothing kept that grows, and the node goes on.
// spec-test: DHT-160
#[test]
fn mutated_datagrams_neither_stop_a_node_nor_make_it_grow() {
    let mut net = entered(&["seed", "alice", "carol"]);
    let mut rng = Rng::from_seed(&Seed::from_bytes([5; 32]));
    net.weather = Some(alloc::boxed::Box::new(move |path, bytes: Vec<u8>| {
        let mut all = vec![(path, bytes.clone())];
        for _ in 0..4 {
            let mut bad = bytes.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bad.len().max(1) as u64) as usize;
                match rng.below(4) {
                    0 => bad.truncate(at),
                    1 => bad.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.below(8)),
                    2 => bad.insert(at.min(bad.len()), rng.below(256) as u8),
                    _ => bad.extend_from_slice(&bytes[at.min(bytes.len())..]),
                }
            }
            bad.truncate(1_500);
            let local = if rng.below(2) == 0 { path.local } else { SocketAddr::from(([10, 0, 1, rng.below(256) as u8], 7_575)) };
            all.push((Path { local, ..path }, bad));
        }
        all
    }));
    for _ in 0..20 {
        net.pass(Duration::from_secs(300));
        assert_eq!(ask(&mut net, 2, 1).0.len(), 1);
    }
    net.weather = None;
    net.pass(Duration::from_secs(600));
    let view = net.seats[0].driver.node().dht().unwrap();
    assert!(view.realms.len() == 1 && view.records <= 9 && view.heap_bytes < 64 << 10, "{view:?}");
    assert!(net.seats[0].driver.node().stats().dht_dropped > 100);
    // Asleep it takes none.
    suspend(&mut net, 0);
    let dropped = net.seats[0].driver.node().stats().datagrams_dropped;
    net.pass(Duration::from_secs(600));
    assert!(net.seats[0].driver.node().stats().datagrams_dropped > dropped && net.seats[0].driver.deadline().is_none());
}

/// The DHT's part of what a node may hold.
fn dht_term(config: &Config) -> u64 {
    config.memory_terms().into_iter().find(|(name, _)| *name == "dht").unwrap().1
}

#[test]
fn an_action_is_no_larger_than_the_bound_of_notices_counts_with() {
    assert!(size_of::<Action>() <= 120, "{}", size_of::<Action>());
}

// spec-test: NODE-8
#[test]
fn a_flooded_dht_holds_no_more_than_the_configuration_says() {
    assert_eq!([Config::embedded(), Config::test().dht(0)].map(|config| dht_term(&config)), [0, 0]);
    assert_eq!(Config::test().memory_bytes_max() - Config::test().dht(0).memory_bytes_max(), dht_term(&Config::test()));
    let mut net = entered(&["seed", "alice"]);
    let mut rng = Rng::from_seed(&Seed::from_bytes([6; 32]));
    let place = net.seats[0].at;
    let mut most = 0;
    for n in 0..60_000_u32 {
        let [a, b, c, d] = rng.array::<4>();
        let from: SocketAddr = match n % 3 {
            0 => SocketAddr::from(([10, b, c, d], 7_575)),
            1 => SocketAddr::from(([a, b, c, d], 7_575)),
            _ => SocketAddr::from(([0x2001, 0xdb8, u16::from(a), u16::from(b), 0, 0, 0, u16::from(c)], 7_575)),
        };
        let (t, target) = (to_base64(&rng.array::<8>()), to_base64(&rng.array::<32>()));
        let id = to_base64(&rng.array::<32>());
        let pad = ".".repeat(200);
        let text = match n % 4 {
            0 => format!(r#"{{"v":1,"t":"{t}","q":"ping","id":"{id}","pad":"{pad}"}}"#),
            1 => format!(r#"{{"v":1,"t":"{t}","q":"find","id":"{id}","target":"{target}","pad":"{pad}"}}"#),
            2 => format!(r#"{{"v":1,"t":"{t}","q":"get","target":"{target}","kind":"address","pad":"{pad}"}}"#),
            _ => format!(r#"{{"v":1,"t":"{t}","r":"find","id":"{id}","nodes":[]}}"#),
        };
        let path = Path { local: place, remote: from };
        net.now = net.now + Duration::from_millis(1);
        let now = net.now;
        net.seats[0].driver.handle(now, Event::datagram(path, text.as_bytes()));
        if n % 512 == 0 {
            let _ = net.command(0, Command::locate(credentials("nobody", "test").delegation().user()));
            net.run();
            let view = net.seats[0].driver.node().dht().unwrap();
            most = most.max(view.heap_bytes + view.record_bytes);
            assert!(view.realms.len() <= 6 && view.look_ups <= 6 * (64 + 8) && view.requests <= 512, "{view:?}");
        }
    }
    assert!((16 << 10..=dht_term(&Config::test())).contains(&most), "{most}");
    // It is of use all the same.
    net.pass(Duration::from_secs(600));
    assert_eq!(ask(&mut net, 1, 1).0.len(), 1);
}

/// An entry peer that answers everything with what it makes up.
// spec-test: DHT-166
#[test]
fn a_lying_entry_peer_neither_sends_anybody_astray_nor_hides_the_others() {
    let mut net = Net::new(&["seed", "alice", "carol"]);
    let liar: SocketAddr = "10.0.0.66:7575".parse().unwrap();
    net.weather = Some(alloc::boxed::Box::new(move |path: Path, bytes: Vec<u8>| {
        if path.remote != liar {
            return vec![(path, bytes)];
        }
        let text = String::from_utf8(bytes).unwrap_or_default();
        let field = |name: &str| text.split(&format!("\"{name}\":\"")).nth(1).and_then(|rest| rest.split('"').next()).map(String::from);
        let (Some(t), Some(q)) = (field("t"), field("q")) else { return vec![] };
        let id = "A".repeat(43);
        let record =
            r#"{"content":{"device":"AAAAAAAAAAAAAAAAAAAAAA","sequence":1800000000000,"addresses":["10.0.0.99:1"]},"signature":"AA"}"#;
        let answer = format!(
            r#"{{"v":1,"t":"{t}","r":"{q}","id":"{id}","cookie":"AAAAAAAAAAA","record":{record},"index":[["AAAAAAAAAAA",1]],"nodes":[["AAAAAAAAAAA","10.0.0.98:1"]]}}"#
        );
        vec![(Path { local: liar, remote: path.local }, answer.into_bytes())]
    }));
    enter(&mut net, 1, 0);
    let entries = [Entry { address: liar.into(), key: None }, entry(&net, 0)];
    net.command(2, Command::enter(entries)).unwrap();
    net.pass(Duration::from_secs(10));
    assert_eq!(ask(&mut net, 2, 1).0, [vec![net.seats[1].at]]);
    let tag = net.send(2, 1, "hello", Keep::Disk);
    net.pass(Duration::from_secs(1));
    assert!(net.has(2, |notice| *notice == Notice::Delivered { tag, device: None }));
    let stranger = credentials("nobody", "test").delegation().user();
    net.command(2, Command::find(stranger)).unwrap();
    net.pass(Duration::from_secs(30));
    assert!(net.seats[2].driver.node().explain(stranger).located.is_empty(), "nothing that was made up is dialled");
}
