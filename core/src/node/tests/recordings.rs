//! Recordings and ladders of nodes that have lived through something: what is in them, what is not, what a replay notices.

extern crate std;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::crypto::{AeadFns, Crypto, Tampered};
use crate::id::to_base64;
use crate::trace::{Builds, Ends, Grain, Line, RecordedEvent, ReplayError, replay};

const HOUR: Duration = Duration::from_secs(3_600);
const PAYLOAD: &str = "a word that nobody else may read";

/// Two nodes, recorded with their outputs.
fn recorded(crypto: Crypto) -> Net {
    let config = Config::test().crypto(crypto);
    let mut net = Net { is_recorded: true, ..Net::empty(config) };
    for name in ["bob", "alice"] {
        net.add(name, credentials(name, "test"), BTreeMap::new(), 0);
    }
    net.run();
    net
}

/// An invitation, a join, messages of both kinds and both ways, what an application saves, a renewal, a refused command,
/// a dial in vain, so many more messages, and the end.
fn lived(more: u32) -> (Net, Invitation) {
    let mut net = recorded(Crypto::standard());
    let nobody = UserId::from_bytes([0xEE; 32]);
    net.command(0, Command::introduce(nobody, ["10.9.9.9:1".parse().unwrap()])).unwrap();
    net.command(0, Command::find(nobody)).unwrap();
    net.command(0, Command::introduce(nobody, [])).unwrap_err();
    net.command(0, Command::invite(HOUR, [])).unwrap();
    net.run();
    let made = |notice: &Notice| if let Notice::Invited { invitation, .. } = notice { Some(invitation.clone()) } else { None };
    let invitation = net.seats[0].table.notices.iter().find_map(made).unwrap();
    net.command(1, Command::join(invitation.clone())).unwrap();
    net.pass(Duration::from_secs(1));
    for (at, other, keep) in [(0, 1, Keep::Disk), (1, 0, Keep::Memory)] {
        net.send(at, other, PAYLOAD, keep);
        net.pass(Duration::from_secs(30));
    }
    assert_eq!((net.got(0).len(), net.got(1).len()), (1, 1), "{}", net.ladder());
    for _ in 0..more {
        net.send(0, 1, PAYLOAD, Keep::Memory);
        net.pass(Duration::from_millis(100));
    }
    let now = net.now;
    net.seats[0].driver.handle(now, Event::taken(0, &[Change { key: b"saved".to_vec(), value: Some(PAYLOAD.into()) }]));
    net.command(0, Command::renew(renewed("bob"))).unwrap();
    net.pass(Duration::from_secs(5));
    for at in 0..2 {
        net.command(at, Command::Suspend).unwrap();
        net.pass(Duration::from_secs(2));
    }
    (net, invitation)
}

/// What a node's recording holds so far.
fn text(net: &mut Net, at: usize) -> String {
    String::from_utf8(net.seats[at].driver.recorder().unwrap().take()).unwrap()
}

fn whole(net: &mut Net, at: usize) -> String {
    net.seats[at].driver.recorder().unwrap().finish();
    text(net, at)
}

/// Everything secret that node `at` holds, as it would stand in text.
fn secrets(net: &Net, at: usize, name: &str, invitation: &Invitation) -> Vec<String> {
    let keys: serde_json::Value = serde_json::from_str(credentials(name, "test").to_secret_json().as_str()).unwrap();
    let keys = keys.as_object().unwrap().values().filter_map(|value| value.as_str()).map(String::from);
    let node_secret = net.seats[at].store.get(&b"n"[..]).unwrap();
    let seed = [u8::try_from(at).unwrap(); 32];
    let raw = [seed.as_slice(), node_secret, invitation.secret().as_bytes()];
    let debug = |bytes: &[u8]| format!("{:?}", &bytes[..8]).trim_matches(['[', ']']).to_string();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let of_raw = raw.iter().flat_map(|bytes| [to_base64(bytes), debug(bytes), hex(bytes)]);
    let found: Vec<String> = keys.filter(|key| key.len() >= 43).chain(of_raw).chain([PAYLOAD.into()]).collect();
    assert_eq!(found.len(), 2 + 9 + 1, "two keys of the device, three secrets in three forms, a payload");
    let line = invitation.to_secret_text().as_str()[10..60].to_string();
    found.into_iter().chain([line]).collect()
}

// spec-test: TRACE-9, NODE-12
#[test]
fn only_header_events_and_commands_of_a_recording_hold_secrets_and_no_notice_counter_or_view_does() {
    let (mut net, invitation) = lived(200);
    for (at, name) in [(0, "bob"), (1, "alice")] {
        let (secrets, text) = (secrets(&net, at, name, &invitation), whole(&mut net, at));
        let (may, must_not): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| ["{\"overcom_trace\"", "{\"event\"", "{\"command\""].iter().any(|begin| line.starts_with(begin)));
        for kind in ["{\"digest\"", "{\"action\"", "{\"end\""] {
            assert!(must_not.iter().any(|line| line.starts_with(kind)), "{kind} is not in it");
        }
        let recorder = format!("{:?}", net.seats[at].driver.recorder());
        let seat = &net.seats[at];
        let shown = format!("{recorder} {:?} {:?} {:?}", seat.driver.node(), seat.driver.node().stats(), seat.driver.node().inspect());
        let notices = format!("{:?}", seat.table.notices);
        let lines = must_not.join("\n");
        for secret in &secrets {
            for (what, text) in [("lines", &lines), ("debug", &shown), ("notices", &notices)] {
                assert!(!text.contains(secret.as_str()), "{name}: {secret} is in its {what}");
            }
        }
        // They are looked for in the form in which a recording holds them.
        let held = secrets.iter().filter(|secret| may.iter().any(|line| line.contains(secret.as_str()))).count();
        assert!(held >= 4, "{name}: {held}");
    }
}

// spec-test: TRACE-9, NODE-12
#[test]
fn a_ladder_of_any_detail_shows_no_key_address_or_payload_that_the_nodes_know() {
    let (net, invitation) = lived(0);
    let journals: Vec<Journal> = net.seats.iter().filter_map(|seat| seat.driver.journal().cloned()).collect();
    let ladder = Ladder::of(journals);
    let details = [Detail::App, Detail::Link, Detail::Wire].map(|detail| ladder.clone().detail(detail));
    let shown: String = details
        .iter()
        .flat_map(|ladder| [ladder.to_string(), ladder.mermaid(), ladder.summary(), ladder.clone().art().times(Grain::Millis).to_string()])
        .collect();
    assert!(shown.lines().count() > 60 && shown.contains("bob -> alice: message bla"), "{shown}");
    let mut words: Vec<String> = vec!["10.0.0.".into(), "10.9.9.9".into(), ":7575".into()];
    for (at, name) in [(0, "bob"), (1, "alice")] {
        words.extend(secrets(&net, at, name, &invitation));
        let (node, own) = (net.seats[at].driver.node(), credentials(name, "test"));
        let keys = [*node.me().user.as_bytes(), *own.delegation().signing(), *own.delegation().noise()];
        words.extend(keys.iter().map(|key| to_base64(key)));
        words.extend([node.me().user.to_string(), node.me().device.to_string(), node.node_key().unwrap().to_string()]);
    }
    for word in &words {
        assert!(!shown.contains(word.as_str()), "{word} is in {shown}");
    }
    assert!(ladder.payloads().to_string().contains(PAYLOAD), "it is shown on request");
}

// spec-test: TRACE-3, TRACE-9
#[test]
fn a_replay_notices_a_change_of_any_line_of_a_recording() {
    // A digest alone comes after many actions; with so many, only its lines are changed.
    for (more, at) in [(0, 0), (0, 1), (200, 0)] {
        let (mut net, _) = lived(more);
        let text = whole(&mut net, at);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(replay(&text, Builds::Same).map(|replays| replays[0].ends), Ok(Ends::Whole));
        let (mut digests, mut inputs) = (0, 0);
        for (number, line) in lines.iter().enumerate() {
            let changed = match serde_json::from_str(line) {
                Ok(Line::Event { .. } | Line::Command { .. } | Line::Action { .. }) if more > 0 => continue,
                Ok(Line::Digest(_) | Line::Action { .. } | Line::End { .. }) => {
                    digests += 1;
                    let at = line.rfind("\"digest\":\"").unwrap() + "\"digest\":\"".len();
                    let digit = if line[at..].starts_with('0') { "1" } else { "0" };
                    format!("{}{digit}{}", &line[..at], &line[at + 1..])
                }
                Ok(Line::Event { at, is: RecordedEvent::PipeBytes { pipe, bytes } }) => {
                    inputs += 1;
                    let mut bytes = bytes.0.into_owned();
                    *bytes.last_mut().unwrap() ^= 1;
                    let is = RecordedEvent::of(&Event::pipe_bytes(pipe, &bytes));
                    serde_json::to_string(&Line::Event { at, is }).unwrap()
                }
                Ok(Line::Command { is, .. }) if !is_refused(&is) => {
                    inputs += 1;
                    String::new()
                }
                // Ticks and answers of a store may come to nothing.
                Ok(Line::Event { .. } | Line::Command { .. }) | Err(_) => continue,
            };
            let all: Vec<&str> = lines.iter().enumerate().map(|(n, line)| if n == number { &changed } else { *line }).collect();
            let all: String = all.into_iter().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
            let outcome = replay(&all, Builds::Same).map(|replays| replays.len());
            assert!(matches!(&outcome, Err(ReplayError::Differs { .. })), "line {}: {outcome:?}\n{line}", number + 1);
        }
        // The end is one of them.
        assert!(if more > 0 { digests >= 2 } else { digests > 20 && inputs > 12 }, "{digests} {inputs}");
    }
}

fn is_refused(command: &Command) -> bool {
    matches!(command, Command::Introduce { addresses, .. } if addresses.is_empty())
}

// spec-test: TRACE-2
#[test]
fn each_input_is_on_record_once_whole_in_order_and_refused_commands_too() {
    let mut net = recorded(Crypto::standard());
    let _ = text(&mut net, 0);
    let now = net.now;
    let message = |text: &str| Message::new("bla", text).unwrap();
    let alice = net.user(1);
    let driver = &mut net.seats[0].driver;
    driver.handle(now, Event::entropy(&[9; 32]));
    let commands: [Command; 4] = [
        Command::introduce(alice, ["10.0.0.2:7575".parse().unwrap()]),
        Command::introduce(alice, []),
        Command::send(alice, message(PAYLOAD)),
        Command::enter(vec!["10.0.0.9:1".parse().unwrap(); 9]),
    ];
    let taken: Vec<bool> = commands.iter().map(|command| driver.command(now, command.clone()).is_ok()).collect();
    assert_eq!(taken, [true, false, true, false]);
    driver.handle(now + Duration::from_millis(3), Event::Tick);
    let written = text(&mut net, 0);
    let mut inputs = Vec::new();
    for line in written.lines() {
        match serde_json::from_str(line).unwrap() {
            Line::Event { at, is } => inputs.push((at, format!("{:?}", is.as_event()))),
            Line::Command { at, is } => inputs.push((at, format!("{:?}", is.into_owned()))),
            Line::Digest(_) | Line::Action { .. } | Line::End { .. } => {}
        }
    }
    let of_commands = commands.iter().map(|command| (now, format!("{command:?}")));
    let first = (now, format!("{:?}", Some(Event::entropy(&[9; 32]))));
    let last = (now + Duration::from_millis(3), format!("{:?}", Some(Event::Tick)));
    let expected: Vec<(Time, String)> = [first].into_iter().chain(of_commands).chain([last]).collect();
    assert_eq!(inputs, expected);
}

/// Seals like the standard cipher, and falls on a message that says so.
fn falling_seal(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) {
    assert!(!buffer.windows(14).any(|bytes| bytes == b"fall in a seal"), "a seal fell");
    Crypto::standard().seal(key, nonce, ad, buffer);
}

/// Opens like the standard cipher, and falls on a message that says so.
fn falling_open(key: &[u8; 32], nonce: u64, ad: &[u8], buffer: &mut [u8]) -> Result<usize, Tampered> {
    let opened = Crypto::standard().open(key, nonce, ad, buffer);
    assert!(!buffer.windows(15).any(|bytes| bytes == b"fall in an open"), "an open fell");
    opened
}

// spec-test: TRACE-2
#[test]
fn an_input_that_ends_the_process_is_on_record_before_the_node_sees_it() {
    for (word, at) in [("fall in a seal", 0), ("fall in an open", 1)] {
        let mut net = recorded(Crypto::with_aead(AeadFns { seal: falling_seal, open: falling_open }));
        net.introduce(0, 1);
        net.send(0, 1, "hello", Keep::Memory);
        net.pass(Duration::from_secs(1));
        assert_eq!(net.got(1).len(), 1);
        let before = [text(&mut net, 0), text(&mut net, 1)];
        let fell = catch_unwind(AssertUnwindSafe(|| {
            net.send(0, 1, word, Keep::Memory);
            net.run();
        }));
        assert!(fell.is_err(), "{word}");
        // The input is the last of what is there, and a replay falls over it too.
        let after = text(&mut net, at);
        let last = after.lines().rfind(|line| line.starts_with("{\"event\"") || line.starts_with("{\"command\"")).unwrap();
        // What a command says is sealed with the next event.
        let expected = if at == 0 { "\"is\":\"tick\"" } else { "\"pipe_bytes\"" };
        assert!(last.contains(expected), "{word}: {last}");
        assert_eq!(after.lines().last(), Some(last));
        assert!(replay(&before[at], Builds::Same).is_ok());
    }
}

/// The next delegation of the device of `name`.
fn renewed(name: &str) -> Delegation {
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork(name, 0);
    let identity = IdentitySecret::from_bytes(rng.array());
    let grant = credentials(name, "test").delegation().grant().clone();
    Delegation::sign(&identity, &Grant { until: WALL + 10 * 24 * HOUR, ..grant }).unwrap()
}
