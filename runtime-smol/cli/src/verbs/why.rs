//! `overcom why`: what was tried to reach somebody, and what came of it.

use clap::Args;
use serde_json::{Value, json};

use crate::client::Client;
use crate::fail::Fail;
use crate::run::Place;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Who: a name (overcom names), or an id oc1…
    #[arg(value_name = "NAME")]
    who: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let ask = async |client: &mut Client| client.call("why", json!({ "user": arguments.who })).await;
    let answer = smol::block_on(Client::with(&arguments.place, ask))?;
    if arguments.json {
        return Ok(format!("{answer}\n"));
    }
    let linked = answer.get("linked").and_then(Value::as_array).map_or(0, Vec::len);
    let devices = if linked == 1 { "device is" } else { "devices are" };
    let link = if linked == 0 { String::new() } else { format!("  {linked} of their {devices} linked now\n") };
    Ok(explained(&answer, &arguments.who) + &link)
}

/// What a node says of somebody, who is called here as they were asked for.
pub(super) fn explained(answer: &Value, who: &str) -> String {
    let said = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    // What was tried before is not kept: a node knows of its own life only.
    said("text").replace(said("user"), who).replace(": not tried yet", ": not tried since this node started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_an_earlier_node_tried_is_not_said_to_be_untried() {
        let answer = json!({ "user": "oc1x", "text": "oc1x: no address answers\n  192.0.2.1:7575: not tried yet\n" });
        assert_eq!(explained(&answer, "ann"), "ann: no address answers\n  192.0.2.1:7575: not tried since this node started\n");
    }
}
