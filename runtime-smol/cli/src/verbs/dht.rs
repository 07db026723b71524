//! `overcom dht`: this node's place in the network that finds people, and how well it is there.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fail::Fail;
use crate::run::Place;
use crate::verbs::publish;

/// What to do where nobody of the network is known, or nobody answers.
pub(crate) const ENTER: &str = "overcom enter HOST:PORT names a peer to enter by";

#[derive(Args)]
#[command(after_help = "\
Examples:
  overcom dht           how many nodes this one knows, how many there are, and whether all is well
  overcom dht --json    the same for a program, one JSON object")]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let ask = async |client: &mut Client| {
        let answer = client.call("dht", json!({})).await?;
        // The port of a node that runs for this command alone is nowhere afterwards.
        let here = if client.is_own() { Value::Null } else { client.call("status", json!({})).await?["addresses"].take() };
        Ok((answer, here))
    };
    let (answer, here) = smol::block_on(Client::with_kept(&arguments.place, ask))?;
    Ok(if arguments.json { format!("{answer}\n") } else { words(&answer, &here) })
}

/// How others enter a network that begins with this node.
fn first(here: &Value) -> String {
    let all: Vec<&str> = here.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let others = match all.as_slice() {
        [] => "others enter by this node's HOST:PORT, while overcom node runs here".to_owned(),
        all => format!("others enter by this node: overcom enter {}", all.join(" or ")),
    };
    format!("whoever begins a network is its first and names nobody; {others}")
}

fn words(answer: &Value, here: &Value) -> String {
    let mut text = String::new();
    let realms = answer["dht"]["realms"].as_array().map(Vec::as_slice).unwrap_or_default();
    if realms.is_empty() {
        let _ = writeln!(text, "this node takes no part in the network yet\n  next: {ENTER}\n  {}", first(here));
    }
    for realm in realms {
        let number = |key: &str| realm[key].as_u64().unwrap_or_default();
        let said = |key: &str| realm[key].as_str().unwrap_or_default();
        let _ = writeln!(text, "IPv{}, {}: {}", number("family"), reach(said("reach")), standing(said("standing")));
        let (nodes, verified, leaves, estimate) = (number("nodes"), number("verified"), number("leaves"), number("estimate"));
        let (nodes, leaves) = (counted(nodes, "node"), counted(leaves, "neighbour"));
        let _ = writeln!(text, "  {nodes} known, {verified} answered, {leaves}; about {estimate} serve in all");
        if let Some(address) = realm["address"].as_str() {
            let _ = writeln!(text, "  other nodes reach this one at {address}");
        }
        if let Some(rtt_ms) = realm["rtt_ms"].as_u64() {
            let _ = writeln!(text, "  half of them answer within {rtt_ms} ms");
        }
        if let Some(next) = next(said("standing")) {
            let _ = writeln!(text, "  next: {next}");
        }
    }
    text.push_str(&publish::words(answer));
    let number = |key: &str| answer["dht"][key].as_u64().unwrap_or_default();
    if answer["dht"].is_object() {
        let _ = writeln!(
            text,
            "{} kept ({} bytes), bound to {}, {} bound here, {} under way",
            counted(number("records"), "record"),
            number("record_bytes"),
            counted(number("bound_at"), "node"),
            counted(number("binds"), "device"),
            counted(number("look_ups"), "look-up")
        );
    }
    if let Some(secs) = answer["eclipse_suspected_s"].as_u64() {
        let _ = writeln!(text, "{secs} s ago somebody seemed to surround what was looked for\n  next: {ECLIPSE}");
    }
    if answer["is_forked"] == true {
        let _ = writeln!(text, "somebody else publishes with this device's key\n  next: {FORK}");
    }
    text
}

/// `1 node`, `2 nodes`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// What to do where nobody says where this node is.
pub(crate) const ADDRESS: &str = "nothing, if it lasts no longer than a minute; else look whether a firewall keeps UDP out";
/// What to do about a key that is surrounded, in a sentence's second half.
pub(crate) const ECLIPSE: &str = "ask again by another connection, or have them send an invitation";
/// What to do about a copy of the device.
pub(crate) const FORK: &str = "stop the other process that uses a copy of this device's keys";

fn reach(reach: &str) -> &str {
    match reach {
        "loopback" => "this machine",
        "private" => "this network",
        _ => "everywhere",
    }
}

/// How a node stands, in words.
pub(crate) fn standing(standing: &str) -> &str {
    match standing {
        "isolated" => "isolated, nobody answers",
        "address_unknown" => "its own address is not known",
        "serving" => "serving, it keeps records for others",
        _ => "asking only",
    }
}

/// What to do about how it stands, if anything.
pub(crate) fn next(standing: &str) -> Option<&'static str> {
    match standing {
        "isolated" => Some("look at the connection; overcom enter HOST:PORT names a peer to enter by"),
        "address_unknown" => Some(ADDRESS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_the_estimate_and_the_health_are_said_in_words_and_what_is_not_well_has_a_next_step() {
        let none =
            words(&json!({ "dht": null, "eclipse_suspected_s": null, "is_forked": false }), &json!(["192.0.2.1:7", "[2001:db8::1]:7"]));
        assert!(
            none.contains("its first and names nobody; others enter by this node: overcom enter 192.0.2.1:7 or [2001:db8::1]:7\n"),
            "{none}"
        );
        assert!(first(&Value::Null).contains("others enter by this node's HOST:PORT"));
        assert!(none.contains("no part in the network yet") && none.contains("next: overcom enter"), "{none}");
        let realm = |standing: &str| {
            json!({ "family": 4, "reach": "global", "standing": standing, "nodes": 12, "verified": 10, "leaves": 4, "estimate": 30,
                "address": "192.0.2.1:7575", "rtt_ms": 80 })
        };
        for (how, is_well) in [("serving", true), ("client", true), ("isolated", false), ("address_unknown", false)] {
            let dht = json!({ "realms": [realm(how)], "records": 3, "record_bytes": 900, "bound_at": 5, "binds": 2, "look_ups": 1 });
            let publish = json!({ "policy": "contacts", "addresses": [] });
            let said = words(&json!({ "dht": dht, "publish": publish, "eclipse_suspected_s": null, "is_forked": false }), &Value::Null);
            assert!(
                said.starts_with("IPv4, everywhere: ")
                    && said.contains("12 nodes known, 10 answered, 4 neighbours; about 30 serve in all")
                    && said.contains("3 records kept (900 bytes), bound to 5 nodes, 2 devices bound here, 1 look-up under way")
                    && said.contains("\nnobody is told where this device is, contacts"),
                "{said}"
            );
            assert_eq!(said.contains("next: "), !is_well, "{said}");
        }
        let ill = words(&json!({ "dht": { "realms": [realm("serving")] }, "eclipse_suspected_s": 7, "is_forked": true }), &Value::Null);
        assert!(ill.contains("7 s ago") && ill.matches("next: ").count() == 2, "{ill}");
    }
}
