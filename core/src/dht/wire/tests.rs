use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::crypto::Crypto;
use crate::crypto::noise::KeyPair;
use crate::dht::id::{Variant, node_id};
use crate::dht::proof::say_hello;
use crate::dht::record::tests as records;
use crate::fuzz::said_again;
use crate::id::array_from_base64;
use crate::rng::{Rng, Seed};
use crate::wire::INTEGER_MAX;

const V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 97)), 51_820);
const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x85a3, 0x8d3, 0x1319, 0x8a2e, 0x370, 0x7348)), 51_820);

fn exchange() -> Exchange {
    Exchange::from_bytes(array_from_base64("R9xUDJTOtwQ").unwrap())
}

fn cookie() -> Cookie {
    Cookie::from_text("wLqKM6xn9Eo").unwrap()
}

fn token() -> Token {
    Token::from_text("KSGhHyXa2qJKp5pUjk6BUA").unwrap()
}

/// The key pair of the node that answers in the examples.
fn node() -> KeyPair {
    KeyPair::new(&Crypto::standard(), [7; 32])
}

fn id_at(at: SocketAddr) -> Key {
    node_id(&NodeKey::from_bytes(*node().public()), at, Variant::from_low_bits(5)).unwrap()
}

/// The id of that node at [`V4`].
fn id() -> Key {
    id_at(V4)
}

fn device() -> DeviceHint {
    DeviceHint::of(records::device_record().device())
}

/// Nodes of one number each, at addresses of one length; their hints fit.
fn contacts(count: u8, is_v4: bool) -> Few<Contact> {
    let at = |n: u8| {
        if is_v4 {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 90 + n)), 51_820)
        } else {
            SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x85a3, 0, 0, 0, 0, 0x90 + u16::from(n))), 51_820)
        }
    };
    let contact =
        |n: u8| Contact { hint: node_id(&NodeKey::from_bytes([n; 32]), at(n), Variant::from_low_bits(n)).unwrap().hint(), at: at(n) };
    (0..count).map(contact).collect()
}

fn head(id: Option<Key>, cookie: Option<Cookie>) -> Head {
    Head { exchange: exchange(), id, cookie }
}

fn request(to: SocketAddr, head: &Head, request: &Request<'_>) -> String {
    let mut out = Vec::new();
    assert!(write_request(&mut out, to, head, request));
    String::from_utf8(out).unwrap()
}

fn reply(asker: Asker, reply: &Reply<'_>) -> String {
    let mut out = Vec::new();
    assert!(write_reply(&mut out, exchange(), asker, reply));
    String::from_utf8(out).unwrap()
}

fn denied(denied: Denied) -> String {
    let mut out = Vec::new();
    write_error(&mut out, exchange(), denied);
    String::from_utf8(out).unwrap()
}

/// Who sent a request without a cookie that holds.
fn stranger(request: &str) -> Asker {
    Asker::Unproven { bytes: request.len(), own: Some((id(), cookie())) }
}

fn get(kind: Kind, device: Option<DeviceHint>, known: Option<u64>, write: bool) -> Request<'static> {
    Request::Get { target: records::home(), kind, device, known, write, is_fair: false }
}

fn got<'a>(record: Option<&'a str>, index: &[u64], token: Option<Token>, nodes: u8) -> Reply<'a> {
    let index = index.iter().map(|number| Listed { device: device(), number: *number }).collect();
    let got = Got { record, index: Some(index), token, ..Got::default() };
    Reply { nodes: contacts(nodes, true), ..Reply::new(Answer::Get(got)) }
}

/// All kinds of datagrams, as the specification shows them.
fn examples() -> Vec<(&'static str, String)> {
    let (device_record, address_record) = (records::device_record(), records::address_record());
    let (device_json, address_json) = (device_record.to_json(), address_record.to_json());
    let revocation = records::largest_revocation().to_json();
    let (target, sequence) = (records::home(), address_record.sequence());
    let (nobody, client, server) = (head(None, None), head(None, Some(cookie())), head(Some(id()), Some(cookie())));
    let find = Request::Find { target, is_fair: false };
    let found = |nodes| Reply { nodes, seen: Some(V4), ..Reply::new(Answer::Find) };
    let put = |kind, record, carry| Request::Put { target, kind, token: Some(token()), record, carry };
    let challenge = KeyPair::new(&Crypto::standard(), [8; 32]);
    let proof = say_hello(&Crypto::standard(), &node(), &id(), challenge.public(), exchange()).unwrap();
    let seen = |reply: Reply<'static>| Reply { seen: Some(V4), other: Some(V6), ..reply };
    let mut out: Vec<(&'static str, String)> = vec![];
    let mut say = |name, text: String| {
        out.push((name, text.clone()));
        text
    };
    let asked = say("ping, alive", request(V4, &nobody, &Request::Ping { to: Some(id().hint()) }));
    say("its reply", reply(stranger(&asked), &seen(Reply::new(Answer::Ping))));
    let asked = say("ping, cold", request(V4, &head(Some(id()), None), &Request::Ping { to: None }));
    say("its reply", reply(stranger(&asked), &seen(Reply::new(Answer::Ping))));
    let asked = say("find, cold", request(V4, &nobody, &find));
    say("its reply", reply(stranger(&asked), &found(contacts(7, true))));
    let asked = say("find, cold, IPv6", request(V6, &nobody, &find));
    let six = Asker::Unproven { bytes: asked.len(), own: Some((id_at(V6), cookie())) };
    say("its reply", reply(six, &Reply { seen: Some(V6), ..found(contacts(5, false)) }));
    say("find, live", request(V4, &client, &find));
    say("its reply", reply(Asker::Proven { renewed: None }, &found(contacts(7, true))));
    say("find, fair", request(V4, &client, &Request::Find { target, is_fair: true }));
    let asked = say("get, cold", request(V4, &nobody, &get(Kind::Address, None, None, false)));
    say("its reply", reply(stranger(&asked), &Reply { seen: Some(V4), ..got(Some(&address_json), &[sequence], None, 0) }));
    let asked = say("get, region", request(V4, &nobody, &get(Kind::Address, None, Some(sequence), false)));
    say("its reply", reply(stranger(&asked), &got(None, &[sequence], None, 4)));
    say("get, live", request(V4, &client, &get(Kind::Address, None, None, true)));
    say("its reply", reply(Asker::Proven { renewed: None }, &got(Some(&address_json), &[sequence], Some(token()), 4)));
    let asked = say("get, a device", request(V4, &client, &get(Kind::Device, Some(device()), None, false)));
    say("its reply", reply(Asker::Proven { renewed: None }, &got(Some(&device_json), &[device_record.number()], None, 4)));
    let cold = request(V4, &nobody, &get(Kind::Device, None, None, false));
    assert!(asked.len() < cold.len());
    say("its reply when cold", reply(stranger(&cold), &got(Some(&device_json), &[device_record.number()], None, 5)));
    say("get, nothing", reply(Asker::Proven { renewed: None }, &got(None, &[], Some(token()), 7)));
    say("put", request(V4, &server, &put(Kind::Address, &address_json, false)));
    say("put, to be carried", request(V4, &client, &put(Kind::Address, &address_json, true)));
    say("put, a device", request(V4, &client, &put(Kind::Device, &device_json, false)));
    say("put, the longest", request(V4, &server, &put(Kind::Revocation, &revocation, false)));
    say("its reply", reply(Asker::Proven { renewed: None }, &Reply::new(Answer::Put { sequence })));
    say("old", denied(Denied::Old { sequence }));
    say("busy", denied(Denied::Busy { wait: 30 }));
    say("device", denied(Denied::Device));
    say("hello", request(V4, &server, &Request::Hello { challenge: *challenge.public() }));
    let key = NodeKey::from_bytes(*node().public());
    say("its reply", reply(Asker::Proven { renewed: None }, &Reply::new(Answer::Hello { key, proof })));
    say("probe", request(V4, &client, &Request::Probe));
    say("its reply", reply(Asker::Proven { renewed: None }, &Reply::new(Answer::Probe)));
    say("knock", request(V4, &server, &Request::Knock { at: V4 }));
    say("its reply", reply(Asker::Proven { renewed: None }, &Reply::new(Answer::Knock)));
    out
}

/// What the specification shows: name, number of bytes, text.
fn shown() -> Vec<(String, usize, String)> {
    let spec = include_str!("../../../SPEC.md");
    let lines = spec.lines().filter_map(|line| {
        let at = line.find(" {\"v\":1,")?;
        let (name, bytes) = line.get(..at)?.rsplit_once(' ')?;
        Some((name.to_string(), bytes.parse().unwrap(), line.get(at + 1..)?.to_string()))
    });
    lines.collect()
}

// spec-test: DHT-10
// spec-test: DHT-13
// spec-test: DHT-14
#[test]
fn the_examples_of_the_specification_are_what_is_written_byte_for_byte() {
    let examples: Vec<_> = examples().into_iter().map(|(name, text)| (name.to_string(), text.len(), text)).collect();
    if shown() != examples {
        let lines: Vec<String> = examples.iter().map(|(name, bytes, text)| format!("{name} {bytes} {text}")).collect();
        panic!("SPEC.md should show\n{}", lines.join("\n"));
    }
}

// spec-test: DHT-14
#[test]
fn datagrams_are_as_long_as_the_traffic_was_planned_with() {
    let lengths: Vec<_> = examples().into_iter().map(|(_, text)| text.len()).collect();
    let planned = [
        55, 36, 200, 193, // ping
        416, 407, 456, 394, 114, 305, 126, // find
        416, 395, 272, 270, 143, 484, 152, 872, 356, 348, // get
        432, 394, 801, 1_086, 60, // put
        60, 46, 38, // refusals
        169, 122, 240, 37, 240, 37,
    ];
    assert_eq!(lengths, planned);
}

// spec-test: DHT-10
#[test]
fn the_examples_read_back_as_what_they_say() {
    for (name, text) in examples() {
        let read = read(text.as_bytes()).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(read.head.exchange, exchange(), "{name}");
        let again = said_again(&read).unwrap();
        // A pad depends on to whom it goes.
        let is_same = again == text.as_bytes() || (name.ends_with("IPv6") && again.len() == 416);
        assert!(is_same, "{name}: {}", String::from_utf8_lossy(&again));
    }
}

fn read_text(text: &str) -> Result<Datagram<'_>, WireError> {
    read(text.as_bytes())
}

/// One of each address field's forms that no other node writes.
const OTHER_ADDRESSES: [&str; 12] = [
    "203.0.113.097:1",
    "203.0.113.97:01",
    "203.0.113.97:65536",
    "203.0.113.256:1",
    "203.0.113.97",
    "203.0.113.97.1:1",
    "203.0.113.97:",
    "[::ffff:203.0.113.97]:1",
    "[2001:DB8::1]:1",
    "[2001:db8:0:0::1]:1",
    "[fe80::1%3]:1",
    "home.example:1",
];

// spec-test: DHT-10
#[test]
fn what_is_no_datagram_is_not_read() {
    let good = r#"{"v":1,"t":"R9xUDJTOtwQ","q":"probe"}"#;
    assert!(read_text(good).is_ok());
    for bad in [
        "",
        "{}",
        "[]",
        "1",
        "\"v\"",
        r#"{"v":1,"t":"R9xUDJTOtwQ"}"#,
        r#"{"v":1,"q":"probe"}"#,
        r#"{"t":"R9xUDJTOtwQ","q":"probe"}"#,
        r#"{"v":2,"t":"R9xUDJTOtwQ","q":"probe"}"#,
        r#"{"v":"1","t":"R9xUDJTOtwQ","q":"probe"}"#,
        r#"{"v":1.0,"t":"R9xUDJTOtwQ","q":"probe"}"#,
        r#"{"v":1,"t":"R9xUDJTOtwQ","q":"probe","r":"probe"}"#,
        r#"{"v":1,"t":"R9xUDJTOtwQ","q":"probe","e":"far"}"#,
        r#"{"v":1,"t":"R9xUDJTOtwQ","q":"prob"}"#,
        r#"{"v":1,"t":"R9xUDJTOtwQ","q":"\u0070robe"}"#,
        r#"{"v":1,"t":"R9xUDJTOtwQ","e":"new"}"#,
        r#"{"v":1,"t":"R9xUDJTOtwQ","q":"probe"}{"#,
        r#"{"v":1,"t":"R9xUDJTOtwQ","q":"probe"} "#,
        r#"{"v":1, "t":"R9xUDJTOtwQ","q":"probe"}"#,
        "{\"v\":1,\"t\":\"R9xUDJTOtwQ\",\"q\":\"probe\"}\n",
    ] {
        assert!(read_text(bad).is_err(), "{bad}");
    }
    assert_eq!(read(b"{\"v\":1,\"t\":\"R9xUDJTOtwQ\",\"q\":\"probe\",\"x\":\"\xff\"}"), Err(WireError::Utf8));
    let padded = |length: usize| format!(r#"{{"v":1,"t":"R9xUDJTOtwQ","q":"probe","pad":"{}"}}"#, ".".repeat(length - 46));
    assert_eq!((padded(1_200).len(), read_text(&padded(1_200)).is_ok()), (1_200, true));
    assert_eq!(read_text(&padded(1_201)), Err(WireError::TooLong));
    let deep = |depth: usize| format!(r#"{{"v":1,"t":"R9xUDJTOtwQ","q":"probe","x":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(read_text(&deep(6)).is_ok());
    assert_eq!(read_text(&deep(7)), Err(WireError::TooDeep));
}

// spec-test: DHT-11
#[test]
fn a_known_field_that_is_wrong_or_there_twice_ends_it_and_an_unknown_one_nothing() {
    let with = |field: &str| format!(r#"{{"v":1,"t":"R9xUDJTOtwQ","q":"probe",{field}}}"#);
    for unknown in [r#""x":1.5e3"#, r#""x":null"#, r#""ID":7"#, r#""x":{"id":[[7]]}"#, r#""x":"\u0041""#, r#""x":-1,"y":[]"#] {
        let text = with(unknown);
        let read = read_text(&text).map(|read| (read.head, read.body));
        assert_eq!(read, Ok((head(None, None), Body::Request(Request::Probe))), "{unknown}");
    }
    let bytes = ["id", "cookie", "token", "target", "device", "to", "challenge", "key", "proof", "t"];
    let numbers = ["known", "revoked", "sequence", "wait"];
    let addresses = ["seen", "other", "at"];
    let flags = ["write", "more", "carry"];
    let all = bytes
        .iter()
        .chain(&numbers)
        .chain(&addresses)
        .chain(&flags)
        .chain(&["record", "index", "nodes", "kind", "q", "r", "e", "pad", "v"]);
    for key in all {
        for wrong in
            ["null", "[7]", "[[]]", "1.5", "-1", "9007199254740992", "false", "[[1,2]]", "[[\"ECtRuXZaVqM\"]]", "[[\"ECtRuXZaVqM\",1,2]]"]
        {
            assert!(read_text(&with(&format!("\"{key}\":{wrong}"))).is_err(), "{key} {wrong}");
        }
    }
    for key in bytes {
        for wrong in ["", "AA", "wLqKM6xn9Ep", "KSGhHyXa2qJKp5pUjk6BUB", &"A".repeat(44), &"A".repeat(42), &"=".repeat(43)] {
            assert!(read_text(&with(&format!("\"{key}\":\"{wrong}\""))).is_err(), "{key} {wrong}");
        }
    }
    let nodes = |at: &str| with(&format!(r#""nodes":[["ECtRuXZaVqM","{at}"]]"#));
    assert!(read_text(&nodes("203.0.113.97:1")).is_ok());
    assert!(OTHER_ADDRESSES.iter().all(|other| read_text(&nodes(other)).is_err()));
    // Each example with each of its fields a second time.
    for (name, text) in examples() {
        let keys: Vec<&str> = text.split('"').filter(|part| text.contains(&format!(",\"{part}\":")) && !part.is_empty()).collect();
        assert!(keys.len() >= 2, "{name}");
        for key in keys {
            let at = text.find(&format!(",\"{key}\":")).unwrap();
            let twice = format!("{},\"{key}\":0{}", &text[..at], &text[at..]);
            assert!(read_text(&twice).is_err(), "{name} {key}");
        }
    }
}

// spec-test: DHT-11
#[test]
fn fields_are_read_in_any_order() {
    let text = r#"{"pad":"...","write":true,"kind":"device","t":"R9xUDJTOtwQ","known":5,"q":"get","target":"SOh-0BCjVWja5_SlXMWWsUGFglNwezl_oOK5Ac550E0","v":1}"#;
    let read = read_text(text).unwrap();
    assert_eq!(read.body, Body::Request(get(Kind::Device, None, Some(5), true)));
}

// spec-test: DHT-12
#[test]
fn an_address_has_one_text() {
    use crate::dht::text::{read_address, write_address};
    for text in [
        "203.0.113.97:51820",
        "0.0.0.0:0",
        "255.255.255.255:65535",
        "[::]:0",
        "[2001:db8::1]:80",
        "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:51820",
    ] {
        let address = read_address(text).unwrap();
        let mut written = Vec::new();
        write_address(&mut written, address);
        assert_eq!((address.to_string().as_str(), written.as_slice()), (text, text.as_bytes()));
    }
    for other in OTHER_ADDRESSES.into_iter().chain(["", ":", "1:1", "a.b.c.d:1", "+1.2.3.4:1", "1.2.3.4:+1", "[::1]", "[::1]:1 ", "::1:1"])
    {
        assert_eq!(read_address(other), Err(WireError::Address), "{other}");
    }
    let clothed = SocketAddr::new(IpAddr::V6(Ipv4Addr::new(203, 0, 113, 97).to_ipv6_mapped()), 1);
    let mut written = Vec::new();
    write_address(&mut written, clothed);
    assert_eq!(written, b"203.0.113.97:1");
}

// spec-test: DHT-13
#[test]
fn a_kind_lacks_none_of_its_fields_and_lists_have_eight_items() {
    let target = r#""target":"SOh-0BCjVWja5_SlXMWWsUGFglNwezl_oOK5Ac550E0""#;
    for (word, fields) in [
        ("find", ""),
        ("get", target),
        ("get", r#""kind":"address""#),
        ("put", target),
        ("put", r#""kind":"address","record":{}"#),
        ("hello", ""),
        ("knock", ""),
    ] {
        let comma = if fields.is_empty() { "" } else { "," };
        let text = format!(r#"{{"v":1,"t":"R9xUDJTOtwQ","q":"{word}"{comma}{fields}}}"#);
        assert_eq!(read_text(&text), Err(WireError::Json), "{text}");
    }
    for text in [r#""r":"put""#, r#""r":"hello""#, r#""e":"old""#, r#""e":"busy""#] {
        assert_eq!(read_text(&format!(r#"{{"v":1,"t":"R9xUDJTOtwQ",{text}}}"#)), Err(WireError::Json), "{text}");
    }
    let busy = read_text(r#"{"v":1,"t":"R9xUDJTOtwQ","e":"busy","wait":61}"#).unwrap();
    assert_eq!(busy.body, Body::Denied(Denied::Busy { wait: 60 }));
    let node = r#"["ECtRuXZaVqM","203.0.113.97:1"],"#.repeat(8);
    let nine = format!(r#"{{"v":1,"t":"R9xUDJTOtwQ","r":"find","nodes":[{node}7]}}"#);
    let Body::Reply(reply) = read_text(&nine).unwrap().body else { panic!("{nine}") };
    assert_eq!(reply.nodes.len(), 8, "what is beyond is not looked at");
}

/// What random datagrams are made of.
struct Chance {
    rng: Rng,
    records: Vec<(Kind, String)>,
}

impl Chance {
    fn new(seed: u8) -> Self {
        let address = [records::address_record(), records::largest_address_record()].map(|record| (Kind::Address, record.to_json()));
        let device = [records::device_record(), records::largest_device_record()].map(|record| (Kind::Device, record.to_json()));
        let revocation = (Kind::Revocation, records::largest_revocation().to_json());
        let records = address.into_iter().chain(device).chain([revocation]).collect();
        Self { rng: Rng::from_seed(&Seed::from_bytes([seed; 32])), records }
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.rng.below(2) == 0).then(|| make(self))
    }

    fn number(&mut self) -> u64 {
        let bits = self.rng.below(54);
        self.rng.u64() & ((1 << bits) - 1)
    }

    fn key(&mut self) -> Key {
        Key::from_bytes(self.rng.array())
    }

    fn address(&mut self, is_v4: bool) -> SocketAddr {
        let port = u16::from_le_bytes(self.rng.array());
        if is_v4 {
            return SocketAddr::from((self.rng.array::<4>(), port));
        }
        let mut segments: [u16; 8] = core::array::from_fn(|_| u16::from_le_bytes(self.rng.array()));
        let (from, to) = (self.rng.below(8) as usize, self.rng.below(9) as usize);
        if let Some(run) = segments.get_mut(from..to) {
            run.fill(0);
        }
        segments[0] |= 0x2000;
        SocketAddr::from((segments, port))
    }

    fn head(&mut self) -> Head {
        let exchange = Exchange::from_bytes(self.rng.array());
        Head { exchange, id: self.maybe(Self::key), cookie: self.maybe(|it| Cookie::from_bytes(it.rng.array())) }
    }

    fn request<'a>(&mut self, record: &'a (Kind, String), is_v4: bool) -> Request<'a> {
        let target = self.key();
        match Word::ALL[self.rng.below(7) as usize] {
            Word::Ping => Request::Ping { to: self.maybe(|it| Hint(it.rng.u64())) },
            Word::Find => Request::Find { target, is_fair: self.rng.below(2) == 0 },
            Word::Get => {
                let (device, known) = (self.maybe(|it| DeviceHint(it.rng.array())), self.maybe(Self::number));
                Request::Get { target, kind: record.0, device, known, write: self.rng.below(2) == 0, is_fair: self.rng.below(2) == 0 }
            }
            Word::Put => {
                let token = self.maybe(|it| Token::from_bytes(it.rng.array()));
                Request::Put { target, kind: record.0, token, record: &record.1, carry: self.rng.below(2) == 0 }
            }
            Word::Hello => Request::Hello { challenge: self.rng.array() },
            Word::Probe => Request::Probe,
            Word::Knock => Request::Knock { at: self.address(is_v4) },
        }
    }

    fn reply<'a>(&mut self, record: &'a (Kind, String), word: Word, is_v4: bool) -> Reply<'a> {
        let answer = match word {
            Word::Ping => Answer::Ping,
            Word::Find => Answer::Find,
            Word::Get => Answer::Get(Got {
                record: self.maybe(|_| record.1.as_str()),
                index: self
                    .maybe(|it| (0..it.rng.below(9)).map(|_| Listed { device: DeviceHint(it.rng.array()), number: it.number() }).collect()),
                bound: self.rng.below(3),
                revoked: self.maybe(Self::number),
                token: self.maybe(|it| Token::from_bytes(it.rng.array())),
                more: false,
            }),
            Word::Put => Answer::Put { sequence: self.number() },
            Word::Hello => Answer::Hello { key: NodeKey::from_bytes(self.rng.array()), proof: Hello::from_bytes(self.rng.array()) },
            Word::Probe => Answer::Probe,
            Word::Knock => Answer::Knock,
        };
        let nodes = (0..self.rng.below(9)).map(|_| Contact { hint: Hint(self.rng.u64()), at: self.address(is_v4) }).collect();
        Reply { answer, nodes, seen: self.maybe(|it| it.address(is_v4)), other: self.maybe(|it| it.address(!is_v4)) }
    }
}

/// Whether all that is in `read` was in `said`, and what is not was said to be missing if somebody could ask for it again.
fn is_cut_of(read: &Reply<'_>, said: &Reply<'_>) -> bool {
    let is_prefix =
        |read: &Few<Contact>, said: &Few<Contact>| read.iter().zip(said.iter()).all(|(a, b)| a == b) && read.len() <= said.len();
    let rest = is_prefix(&read.nodes, &said.nodes)
        && (read.seen.is_none() || read.seen == said.seen)
        && (read.other.is_none() || read.other == said.other);
    let (Answer::Get(read), Answer::Get(said)) = (&read.answer, &said.answer) else { return rest && read.answer == said.answer };
    let (read_index, said_index) = (read.index.unwrap_or_default(), said.index.unwrap_or_default());
    let is_index = read_index.iter().zip(said_index.iter()).all(|(a, b)| a == b) && read_index.len() <= said_index.len();
    let is_less = read.record != said.record || read.revoked != said.revoked || read_index.len() < said_index.len();
    let is_in = |read: Option<u64>, said| read.is_none() || read == said;
    rest && is_index
        && (!is_less || read.more)
        && (read.record.is_none() || read.record == said.record)
        && (read.bound == 0 || read.bound == said.bound)
        && is_in(read.revoked, said.revoked)
}

// spec-test: DHT-13
// spec-test: DHT-15
#[test]
fn whatever_is_written_reads_back_equal_or_as_what_had_room() {
    let mut chance = Chance::new(1);
    let records = chance.records.clone();
    let mut out = Vec::new();
    let mut cut = 0;
    for round in 0..3_000 {
        let (record, is_v4) = (&records[round % records.len()], round % 2 == 0);
        let (to, head) = (chance.address(is_v4), chance.head());
        let request = chance.request(record, is_v4);
        out.clear();
        assert!(write_request(&mut out, to, &head, &request));
        assert_eq!(read(&out), Ok(Datagram { head, body: Body::Request(request) }));
        assert!(out.len() <= 1_200 && request.bytes_min(to, head.cookie.is_some()).is_none_or(|bytes| out.len() == bytes));
        let reply = chance.reply(record, request.word(), is_v4);
        out.clear();
        assert!(write_reply(&mut out, head.exchange, Asker::Proven { renewed: None }, &reply));
        let Ok(Datagram { head: Head { id: None, cookie: None, .. }, body: Body::Reply(got) }) = read(&out) else { panic!("{reply:?}") };
        assert!(out.len() <= 1_200 && got.seen.is_none());
        let whole = Reply { seen: None, ..reply };
        cut += usize::from(got != whole);
        assert!(got == whole || (out.len() > 1_100 && is_cut_of(&got, &whole)), "{got:?} {whole:?}");
    }
    assert!(cut > 10 && cut < 1_000, "{cut}");
}

// spec-test: DHT-15
#[test]
fn without_a_cookie_no_reply_is_longer_than_its_request() {
    let mut chance = Chance::new(2);
    let records = chance.records.clone();
    let (mut asked, mut out) = (Vec::new(), Vec::new());
    let (mut most, mut silent) = (0, 0);
    for round in 0..20_000 {
        let (record, is_v4) = (&records[round % records.len()], round % 2 == 0);
        let (from, head) = (chance.address(is_v4), chance.head());
        let request = chance.request(record, is_v4);
        asked.clear();
        assert!(write_request(&mut asked, from, &head, &request));
        // Somebody may also send less than a node of ours would.
        let bytes = if round % 5 == 0 { asked.len().min(30 + round % 300) } else { asked.len() };
        let reply = chance.reply(record, request.word(), is_v4);
        out.clear();
        let own = chance.maybe(|it| (it.key(), Cookie::from_bytes(it.rng.array())));
        if write_reply(&mut out, head.exchange, Asker::Unproven { bytes, own }, &reply) {
            assert!(out.len() <= bytes, "{request:?} {reply:?}");
            let Ok(Datagram { head: Head { id, cookie, .. }, body: Body::Reply(got) }) = read(&out) else { panic!("{reply:?}") };
            assert!(is_cut_of(&got, &reply) && id.is_some() == cookie.is_some());
            assert!(!matches!(got.answer, Answer::Get(Got { token: Some(_), .. })), "a token goes to who is proven");
            most = most.max(out.len() * 1_000 / bytes);
        } else {
            silent += 1;
            assert!(out.is_empty());
        }
    }
    assert!(most > 990 && most <= 1_000 && silent > 100, "{most} {silent}");
}

// spec-test: DHT-15
#[test]
fn what_matters_most_is_in_a_reply_first() {
    let record = records::address_record().to_json();
    let sequences = [9, 8, 7, 6].map(|number| number * 1_000_000_000_000);
    let whole = Reply { seen: Some(V4), other: Some(V6), ..got(Some(&record), &sequences, Some(token()), 4) };
    let mut last = (false, false, 0, 0, false, false);
    for bytes in 0..=1_300 {
        let mut out = Vec::new();
        if !write_reply(&mut out, exchange(), Asker::Unproven { bytes, own: Some((id(), cookie())) }, &whole) {
            assert!(bytes < 47, "{bytes}: 35, and 12 for what is missing");
            continue;
        }
        let Ok(Datagram { head, body: Body::Reply(read) }) = read(&out) else { panic!("{bytes}") };
        let Answer::Get(got) = read.answer else { panic!("{bytes}") };
        let index = got.index.map_or(0, |index| index.len());
        assert_eq!(got.more, got.record.is_none() || index < 4, "{bytes}");
        // With more room there is more, in the order of the rule: what comes later yields.
        let there = (head.id.is_some(), got.record.is_some(), index, read.nodes.len(), read.seen.is_some(), read.other.is_some());
        assert!(out.len() <= bytes && there >= last, "{bytes}: {there:?}");
        last = there;
    }
    assert_eq!(last, (true, true, 4, 4, true, true), "with room there is all");
}

// spec-test: DHT-15
#[test]
fn a_reply_that_would_be_too_long_loses_nodes_then_the_token_then_devices() {
    let record = records::largest_device_record().to_json();
    let full = |nodes, token| {
        let index = (0..8).map(|n| Listed { device: DeviceHint([n; 8]), number: INTEGER_MAX }).collect();
        let got = Got { record: Some(&record), index: Some(index), bound: 8, revoked: Some(INTEGER_MAX), token, more: false };
        let text = reply(Asker::Proven { renewed: None }, &Reply { nodes, ..Reply::new(Answer::Get(got)) });
        let Body::Reply(read) = read_text(&text).unwrap().body else { panic!("{text}") };
        let Answer::Get(got) = read.answer else { panic!("{text}") };
        (text.len() <= 1_200, read.nodes.len(), got.token.is_some(), got.index.map(|index| index.len()), got.record.is_some(), got.more)
    };
    let six = (0..4).map(|_| Contact { hint: Hint(u64::MAX), at: V6 }).collect();
    assert_eq!(full(six, Some(token())), (true, 2, true, Some(8), true, false));
    let longest = records::largest_revocation().to_json();
    let index = (0..8).map(|n| Listed { device: DeviceHint([n; 8]), number: INTEGER_MAX }).collect();
    let got = Got { record: Some(&longest), index: Some(index), bound: 8, revoked: Some(INTEGER_MAX), token: Some(token()), more: false };
    let text = reply(Asker::Proven { renewed: None }, &Reply { nodes: contacts(4, true), ..Reply::new(Answer::Get(got)) });
    let Body::Reply(Reply { answer: Answer::Get(got), nodes, .. }) = read_text(&text).unwrap().body else { panic!("{text}") };
    assert!(text.len() <= 1_200 && nodes.is_empty() && got.token.is_none() && got.more && got.record.is_some(), "{text}");
}

// spec-test: DHT-15
#[test]
fn a_reply_to_who_is_proven_has_room_for_an_address_record_and_all_that_stands_beside_it() {
    let record = records::largest_address_record().to_json();
    for to in [V4, V6] {
        let index = (0..8).map(|n| Listed { device: DeviceHint([n; 8]), number: INTEGER_MAX }).collect();
        let got =
            Got { record: Some(&record), index: Some(index), bound: 8, revoked: Some(INTEGER_MAX), token: Some(token()), more: false };
        let nodes = (0..nodes_max(to, true)).map(|_| Contact { hint: Hint(u64::MAX), at: to }).collect();
        let whole = Reply { nodes, ..Reply::new(Answer::Get(got)) };
        let text = reply(Asker::Proven { renewed: None }, &whole);
        assert_eq!(read_text(&text).map(|read| read.body), Ok(Body::Reply(whole)), "{}", text.len());
        let most: Few<Contact> = contacts(u8::try_from(nodes_max(to, false)).unwrap(), to.is_ipv4());
        assert!(nodes_max(to, false) > nodes_max(to, true) && most.len() == nodes_max(to, false));
        let found = Reply { nodes: most, ..Reply::new(Answer::Find) };
        let asked = request(to, &head(None, None), &Request::Find { target: records::home(), is_fair: false });
        let text = reply(Asker::Unproven { bytes: asked.len(), own: Some((id(), cookie())) }, &found);
        assert_eq!(read_text(&text).map(|read| read.body), Ok(Body::Reply(found)), "a cold find");
    }
}

// spec-test: DHT-10
#[test]
fn the_longest_of_each_kind_is_within_its_bound() {
    let (id, cookie) = (Some(id()), Some(cookie()));
    let jsons = [
        (Kind::Address, records::largest_address_record().to_json()),
        (Kind::Device, records::largest_device_record().to_json()),
        (Kind::Revocation, records::largest_revocation().to_json()),
    ];
    let lengths = jsons.each_ref().map(|(kind, record)| {
        let put = Request::Put { target: records::home(), kind: *kind, token: Some(token()), record, carry: true };
        request(V6, &head(id, cookie), &put).len()
    });
    assert_eq!(lengths, [802, 897, 1_099]);
    let mut out = vec![7];
    let far = ".".repeat(1_200);
    let put = Request::Put { target: records::home(), kind: Kind::Address, token: None, record: &far, carry: false };
    assert!(!write_request(&mut out, V4, &head(None, None), &put));
    assert_eq!(out, [7], "nothing is added");
}

// spec-test: DHT-10
#[test]
fn a_hundred_thousand_changed_datagrams_are_read_or_refused() {
    let examples: Vec<Vec<u8>> = examples().into_iter().map(|(_, text)| text.into_bytes()).collect();
    let alphabet = b"{}[]\",:\\ 019truefalsnu.-eEpR\x00\x1f\x7f\xc3\xff";
    let mut rng = Rng::from_seed(&Seed::from_bytes([3; 32]));
    let mut taken = 0;
    for round in 0..100_000 {
        let mut bytes = examples[round % examples.len()].clone();
        for byte in rng.array::<8>().iter().take(1 + round % 4) {
            let at = rng.below(bytes.len() as u64) as usize;
            match byte % 5 {
                0 => bytes[at] = alphabet[usize::from(*byte) % alphabet.len()],
                1 => bytes.insert(at, alphabet[usize::from(*byte) % alphabet.len()]),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                4 => {
                    let other = &examples[usize::from(*byte) % examples.len()];
                    let from = rng.below(other.len() as u64) as usize;
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                    bytes.push(b'}');
                }
                _ => bytes[at] ^= 1 << (byte % 8),
            }
        }
        assert!(crate::fuzz::datagram(&bytes), "{}", String::from_utf8_lossy(&bytes));
        if let Ok(read) = read(&bytes) {
            taken += 1;
            let length = match &read.body {
                Body::Request(Request::Put { record, .. }) => record.len(),
                Body::Reply(Reply { answer: Answer::Get(got), nodes, .. }) => got.record.map_or(0, str::len) + 30 * nodes.len(),
                Body::Request(_) | Body::Reply(_) | Body::Denied(_) => 0,
            };
            assert!(length + 35 <= bytes.len() && bytes.len() <= 1_200);
        }
    }
    assert!(taken > 5_000, "{taken} were still datagrams");
}
