//! `overcom enter`: the peers to enter the network by.

use clap::Args;
use overcom_core::Entry;
use serde_json::json;

use crate::client::Client;
use crate::fail::Fail;
use crate::run::Place;

#[derive(Args)]
pub(crate) struct Arguments {
    /// HOST:PORT, or HOST:PORT#KEY if the peer's node key is known; those named before are forgotten
    #[arg(value_name = "ENTRY", num_args = 0..=8)]
    entries: Vec<Entry>,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> Result<String, Fail> {
    let entries: Vec<String> = arguments.entries.iter().map(ToString::to_string).collect();
    let ask = async |client: &mut Client| client.call("enter", json!({ "entries": entries })).await;
    smol::block_on(Client::with(&arguments.place, ask)).map(|_| String::new())
}
