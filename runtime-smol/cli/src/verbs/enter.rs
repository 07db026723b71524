//! `overcom enter`: the peers to enter the network by.

use clap::Args;
use overcom_core::Entry;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fail::Fail;
use crate::run::Place;

#[derive(Args)]
pub(crate) struct Arguments {
    /// HOST:PORT, or HOST:PORT#KEY if the peer's node key is known; those named before are forgotten. Without any, those that
    /// are named are shown, and how it goes with each
    #[arg(value_name = "ENTRY", num_args = 0..=8)]
    entries: Vec<Entry>,
    /// Forget those that are named
    #[arg(long, conflicts_with = "entries")]
    none: bool,
    /// Without ENTRY: print JSON
    #[arg(long, conflicts_with_all = ["entries", "none"])]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    if arguments.entries.is_empty() && !arguments.none {
        let answer = smol::block_on(Client::with_kept(&arguments.place, async |client| client.call("entries", json!({})).await))?;
        return Ok(if arguments.json { format!("{answer}\n") } else { words(&answer) });
    }
    let entries: Vec<String> = arguments.entries.iter().map(ToString::to_string).collect();
    let ask = async |client: &mut Client| client.call("enter", json!({ "entries": entries })).await;
    smol::block_on(Client::with(&arguments.place, ask)).map(|_| String::new())
}

/// `192.0.2.1:7575  linked`, a line each.
fn words(answer: &Value) -> String {
    let all = answer["entries"].as_array().into_iter().flatten();
    let line = |entry: &Value| format!("{}  {}\n", entry["entry"].as_str().unwrap_or_default(), standing(entry));
    let lines: String = all.map(line).collect();
    if lines.is_empty() { "none is named: overcom enter HOST:PORT names one\n".into() } else { lines }
}

/// How it goes with an entry peer, as the op `entries` tells it.
pub(super) fn standing(entry: &Value) -> &str {
    if entry["linked"] == true { "linked" } else { entry["outcome"].as_str().unwrap_or("no answer yet") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_peer_is_shown_with_how_it_goes_and_none_with_the_way_out() {
        let entry = |entry: &str, linked: bool, outcome: Option<&str>| json!({ "entry": entry, "linked": linked, "outcome": outcome });
        let all = [entry("a:1", true, Some("a link came up")), entry("b:2", false, Some("nobody listens")), entry("c:3", false, None)];
        assert_eq!(words(&json!({ "entries": all })), "a:1  linked\nb:2  nobody listens\nc:3  no answer yet\n");
        assert!(words(&json!({ "entries": [] })).contains("overcom enter HOST:PORT"));
    }
}
