//! `overcom find`: where the network says that somebody is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use overcom_core::{FailReason, Time};
use overcom_std::Clock;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fail::Fail;
use crate::run::Place;
use crate::verbs::dht::ENTER;

/// A look-up ends by itself after some five seconds (guess: a slow machine's twice that).
const LOOK_UP_MAX: Duration = Duration::from_secs(10);
/// How often a node that has just begun asks again while nobody has answered it (guess: a round trip of the slowest network).
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What to do about somebody of whom the network knows nothing.
const ADDRESS: &str = "are they on, and part of it? If you know where they are: overcom names add NAME ID --at HOST:PORT";

#[derive(Args)]
#[command(after_help = "\
Examples:
  overcom find ann            where ann's devices are, by the network alone; nobody is linked with
  overcom find oc1… --json    the same for a program, one JSON object")]
pub(crate) struct Arguments {
    /// Who: a name (overcom names), or an id oc1…
    #[arg(value_name = "NAME")]
    who: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// For how many seconds to try while nobody of the network answers
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    wait: u64,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let devices = smol::block_on(Client::with_kept(&arguments.place, async |client| find(client, arguments).await))?;
    if arguments.json {
        return Ok(format!("{}\n", json!({ "devices": devices })));
    }
    Ok(words(&devices))
}

/// What was heard of each device last.
async fn find(client: &mut Client, arguments: &Arguments) -> Result<Vec<Value>, Fail> {
    let (clock, patience) = (Clock::start(), Duration::from_secs(arguments.wait));
    client.call("listen", json!({ "notices": ["located", "looked_up", "failed"] })).await?;
    loop {
        let tag = client.call("locate", json!({ "user": arguments.who })).await?["tag"].clone();
        let mut devices = BTreeMap::new();
        let ended = loop {
            let Some(notice) = client.notice_within(LOOK_UP_MAX).await? else {
                return Err(Fail::failed("the look-up did not end in time; is this machine very busy? Try again"));
            };
            if notice["tag"] != tag {
                continue;
            }
            match (notice["notice"].as_str(), notice["device"].as_str()) {
                (Some("located"), Some(device)) => drop(devices.insert(device.to_owned(), notice)),
                _ => break notice,
            }
        };
        let devices: Vec<Value> = devices.into_values().map(shown).collect();
        if ended["notice"] == "looked_up" && !devices.is_empty() {
            return Ok(devices);
        }
        // A node that has just begun knows nobody yet.
        let is_early = ended["why"] == "no_network" && clock.now().since(Time::ZERO) < patience;
        if !is_early {
            let entries = client.call("entries", json!({})).await?["entries"].take();
            return Err(Fail::failed(in_vain(&ended, &devices, entries.as_array().is_some_and(Vec::is_empty))));
        }
        smol::Timer::after(ASK_AGAIN).await;
    }
}

/// What is said if the network knows nothing. What this node keeps for others itself may be old: it is told, and counts for nothing.
fn in_vain(ended: &Value, own: &[Value], is_alone: bool) -> String {
    let said = |key: &str| ended[key].as_str().unwrap_or_default();
    let mut text = match said("message") {
        "" => "nobody who should know has heard of them; are they on, and part of the network?".to_owned(),
        message if is_alone && ended["why"] == "no_network" => format!("not found: {message}, and no entry peer is named; {ENTER}"),
        // A node knows no command lines.
        message => format!("not found: {message}; {}", said("hint").replace(FailReason::NotFound.explain().1, ADDRESS)),
    };
    if !own.is_empty() {
        let _ = write!(text, "\nthe copy that this node itself keeps, which may be old, says:\n{}", words(own).trim_end());
    }
    text
}

/// The notice without what only a session needs.
fn shown(mut notice: Value) -> Value {
    if let Some(fields) = notice.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "notice" | "tag"));
    }
    notice
}

fn words(devices: &[Value]) -> String {
    let mut text = String::new();
    for device in devices {
        let said = |key: &str| device[key].as_str();
        let who = said("name").or(said("user")).unwrap_or_default();
        let doubt = match (device["agreed"] == true, device["own"] == true) {
            (true, _) => "",
            (false, true) => "  (this node's own copy; nobody else has it)",
            (false, false) => "  (the first answer; the others have not come in time)",
        };
        let online = if device["bound"] == true { ", online" } else { "" };
        let _ = writeln!(text, "{who}  device {}{online}{doubt}", said("device").unwrap_or_default());
        let places = device["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
        for place in places {
            let _ = writeln!(text, "  {}", place.as_str().unwrap_or_default());
        }
        for relay in device["relays"].as_array().into_iter().flatten() {
            let _ = writeln!(text, "  through {}", relay["address"].as_str().unwrap_or_default());
        }
        if places.is_empty() && device["relays"].as_array().is_none_or(Vec::is_empty) {
            let nowhere = if device["bound"] == true {
                "no address: it cannot be dialled from outside"
            } else {
                "nowhere: it has withdrawn where it was"
            };
            let _ = writeln!(text, "  {nowhere}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_is_shown_with_where_it_is_and_one_that_is_nowhere_says_so() {
        let device = |device: &str, addresses: &[&str]| {
            shown(
                json!({ "notice": "located", "tag": 1, "user": "oc1x", "name": null, "device": device, "addresses": addresses, "relays": [], "agreed": device == "a", "bound": device == "c" }),
            )
        };
        let devices = [device("a", &["192.0.2.1:7575"]), device("c", &[]), device("b", &[])];
        assert!(devices[0].get("tag").is_none() && devices[0].get("notice").is_none());
        let text = words(&devices);
        assert!(text.starts_with("oc1x  device a\n  192.0.2.1:7575\noc1x  device c, online  (the first answer"), "{text}");
        assert!(text.contains(")\n  no address: it cannot be dialled from outside\noc1x  device b  (the first"), "{text}");
        assert!(text.ends_with("\n  nowhere: it has withdrawn where it was\n"), "{text}");
    }

    #[test]
    fn the_own_copy_is_told_as_its_own_and_is_no_answer_of_the_network() {
        let own = shown(
            json!({ "notice": "located", "tag": 1, "user": "oc1x", "name": "ann", "device": "a", "addresses": ["192.0.2.1:7575"], "relays": [], "agreed": false, "own": true, "bound": false }),
        );
        let hint = FailReason::NotFound.explain().1;
        let unknown = json!({ "notice": "failed", "tag": 1, "why": "not_found", "message": "nobody knows", "hint": hint });
        assert!(in_vain(&unknown, &[], true).ends_with("overcom names add NAME ID --at HOST:PORT"));
        let ended = json!({ "notice": "failed", "tag": 1, "why": "no_network", "message": "nobody knows", "hint": "ask them" });
        let said = in_vain(&ended, &[own], false);
        assert!(said.starts_with("not found: nobody knows; ask them\nthe copy that this node itself keeps"), "{said}");
        assert!(said.ends_with("ann  device a  (this node's own copy; nobody else has it)\n  192.0.2.1:7575"), "{said}");
        assert_eq!(in_vain(&ended, &[], false), "not found: nobody knows; ask them");
        let alone = "not found: nobody knows, and no entry peer is named; overcom enter HOST:PORT names a peer to enter by";
        assert_eq!(in_vain(&ended, &[], true), alone);
    }
}
