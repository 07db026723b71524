//! `overcom publish`: who is told by the network where this device is.

use std::fmt::Write as _;
use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use overcom_core::{DhtPolicy, WallTime};
use serde_json::{Value, json};

use crate::client::Client;
use crate::data::date;
use crate::fail::Fail;
use crate::run::{Place, socket};

/// Who is told.
#[derive(Clone, Copy, ValueEnum)]
enum Who {
    /// Whoever knows your id finds this device: so it begins
    Everyone,
    /// Nobody finds where it is; who has an address of it already finds its renewals and its key for mail
    Contacts,
    /// Nothing is published
    Nobody,
}

impl From<Who> for DhtPolicy {
    fn from(who: Who) -> Self {
        match who {
            Who::Everyone => Self::Everyone,
            Who::Contacts => Self::Contacts,
            Who::Nobody => Self::Nobody,
        }
    }
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  overcom publish                              who is told, and what besides
  overcom publish contacts                     nobody finds any more where this device is
  overcom publish everyone --at 192.0.2.1:7575 a port that a router forwards is told too
  overcom publish nobody --json                the same for a program: what holds then, one JSON object

It holds from now on, also after a restart. Who is told no more finds no address after a minute,
as far as a node runs for so long; an address that nobody could be asked to forget is found for two
hours. That this device is yours, and its key for mail, are told until its delegation ends.")]
pub(crate) struct Arguments {
    /// Who is told. Without it, who is told now is shown
    #[arg(value_enum, value_name = "WHO")]
    who: Option<Who>,
    /// With everyone: an address at which others reach this device, whatever they see; up to three of the internet, of this
    /// network and of this machine, and those named before are forgotten
    #[arg(long = "at", value_name = "IP:PORT", requires = "who", value_parser = socket)]
    addresses: Vec<SocketAddr>,
    /// Print JSON: who is told, and until when others may say where this device is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let look = async |client: &mut Client| client.call("dht", json!({})).await;
    let Some(who) = arguments.who else {
        let answer = smol::block_on(Client::with_kept(&arguments.place, look))?;
        return Ok(if arguments.json { format!("{}\n", answer["publish"]) } else { words(&answer) });
    };
    if matches!(who, Who::Nobody) {
        // Where nobody is kept nothing was ever published.
        arguments.place.data.kept()?;
    }
    let addresses = &arguments.addresses;
    let answer = smol::block_on(Client::with(&arguments.place, async |client| {
        client.call("publish", json!({ "policy": DhtPolicy::from(who), "addresses": addresses })).await?;
        look(client).await
    }))?;
    let publish = &answer["publish"];
    Ok(if arguments.json { format!("{publish}\n") } else { remains(publish) })
}

/// What others may say all the same of a device that does not tell everyone any more where it is; nothing where that is over.
fn remains(publish: &Value) -> String {
    let until = publish["told_until_ms"].as_u64().filter(|_| publish["policy"] != "everyone").map(WallTime::from_millis);
    let Some(until) = until.map(date) else { return String::new() };
    if publish["is_leaving"] == true {
        format!("who was told where it is is being asked to forget it; whoever does not hear of that may say it until {until}\n")
    } else {
        format!("who was told where it is was not asked to forget it, and may say it until {until}\n")
    }
}

/// Who is told and what besides, a line each, of what the op `dht` tells.
pub(super) fn words(answer: &Value) -> String {
    let publish = &answer["publish"];
    let takes_part = answer["dht"]["realms"].as_array().is_some_and(|realms| !realms.is_empty());
    let mut text = match publish["policy"].as_str() {
        Some("everyone") if !takes_part => {
            "everyone who knows the id will be told where this device is, once it takes part in the network\n".to_owned()
        }
        Some("everyone") => "everyone who knows the id is told where this device is\n".to_owned(),
        Some("contacts") => {
            "nobody is told where this device is, contacts find its renewals: overcom publish everyone opens it\n".to_owned()
        }
        _ if publish["is_leaving"] == true => {
            "for a minute others are told that this device is nowhere, then nothing: overcom publish everyone opens it\n".to_owned()
        }
        _ => "nothing of this device is published: overcom publish everyone opens it\n".to_owned(),
    };
    for address in publish["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(text, "  also at {address}");
    }
    let remains = remains(publish);
    if !remains.is_empty() {
        let _ = write!(text, "  {remains}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the op `dht` tells, of a node that takes part in the network or not yet.
    fn answer(takes_part: bool, publish: Value) -> Value {
        let realms = if takes_part { json!([{}]) } else { json!([]) };
        json!({ "dht": { "realms": realms }, "publish": publish })
    }

    #[test]
    fn who_takes_no_part_yet_tells_nobody_anything_yet() {
        let everyone = json!({ "policy": "everyone", "addresses": ["192.0.2.1:7"] });
        let will_be =
            "everyone who knows the id will be told where this device is, once it takes part in the network\n  also at 192.0.2.1:7\n";
        assert_eq!(words(&answer(false, everyone.clone())), will_be);
        assert_eq!(words(&json!({ "dht": null, "publish": everyone })), will_be);
        for policy in ["contacts", "nobody"] {
            let publish = json!({ "policy": policy, "addresses": [] });
            assert_eq!(words(&answer(false, publish.clone())), words(&answer(true, publish)));
        }
    }

    #[test]
    fn each_policy_has_words_of_its_own_and_a_closed_one_its_way_back() {
        let said = |policy: &str, addresses: &[&str]| words(&answer(true, json!({ "policy": policy, "addresses": addresses })));
        assert_eq!(said("everyone", &["192.0.2.1:7"]), "everyone who knows the id is told where this device is\n  also at 192.0.2.1:7\n");
        for (policy, named) in [("contacts", "nobody is told where"), ("nobody", "nothing of this device")] {
            let said = said(policy, &[]);
            assert!(said.starts_with(named) && said.contains("overcom publish everyone"), "{said}");
        }
    }

    #[test]
    fn what_others_may_say_all_the_same_is_said_with_its_end_and_nothing_where_there_is_none() {
        let said = |policy: &str, until: Option<u64>, is_leaving: bool| {
            words(&answer(true, json!({ "policy": policy, "addresses": [], "told_until_ms": until, "is_leaving": is_leaving })))
        };
        let until = Some(1_767_225_600_000);
        for policy in ["contacts", "nobody"] {
            assert!(
                said(policy, until, false)
                    .ends_with("\n  who was told where it is was not asked to forget it, and may say it until 2026-01-01 00:00 UTC\n")
            );
            assert!(said(policy, until, true).ends_with("whoever does not hear of that may say it until 2026-01-01 00:00 UTC\n"));
            assert_eq!(said(policy, None, false).lines().count(), 1);
        }
        assert!(said("nobody", None, true).starts_with("for a minute others are told that this device is nowhere"));
        assert_eq!(said("everyone", until, false).lines().count(), 1, "they are to say it");
    }
}
