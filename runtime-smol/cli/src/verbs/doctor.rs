//! `overcom doctor`: looks at everything that a node needs, and says the next step where something is missing.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use overcom_core::{CloseReason, Delegation, Time, WallTime};
use overcom_std::Clock;
use overcom_std::keys::{DeviceFile, IdentityFile, write_private};
use serde::Serialize;
use serde_json::{Value, json};

use crate::client::Client;
use crate::data::{DAY_MS, begins, date, own};
use crate::fail::Fail;
use crate::hub::clock_sentence;
use crate::run::Place;
use crate::verbs::dht::{ECLIPSE, ENTER, FORK, counted};
use crate::verbs::enter::standing;

/// 2026-01-01: no clock that is right says less to a program that was made later.
const BUILT_AFTER: WallTime = WallTime::from_millis(1_767_225_600_000);
/// Less room than this soon ends a node (guess: a store and its copy while it is compacted).
const DISK_BYTES_LOW: u64 = 64 << 20;
/// A datagram over loopback takes less (guess).
const DATAGRAM_WAIT: Duration = Duration::from_millis(500);
/// What answers at all has answered by then (guess), and how often it is looked at.
const ENTRY_WAIT: Duration = Duration::from_secs(3);
const ENTRY_LOOK_EVERY: Duration = Duration::from_millis(20);
/// What the check of datagrams is called: what it looks at, and nothing more.
const LOOPBACK: &str = "UDP loopback";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// How it is with one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at: what was found, and what to do next if it is not well.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    next: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), next: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, state: State::Warn, found: found.into(), next: Some(next.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, state: State::Fail, found: found.into(), next: Some(next.into()) }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let checks = examine(&arguments.place)?;
    let text = if arguments.json { format!("{}\n", json!({ "checks": checks })) } else { words(&checks) };
    let failed = checks.iter().filter(|check| check.state == State::Fail).count();
    if failed == 0 {
        return Ok(text);
    }
    // What was found is the answer, whatever the exit code.
    crate::print(&text)?;
    Err(Fail::failed(format!("{failed} of {} checks failed; begin with the first of them", checks.len())))
}

/// The same as text, for a report.
pub(crate) fn told(place: &Place) -> Result<String, Fail> {
    examine(place).map(|checks| words(&checks))
}

fn examine(place: &Place) -> Result<Vec<Check>, Fail> {
    let (folder, now) = (place.data.path()?, Clock::start().wall());
    if let Err(why) = own(&folder) {
        // Nothing in it can be trusted to be ours.
        return Ok(vec![Check::fail("folder", "it is not safe from others", why.to_string())]);
    }
    let mut checks = vec![disk(&folder)];
    let device = place.data.open_device();
    checks.push(keys(&device, &place.data.identity()?));
    // A node that runs may have signed another meanwhile; one that cannot start says why.
    let (status, entry_peers, dht) = match smol::block_on(Client::with(place, ask)) {
        Ok((status, entry_peers, dht)) => {
            let running = if status["own"] == true { "none was running; one ran for this" } else { "one is running" };
            checks.push(Check::ok("node", running));
            (status, entry_peers, dht)
        }
        Err(why) if why.is_asked() => return Err(why),
        Err(why) => {
            checks.push(Check::fail("node", "it does not start", why.to_string()));
            (Value::Null, Value::Null, Value::Null)
        }
    };
    let device = DeviceFile::open(place.data.device()?).ok();
    let delegation = device.as_ref().and_then(DeviceFile::delegation);
    checks.push(clock(now, status["clock_ahead_ms"].as_i64(), status["links"].as_u64().unwrap_or_default(), delegation));
    checks.push(delegated(now, delegation, place.data.identity()?.exists()));
    checks.push(port(&status));
    checks.push(datagrams());
    let found: Vec<SocketAddr> = overcom_std::sockets::addresses(SocketAddr::from(([0_u16; 8], 1)));
    checks.push(family("IPv4", &found, SocketAddr::is_ipv4));
    checks.push(family("IPv6", &found, SocketAddr::is_ipv6));
    checks.push(entries(&entry_peers));
    checks.push(network(&dht));
    Ok(checks)
}

async fn ask(client: &mut Client) -> Result<(Value, Value, Value), Fail> {
    let mut status = client.call("status", json!({})).await?;
    if let Some(status) = status.as_object_mut() {
        status.insert("own".into(), client.is_own().into());
    }
    // A node that was started for this has only begun to dial.
    let (clock, mut entries) = (Clock::start(), client.call("entries", json!({})).await?);
    let is_open = |entry: &Value| entry["linked"] == false && entry["outcome"].is_null();
    while entries["entries"].as_array().is_some_and(|all| all.iter().any(is_open)) && clock.now().since(Time::ZERO) < ENTRY_WAIT {
        smol::Timer::after(ENTRY_LOOK_EVERY).await;
        entries = client.call("entries", json!({})).await?;
    }
    let dht = client.call("dht", json!({})).await?;
    Ok((status, entries, dht))
}

fn disk(folder: &Path) -> Check {
    let probe = folder.join("doctor");
    let written = write_private(&probe, b"it can be written\n");
    let removed = std::fs::remove_file(&probe);
    if let Err(why) = written {
        return Check::fail("disk", format!("{} cannot be written", folder.display()), why.to_string());
    }
    if let Err(why) = removed {
        return Check::fail("disk", format!("{} can be written once only", folder.display()), overcom_std::advice(&why));
    }
    match free_bytes(folder) {
        Some(free) if free < DISK_BYTES_LOW => Check::warn(
            "disk",
            format!("{} MiB are free in {}", free >> 20, folder.display()),
            "make room, or name another folder with --data",
        ),
        Some(free) => Check::ok("disk", format!("{} can be written; {} MiB are free", folder.display(), free >> 20)),
        None => Check::ok("disk", format!("{} can be written", folder.display())),
    }
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

fn keys(device: &Result<DeviceFile, Fail>, identity: &Path) -> Check {
    let device = match device {
        Ok(device) => device,
        Err(why) => return Check::fail("keys", "this device's key file cannot be used", why.to_string()),
    };
    if !identity.exists() && device.delegation().is_none() {
        return Check::ok("keys", "this device's are here; there is no identity yet: the first node that runs here makes one");
    }
    if !identity.exists() {
        return Check::ok("keys", "this device's are here; the identity is kept elsewhere");
    }
    match IdentityFile::open(identity) {
        Ok(_) => Check::ok("keys", "the identity and this device's are here, for their owner only"),
        Err(why) => Check::fail("keys", "the identity cannot be used", why.to_string()),
    }
}

fn clock(now: WallTime, ahead_ms: Option<i64>, peers: u64, delegation: Option<&Delegation>) -> Check {
    let says = format!("it is {} by this machine", date(now));
    if now < BUILT_AFTER {
        return Check::fail("clock", says, "set the clock: this program is younger than that");
    }
    if let Some(from) = delegation.and_then(|delegation| begins(delegation, now)) {
        let found = format!("{says}, but the delegation begins {}", date(from));
        return Check::fail("clock", found, "set the clock; if it is right now, see what is said of the delegation");
    }
    match ahead_ms {
        Some(ahead_ms) => Check::fail("clock", says, clock_sentence(ahead_ms)),
        None if peers > 0 => Check::ok("clock", format!("{says}; {peers} linked, and no three of the last eight say otherwise")),
        None => Check::ok("clock", format!("{says}; nobody is linked who could say otherwise: compare it with another clock")),
    }
}

fn delegated(now: WallTime, delegation: Option<&Delegation>, has_identity: bool) -> Check {
    let renew = "overcom id --request here, overcom delegate --request where the identity is, overcom delegate --install here";
    let Some(delegation) = delegation else {
        let next = if has_identity { "overcom delegate makes one" } else { "see what is said of the keys and the node" };
        return Check::fail("delegation", "there is none", next);
    };
    let (until, app) = (delegation.until(), delegation.app());
    if let Some(from) = begins(delegation, now) {
        let next = if has_identity { "overcom delegate" } else { renew };
        return Check::fail("delegation", format!("it begins {}", date(from)), format!("if the clock is right now: {next}"));
    }
    if until < now {
        return Check::fail("delegation", format!("it ended {}", date(until)), renew);
    }
    let left = until.since(now).as_millis() / u128::from(DAY_MS);
    let found = format!("for the app {app} until {} ({left} full days)", date(until));
    let total = until.since(delegation.from());
    if has_identity {
        Check::ok("delegation", format!("{found}; renewed by itself while a node runs"))
    } else if until.since(now) < total / 2 {
        Check::warn("delegation", found, renew)
    } else {
        Check::ok("delegation", found)
    }
}

fn port(status: &Value) -> Check {
    let listening: Option<SocketAddr> = status["listening"].as_str().and_then(|text| text.parse().ok());
    match listening {
        None => Check::fail("port", "nothing listens", "see what is said of the node"),
        Some(at) if at.ip().is_loopback() => {
            Check::warn("port", format!("{at}, which only this machine reaches"), "leave --listen out, or name another address")
        }
        Some(at) => Check::ok("port", format!("{at}, TCP and UDP; others reach it if your router passes this port on to this machine")),
    }
}

/// Whether datagrams pass at all within this machine, between two sockets of its own: the node's are its own.
fn datagrams() -> Check {
    let pass = || -> std::io::Result<()> {
        let (from, to) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        to.set_read_timeout(Some(DATAGRAM_WAIT))?;
        from.send_to(b"overcom", to.local_addr()?)?;
        to.recv_from(&mut [0; 16]).map(drop)
    };
    match pass() {
        Ok(()) => Check::ok(LOOPBACK, "datagrams pass within this machine; whether they come in from others is not looked at"),
        Err(why) => Check::fail(LOOPBACK, format!("no datagram passes within this machine: {why}"), "look at its firewall"),
    }
}

fn family(name: &'static str, found: &[SocketAddr], is_it: fn(&SocketAddr) -> bool) -> Check {
    let routed: Vec<IpAddr> = found.iter().filter(|at| is_it(at) && !at.ip().is_loopback()).map(SocketAddr::ip).collect();
    match routed.first() {
        Some(ip) => Check::ok(name, format!("there is a way out, from {ip}")),
        None => Check::warn(
            name,
            "there is no way out",
            format!("connect to a network with {name}; with one of IPv4 and IPv6 most are reached"),
        ),
    }
}

fn entries(answer: &Value) -> Check {
    const NAME: &str = "entry nodes";
    let all: Vec<&Value> = answer["entries"].as_array().into_iter().flatten().collect();
    let linked = all.iter().filter(|entry| entry["linked"] == true).count();
    if all.is_empty() {
        return Check::warn(
            NAME,
            "none is named",
            "overcom enter HOST:PORT names one; without, only people whose address is known are found",
        );
    }
    if linked > 0 {
        return Check::ok(NAME, format!("{linked} of {} linked", all.len()));
    }
    let named = |entry: &&Value| format!("{}: {}", entry["entry"].as_str().unwrap_or_default(), standing(entry));
    let found = all.iter().map(named).collect::<Vec<_>>().join("; ");
    let hint = match all.iter().find_map(|entry| entry["hint"].as_str()) {
        // An entry peer waits for no message.
        Some(hint) if hint == CloseReason::Idle.explain().1 => "nothing; it is dialled again by itself",
        hint => hint.unwrap_or("look again in a moment"),
    };
    Check::warn(NAME, format!("none is linked; {found}"), format!("{hint}; or name another one: overcom enter HOST:PORT"))
}

fn network(dht: &Value) -> Check {
    let realms = dht["dht"]["realms"].as_array().map(Vec::as_slice).unwrap_or_default();
    let verified: u64 = realms.iter().filter_map(|realm| realm["verified"].as_u64()).sum();
    if dht["is_forked"] == true {
        return Check::warn("network", "somebody else publishes with this device's key", FORK);
    }
    if dht["eclipse_suspected_s"].is_u64() {
        return Check::warn("network", "somebody seems to surround what is looked for", ECLIPSE);
    }
    match realms.len() {
        0 => Check::warn("network", "this node takes no part in it yet: nobody is found by id alone", ENTER),
        _ if verified == 0 => Check::warn("network", "nobody of it has answered", ENTER),
        _ => {
            let have = if verified == 1 { "has" } else { "have" };
            Check::ok("network", format!("{} of it {have} answered; overcom dht says more", counted(verified, "node")))
        }
    }
}

fn words(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let state = match check.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let _ = writeln!(text, "{state}  {:<12} {}", check.name, check.found);
        if let Some(next) = &check.next {
            let _ = writeln!(text, "      {:<12} next: {next}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_millis(1_800_000_000_000);

    #[test]
    fn an_entry_peer_that_does_not_answer_is_told_with_why_and_what_to_do_and_none_is_another_thing() {
        let refused = json!({ "entry": "192.0.2.1:9", "linked": false, "outcome": "nobody listens there", "hint": "start it" });
        let check = entries(&json!({ "entries": [refused] }));
        assert_eq!(check.found, "none is linked; 192.0.2.1:9: nobody listens there");
        assert_eq!(check.next.as_deref(), Some("start it; or name another one: overcom enter HOST:PORT"));
        let (outcome, hint) = CloseReason::Idle.explain();
        let idle = entries(&json!({ "entries": [{ "entry": "192.0.2.1:9", "linked": false, "outcome": outcome, "hint": hint }] }));
        assert_eq!(idle.next.as_deref(), Some("nothing; it is dialled again by itself; or name another one: overcom enter HOST:PORT"));
        let answered = |verified: u64| network(&json!({ "dht": { "realms": [{ "verified": verified }] } })).found;
        assert!(answered(1).starts_with("1 node of it has answered;") && answered(2).starts_with("2 nodes of it have answered;"));
        let none = entries(&json!({ "entries": [] }));
        assert!(none.found == "none is named" && none.next.is_some_and(|next| next.starts_with("overcom enter HOST:PORT names one")));
    }

    #[test]
    fn each_thing_that_is_not_well_has_a_next_step() {
        let bad = [
            clock(WallTime::from_millis(1_000), None, 0, None),
            clock(NOW, Some(86_400_000), 3, None),
            delegated(NOW, None, true),
            port(&Value::Null),
            port(&json!({ "listening": "127.0.0.1:7575" })),
            family("IPv6", &[], SocketAddr::is_ipv6),
            entries(&json!({ "entries": [] })),
            entries(&json!({ "entries": [{ "entry": "a:1", "linked": false, "outcome": null, "hint": null }] })),
            disk(Path::new("/dev/null/no")),
            network(&json!({ "dht": null })),
            network(&json!({ "dht": { "realms": [{ "verified": 0 }] } })),
            network(&json!({ "dht": { "realms": [{ "verified": 3 }] }, "eclipse_suspected_s": 1 })),
            network(&json!({ "dht": { "realms": [{ "verified": 3 }] }, "is_forked": true })),
        ];
        for check in bad {
            assert!(check.state != State::Ok && check.next.is_some(), "{check:?}");
        }
        assert!(words(&[clock(NOW, Some(-86_400_000), 3, None)]).contains("next: this machine's clock is 24 hours behind"));
        let good = [
            clock(NOW, None, 0, None),
            clock(NOW, None, 8, None),
            port(&json!({ "listening": "[::]:7575" })),
            datagrams(),
            family("IPv4", &[([192, 0, 2, 1], 1).into()], SocketAddr::is_ipv4),
            network(&json!({ "dht": { "realms": [{ "verified": 3 }] }, "eclipse_suspected_s": null, "is_forked": false })),
            entries(&json!({ "entries": [{ "entry": "a:1", "linked": true }, { "entry": "b:2", "linked": false }] })),
        ];
        assert!(clock(NOW, None, 0, None).found.contains("nobody is linked who could say otherwise"));
        for check in good {
            assert!(check.state == State::Ok && check.next.is_none(), "{check:?}");
        }
    }
}
