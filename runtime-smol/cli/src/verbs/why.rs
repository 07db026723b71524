//! `overcom why`: what was tried to reach somebody, and what came of it.

use clap::Args;
use overcom_core::{FailReason, Waiting};
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
    let answer = smol::block_on(Client::with_kept(&arguments.place, ask))?;
    if arguments.json {
        return Ok(format!("{answer}\n"));
    }
    let linked = answer.get("linked").and_then(Value::as_array).map_or(0, Vec::len);
    Ok(explained(&answer, &arguments.who) + &links(linked))
}

/// How many of somebody's devices are linked, a line if any is.
fn links(linked: usize) -> String {
    match linked {
        0 => String::new(),
        1 => "  1 of their devices is linked now\n".into(),
        more => format!("  {more} of their devices are linked now\n"),
    }
}

/// How one says where somebody is.
const ADDRESS: &str = "say where they are, or somebody who knows them: overcom names add NAME ID --at HOST:PORT";

/// What a node says of somebody, who is called here as they were asked for.
pub(super) fn explained(answer: &Value, who: &str) -> String {
    let said = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    // What was tried before is not kept: a node knows of its own life only.
    let text = said("text").replace(said("user"), who).replace(": not tried yet", ": not tried since this node started");
    // A node knows no command lines.
    let [alone, failed] = [Waiting::Address.explain().1, FailReason::NotFound.explain().1];
    text.replace(alone, ADDRESS).replace(failed, ADDRESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_an_earlier_node_tried_is_not_said_to_be_untried() {
        let answer = json!({ "user": "oc1x", "text": "oc1x: no address answers\n  192.0.2.1:7575: not tried yet\n" });
        assert_eq!(explained(&answer, "ann"), "ann: no address answers\n  192.0.2.1:7575: not tried since this node started\n");
    }

    #[test]
    fn linked_devices_are_counted_in_english() {
        assert_eq!([0, 1, 2].map(links), ["", "  1 of their devices is linked now\n", "  2 of their devices are linked now\n"]);
    }

    #[test]
    fn who_has_no_address_is_said_one_with_a_command() {
        for advice in [Waiting::Address.explain().1, FailReason::NotFound.explain().1] {
            let told = explained(&json!({ "user": "oc1x", "text": format!("1 message waits for oc1x\n  what to do: {advice}\n") }), "ann");
            assert!(
                told.ends_with("what to do: say where they are, or somebody who knows them: overcom names add NAME ID --at HOST:PORT\n"),
                "{told}"
            );
        }
    }
}
