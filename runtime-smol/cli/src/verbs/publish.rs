//! `overcom publish`: who is told by the network where this device is.

use std::fmt::Write as _;
use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use overcom_core::DhtPolicy;
use serde_json::{Value, json};

use crate::client::Client;
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

It holds from now on, also after a restart. Who is told no more finds no address after a minute,
as far as a node runs for so long; an address that nobody could be asked to forget is found for two
hours. That this device is yours, and its key for mail, are told until its delegation ends.")]
pub(crate) struct Arguments {
    /// Who is told. Without it, who is told now is shown
    #[arg(value_enum, value_name = "WHO")]
    who: Option<Who>,
    /// An address at which others reach this device, whatever they see; up to three of the internet, of this network and of
    /// this machine, and those named before are forgotten
    #[arg(long = "at", value_name = "IP:PORT", requires = "who", value_parser = socket)]
    addresses: Vec<SocketAddr>,
    /// Without WHO: print JSON
    #[arg(long, conflicts_with = "who")]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let Some(who) = arguments.who else {
        let answer = smol::block_on(Client::with_kept(&arguments.place, async |client| client.call("dht", json!({})).await))?;
        let publish = &answer["publish"];
        return Ok(if arguments.json { format!("{publish}\n") } else { words(publish) });
    };
    let addresses = &arguments.addresses;
    let ask = async |client: &mut Client| client.call("publish", json!({ "policy": DhtPolicy::from(who), "addresses": addresses })).await;
    smol::block_on(Client::with(&arguments.place, ask)).map(|_| String::new())
}

/// Who is told and what besides, a line each, as the op `dht` tells it.
pub(super) fn words(publish: &Value) -> String {
    let mut text = match publish["policy"].as_str() {
        Some("everyone") => "everyone who knows the id is told where this device is\n".to_owned(),
        Some("contacts") => {
            "nobody is told where this device is, contacts find its renewals: overcom publish everyone opens it\n".to_owned()
        }
        _ => "nothing of this device is published: overcom publish everyone opens it\n".to_owned(),
    };
    for address in publish["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(text, "  also at {address}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_has_words_of_its_own_and_a_closed_one_its_way_back() {
        let said = |policy: &str, addresses: &[&str]| words(&json!({ "policy": policy, "addresses": addresses }));
        assert_eq!(said("everyone", &["192.0.2.1:7"]), "everyone who knows the id is told where this device is\n  also at 192.0.2.1:7\n");
        for (policy, named) in [("contacts", "nobody is told where"), ("nobody", "nothing of this device")] {
            let said = said(policy, &[]);
            assert!(said.starts_with(named) && said.contains("overcom publish everyone"), "{said}");
        }
    }
}
