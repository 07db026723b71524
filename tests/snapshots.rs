//! Ladders and inspections as snapshots: from simulations, from scenario files, and from recordings of real sockets.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overcom_core::trace::{Builds, Detail, Ladder, RungKind};
use overcom_core::{Address, AppId, Command, Config, Credentials, Delegation, DeviceKeys, IdentitySecret, Message, Notice, Rng, Seed};
use overcom_mio::Runtime;
use overcom_smol::Node;
use overcom_std::{Clock, MemoryStore, Setup};
use serde_json::Value;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/overcom.json");

#[test]
fn a_scenario_file_is_run_and_shown_by_one_line_each() {
    let run = overcom_simulator::run(EXAMPLE).unwrap();
    assert_eq!(run.report().failure, None);
    insta::assert_snapshot!(run.ladder().between("eve", "bob").until("acknowledged"), @r"
    bob -> eve: link up
    eve -> bob: message bla
    bob: got bla from eve
    bob -> eve: acknowledged
    ");
    insta::assert_snapshot!(run.ladder().nodes(["eve", "bob"]).detail(Detail::App), @r"
    bob: introduce alice
    eve: introduce alice
    bob: send bla to alice
    bob: bla to alice delivered
    eve: send bla to bob
    bob: wanted by eve
    bob: got bla from eve
    eve: bla to bob delivered
    eve: send bla to bob
    bob: got bla from eve
    eve: bla to bob delivered
    ");
    insta::assert_snapshot!(run.ladder().only(RungKind::Search), @r"
    eve -> alice: search bob
    alice -> bob: search bob
    ");
    insta::assert_snapshot!(run.ladder().summary(), @r"
    link 3
    message 3
    acknowledged 3
    search 2
    got 3
    ");
    let missing = overcom_simulator::run("no/such/file.json").unwrap_err();
    assert!(missing.to_string().starts_with("no/such/file.json cannot be read: "), "{missing}");
    assert_eq!(run.node("mallory").unwrap_err().to_string(), "there is no node \"mallory\": add it to \"nodes\" or correct the name");
}

#[test]
fn a_user_is_renamed_everywhere_in_a_ladder() {
    let run = overcom_simulator::run(EXAMPLE).unwrap();
    let bob = run.node("bob").unwrap().inspect().unwrap().me.user;
    let plain = run.ladder().to_string();
    let renamed = run.ladder().rename(bob, "robert").to_string();
    assert_eq!(renamed, plain.replace("bob", "robert"));
    assert!(renamed.contains("eve -> alice: search robert\n"));
}

#[test]
fn an_inspection_is_the_same_text_each_time_and_takes_redactions() {
    let inspect = || overcom_simulator::run(EXAMPLE).unwrap().node("eve").unwrap().inspect();
    let text = |value| serde_json::to_string(&value).unwrap();
    assert_eq!(text(inspect()), text(inspect()));
    insta::assert_json_snapshot!(inspect(), {
        ".**.rtt" => "[rtt]",
        ".**.remote" => "[address]",
        ".**.user" => "[user]",
        ".**.device" => "[device]",
        ".**.since" => "[time]",
        ".**.until" => "[date]",
        ".**.pipe" => "[pipe]",
        ".node" => "[node key]",
        ".book" => "[users]",
        ".stats" => "[counters]",
    });
}

/// Every number of a value that is a fraction.
fn fractions(value: &Value) -> usize {
    match value {
        Value::Number(number) => usize::from(number.is_f64()),
        Value::Array(items) => items.iter().map(fractions).sum(),
        Value::Object(fields) => fields.values().map(fractions).sum(),
        Value::Null | Value::Bool(_) | Value::String(_) => 0,
    }
}

#[test]
fn an_inspection_holds_no_fraction_no_secret_and_no_payload() {
    let run = overcom_simulator::run(EXAMPLE).unwrap();
    for name in ["alice", "bob", "eve"] {
        let inspection = serde_json::to_value(run.node(name).unwrap().inspect().unwrap()).unwrap();
        assert_eq!(fractions(&inspection), 0, "{inspection}");
        let text = inspection.to_string();
        assert!(text.contains("\"phase\":\"running\"") && text.contains("\"messages_delivered\":"), "{text}");
        for secret in ["hello", "still there", "secret"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    assert_eq!(fractions(&serde_json::json!({"a": [1, 1.5]})), 1, "the check finds one");
}

#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tape {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn credentials(number: u8) -> Credentials {
    let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([number; 32])));
    let (app, now, hour) = (AppId::new("snapshots").unwrap(), Clock::start().wall(), Duration::from_secs(3_600));
    keys.credentials(Delegation::sign(&IdentitySecret::from_bytes([number; 32]), &keys.grant(app, now - hour, now + hour)).unwrap())
}

fn setup(number: u8, name: &str, tape: &Tape) -> Setup {
    Setup::bind(("127.0.0.1", 0), Config::test(), credentials(number)).unwrap().name(name).record(tape.clone())
}

/// Ben on mio, who does nothing but run, and ann on smol, who says something to him.
fn ann_says_something_to_ben() -> String {
    let (tape_ann, tape_ben) = (Tape::default(), Tape::default());
    let mut ben = Runtime::start(setup(2, "ben", &tape_ben), MemoryStore::new()).unwrap();
    // A node that is still reading its state turns callers away.
    let mut is_started = false;
    while !is_started {
        ben.run_once(Duration::from_secs(1), |notice| is_started |= matches!(notice, Notice::Started { .. })).unwrap();
    }
    let (address, stop) = (ben.local_addr(), ben.handle());
    let running = std::thread::spawn(move || ben.run(|_| {}));
    let (mut ann, on_smol) = Node::split(setup(1, "ann", &tape_ann), MemoryStore::new()).unwrap();
    let on_smol = smol::spawn(on_smol);
    smol::block_on(async {
        while !matches!(ann.next().await, Some(Notice::Started { .. })) {}
        let ben = IdentitySecret::from_bytes([2; 32]).user();
        ann.send(Command::introduce(ben, vec![Address::Ip(address)])).await.unwrap();
        ann.send(Command::send(ben, Message::new("bla", "hello Ben").unwrap())).await.unwrap();
        while !matches!(ann.next().await, Some(Notice::Delivered { .. })) {}
        ann.close().await.unwrap();
        on_smol.await.unwrap();
    });
    stop.stop().unwrap();
    running.join().unwrap().unwrap();
    tape_ann.text() + &tape_ben.text()
}

#[test]
fn recordings_of_mio_and_smol_become_the_ladder_that_a_simulation_has() {
    let text = ann_says_something_to_ben();
    let real = Ladder::of_recordings(&text, Builds::Same).unwrap().per_node("ann").until("acknowledged");
    insta::assert_snapshot!(real, @r"
    ann -> ben: link up
    ann -> ben: message bla
    ben -> ann: acknowledged
    ");
    let simulated = overcom_simulator::Scenario::from_json(
        r#"{"overcom_scenario":0,"seed":1,"nodes":[{"name":"ann","knows":["ben"]},{"name":"ben"}],"steps":[
            {"id":"s1","at_ms":1000,"do":{"send":{"from":"ann","to":"ben","type":"bla","payload":"hello Ben"}}}]}"#,
    );
    let mut simulated = overcom_simulator::Sim::from_scenario(simulated.unwrap()).unwrap();
    simulated.run().unwrap();
    assert_eq!(simulated.ladder().per_node("ann").until("acknowledged").to_string(), real.to_string());
    assert!(!real.clone().detail(Detail::Wire).to_string().contains("hello Ben"), "payloads stay out unless asked for");
    assert!(real.payloads().detail(Detail::App).to_string().contains("send bla to ben \"hello Ben\""));
}

#[test]
fn a_recording_that_is_none_is_refused_with_its_line() {
    let why = Ladder::of_recordings("{\"hello\":1}\n", Builds::Same).unwrap_err();
    assert_eq!(why.to_string(), "this is no recording: it does not begin with a header; name a file that a node was recorded into");
}
